"""The service over real HTTP: answers, refusals, limits, and what happens when clients are slow, gone or too many."""

import json
import logging
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from command import refused
from serving import BOARD, PATIENCE, Held, ask, metric, running, wait_until

from trm.cli.main import main
from trm.serve.backend import TorchBackend
from trm.serve.guard import JSONFormatter
from trm.serve.limits import Limits
from trm.solver import Solver

MODELS = ("sudoku-4x4", "maze-11x11")
GRID = [[0, 2, 0, 0], [4, 0, 0, 1], [3, 0, 0, 0], [0, 0, 0, 4]]


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with running({name: TorchBackend(Solver(name, views=2)) for name in MODELS}) as url:
        yield url


def solve(url: str, *puzzles: Any, **more: Any) -> Any:
    return ask(f"{url}/solve", {"puzzles": list(puzzles), **more})


def test_it_answers_as_trm_solve_does(service: str, capsys: pytest.CaptureFixture[str]) -> None:
    reply = solve(service, BOARD, model="sudoku-4x4")
    assert reply.status == 200
    assert main(["solve", "sudoku-4x4", BOARD, "--json", "--views=2"]) == 0
    (found,) = reply.body["solutions"]
    printed = json.loads(capsys.readouterr().out)
    assert {name: found[name] for name in printed} == printed
    assert found["grid"] is None


def test_a_grid_is_answered_by_a_grid_of_its_form(service: str) -> None:
    characters = [list(BOARD[row : row + 4]) for row in range(0, 16, 4)]
    reply = solve(service, GRID, characters, model="sudoku-4x4")
    integers, texts = (solution["grid"] for solution in reply.body["solutions"])
    assert integers == [[1, 2, 4, 3], [4, 3, 2, 1], [3, 4, 1, 2], [2, 1, 3, 4]]
    assert texts == [[str(cell) for cell in row] for row in integers]


def test_a_trace_has_the_answer_after_each_step(service: str) -> None:
    replies = [solve(service, BOARD, model="sudoku-4x4", trace=trace) for trace in (False, True)]
    (plain,), (traced,) = (reply.body["solutions"] for reply in replies)
    assert "trace" not in plain
    assert [step["step"] for step in traced["trace"]] == list(range(1, len(traced["trace"]) + 1))
    assert traced["trace"][-1]["answer"] == traced["answer"] == plain["answer"]


def test_models_are_listed_and_chosen_by_name(service: str) -> None:
    listed = ask(f"{service}/models").body
    assert [(model["name"], model["family"], model["cells"]) for model in listed] == [
        ("sudoku-4x4", "Sudoku", 16),
        ("maze-11x11", "Maze", 121),
    ]
    assert solve(service, BOARD).body["detail"] == "the request names no model; served are sudoku-4x4, maze-11x11"
    reply = solve(service, BOARD, model="nope")
    assert (reply.status, reply.body["detail"]) == (
        404,
        "there is no model 'nope' here; served are sudoku-4x4, maze-11x11",
    )


@pytest.mark.usefixtures("here")  # the command must leave no file, and others work in the project
@pytest.mark.parametrize(
    ("model", "board"),
    [
        ("sudoku-4x4", "11.............."),
        ("sudoku-4x4", "123....4........"),
        ("sudoku-4x4", "12x............."),
        ("sudoku-4x4", "12.............." * 2),
        ("sudoku-4x4", ""),
        ("maze-11x11", "#" * 121),
        ("maze-11x11", "S........G"),
    ],
)
def test_a_wrong_board_is_refused_in_the_words_of_trm_solve(
    service: str, model: str, board: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = solve(service, board, model=model)
    assert reply.status == 422
    assert f"trm: error: {reply.body['detail']}" == refused(capsys, ["solve", model, board])


def test_the_wrong_one_of_several_boards_is_named(service: str) -> None:
    detail = solve(service, BOARD, "11..............", model="sudoku-4x4").body["detail"]
    assert detail == "puzzles[1]: the board '11..............' is unsolvable: row 1 has 1 more than once"
    assert (
        "the rows of puzzles[0] have 1 to 2 cells" in solve(service, [[1, 2], [3]], model="sudoku-4x4").body["detail"]
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "the body is not JSON"),
        (b"\xff", "the body is not JSON"),
        (b'{"puzzles": ["\\ud800"], "model": "sudoku-4x4"}', "the board '\\ud800' has 1 cell"),
        (b'{"puzzles": ["\\u0000"], "model": "sudoku-4x4"}', "the board '\\x00' has 1 cell"),
        (b"[" * 100_000, "the body is not JSON"),
        (b"", "the body must be a JSON object"),
        ([BOARD], "the body must be a JSON object"),
        ({}, "puzzles: field required"),
        ({"puzzles": []}, "puzzles is []: list should have at least 1 item"),
        ({"puzzles": BOARD}, f"puzzles is '{BOARD}': input should be a valid list"),
        ({"puzzles": [3]}, "puzzles[0] is 3, but must be text as for trm solve, or a grid"),
        ({"puzzles": [BOARD, [[1, 36]]]}, "puzzles[1] is [[1, 36]], but must be"),
        ({"puzzles": [BOARD], "trace": "yes"}, "trace is 'yes': input should be a valid boolean"),
        ({"puzzles": [BOARD], "depth": 3}, "depth is 3: extra inputs are not permitted"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_malformed_request_is_refused_in_a_sentence(service: str, body: Any, words: str) -> None:
    reply = ask(f"{service}/solve", body)
    assert reply.status == 422
    assert reply.body.keys() == {"detail"}
    assert reply.body["detail"].startswith(words)


def test_a_page_of_another_site_cannot_ask(service: str) -> None:
    asked = json.dumps({"puzzles": [BOARD], "model": "sudoku-4x4"}).encode()
    assert ask(f"{service}/solve", asked, Content_Type="text/plain").status == 422  # sent without a preflight
    reply = ask(f"{service}/solve", asked, Origin="https://elsewhere.example")
    assert "access-control-allow-origin" not in {name.lower() for name in reply.headers}


@pytest.mark.parametrize("headers", [{}, {"Transfer_Encoding": "chunked"}], ids=["declared", "chunked"])
def test_a_body_of_ten_megabytes_is_refused(service: str, headers: dict[str, str]) -> None:
    reply = ask(f"{service}/solve", b" " * 10_000_000, **headers)
    assert (reply.status, reply.body["detail"]) == (413, "the body has more than the accepted 1,048,576 bytes")


def test_ten_thousand_boards_at_once_are_refused(service: str) -> None:
    reply = solve(service, *[BOARD] * 10_000, model="sudoku-4x4")
    assert reply.status == 413
    assert reply.body["detail"] == "the request has 10,000 puzzles, but at most 256 are accepted at once"


def test_nothing_is_lost_or_mixed_up_among_many_clients(service: str) -> None:
    solved = np.array(list("1243432134122134")).reshape(4, 4)
    rng = np.random.default_rng(0)
    names = [dict(zip("1234", rng.permutation(list("1234")), strict=True)) for _ in range(64)]
    boards = ["".join(name[cell] for cell in solved.ravel()) for name in names]
    asked = ["".join(c if rng.random() < 0.7 else "." for c in board) for board in boards]
    before = metric(service, 'trm_batch_puzzles_count{model="sudoku-4x4"}')
    with ThreadPoolExecutor(16) as clients:
        replies = list(clients.map(lambda board: solve(service, board, model="sudoku-4x4"), asked))
    assert [reply.status for reply in replies] == [200] * 64
    for question, reply in zip(asked, replies, strict=True):
        (found,) = reply.body["solutions"]
        assert found["question"] == question
        assert all(c in (".", answer) for c, answer in zip(question, found["answer"], strict=True))
    assert metric(service, 'trm_batch_puzzles_count{model="sudoku-4x4"}') > before


def test_the_page_runs_only_its_own_script(service: str) -> None:
    reply = ask(f"{service}/")
    assert reply.status == 200
    assert "<form>" in reply.body
    assert "http" not in reply.body  # nothing is loaded from elsewhere
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]


# -- limits, with a backend that the test holds back -----------------------------------------------------------------


@pytest.fixture
def held() -> Iterator[Held]:
    backend = Held()
    yield backend
    backend.go.set()


def test_requests_past_capacity_are_refused_at_once_and_accepted_ones_answered(held: Held) -> None:
    with running({"held": held}, Limits(queue=2, max_puzzles=2, wait=0)) as url, ThreadPoolExecutor(1) as pool:
        first = pool.submit(solve, url, BOARD, BOARD)
        wait_until(lambda: held.batches)
        refusal = solve(url, BOARD)
        assert refusal.status == 429
        assert refusal.body["detail"] == "the queue has 2 puzzles, and 1 more exceed the accepted 2"
        assert refusal.headers["Retry-After"] == "1"
        assert (ask(f"{url}/ready").status, ask(f"{url}/health").status) == (503, 200)
        held.go.set()
        assert first.result(PATIENCE).status == 200
        assert ask(f"{url}/ready").status == 200
        assert solve(url, BOARD).status == 200


def test_what_is_not_solved_in_time_is_refused_and_makes_room(held: Held) -> None:
    with running({"held": held}, Limits(queue=1, max_puzzles=1, timeout=0.05)) as url:
        assert solve(url, BOARD).body["detail"] == "the puzzles were not solved within 0.05 seconds"
        assert solve(url, BOARD).status == 504  # not 429
        held.go.set()


def test_puzzles_of_a_client_that_is_gone_are_not_solved(held: Held) -> None:
    with running({"held": held}, Limits(wait=0, batch_size=1)) as url, ThreadPoolExecutor(1) as pool:
        first = pool.submit(solve, url, BOARD)
        wait_until(lambda: held.batches)
        with _raw(url, request({"puzzles": ["1" + "." * 15]})):
            wait_until(lambda: metric(url, "trm_pending_puzzles") == 2)
        wait_until(lambda: metric(url, "trm_pending_puzzles") == 1)
        held.go.set()
        assert first.result(PATIENCE).status == 200
        assert solve(url, "2" + "." * 15).status == 200
    assert held.batches == [[BOARD], ["2" + "." * 15]]


def test_slow_clients_are_let_go(held: Held) -> None:
    whole = request({"puzzles": [BOARD]})
    with running({"held": held}, Limits(receive_timeout=0.1)) as url:
        with _raw(url, whole[:-5]) as body:
            assert b"408 Request Timeout" in _rest(body)
        with _raw(url, whole[:20]) as head:
            assert not _rest(head)
        with _raw(url, b"") as nothing:
            assert not _rest(nothing)


def test_an_error_of_the_backend_is_a_500_whose_log_quotes_no_puzzle(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(JSONFormatter().format(record))

    def fail(self: Held, text: str) -> dict[str, Any]:
        raise RuntimeError(f"cannot solve {text}")

    monkeypatch.setattr(Held, "solution", fail)
    held.go.set()
    loggers = [logging.getLogger(name) for name in ("trm.serve", "uvicorn.error")]
    for logger in loggers:
        logger.addHandler(Kept())
        monkeypatch.setattr(logger, "level", logging.INFO)
        logger.setLevel(logging.INFO)
    try:
        with running({"held": held}) as url:
            assert solve(url, BOARD).status == 500
            assert solve(url, "11" + BOARD[2:]).status == 422
            assert ask(f"{url}/{BOARD}?{BOARD}").status == 404
    finally:
        for logger in loggers:
            logger.handlers.clear()
    events = [json.loads(line) for line in lines]
    assert [(e["route"], e["status"]) for e in events if e["event"] == "request"] == [
        ("/solve", 500),
        ("/solve", 422),
        ("other", 404),
    ]
    assert any(e.get("error") == "RuntimeError" and "serving.py" not in e["event"] for e in events)
    assert BOARD not in "".join(lines)


def test_a_key_protects_all_but_the_page_and_the_probes(held: Held) -> None:
    held.go.set()
    with running({"held": held}, key="secret") as url:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic secret"}):
            reply = ask(f"{url}/solve", {"puzzles": [BOARD]}, **headers)
            assert (reply.status, reply.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert [ask(f"{url}/{path}").status for path in ("models", "metrics")] == [401, 401]
        assert [ask(f"{url}/{path}").status for path in ("", "health", "ready", "openapi.json")] == [200] * 4
        assert ask(f"{url}/solve", {"puzzles": [BOARD]}, Authorization="Bearer secret").status == 200


def request(body: Any) -> bytes:
    content = json.dumps(body).encode()
    head = f"POST /solve HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    return f"{head}\r\n\r\n".encode() + content


def _raw(url: str, sent: bytes) -> socket.socket:
    """Return a connection on which something was sent."""
    where = urlsplit(url)
    assert where.hostname
    connection = socket.create_connection((where.hostname, where.port or 0), timeout=PATIENCE)
    connection.sendall(sent)
    return connection


def _rest(connection: socket.socket) -> bytes:
    """Return what comes until the connection is closed."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)
