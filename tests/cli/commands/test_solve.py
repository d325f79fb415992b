"""``trm solve``: where puzzles come from, what is answered when some cannot be read, and how answers are printed."""

import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command import refused

from trm.cli.main import main
from trm.data import Sudoku
from trm.zoo import card

BOARD = ".3...2.1...4...."
OTHER = ".2..4..13......4"
ROWS = "\n".join(BOARD[first : first + 4] for first in range(0, 16, 4))

Feed = Callable[[bytes], None]


@pytest.fixture(autouse=True)
def folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that appear in the working directory are those of the command, not of other tests."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Feed:
    """Replace standard input by bytes."""
    return lambda data: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def answers(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.partition(" ")[0] for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    "data",
    [
        f"{BOARD}\n{OTHER}\n".encode(),
        f"\ufeff{BOARD}\r\n{OTHER}".encode(),
        f"{BOARD}\n{OTHER}".encode("utf-16"),
        gzip.compress(f"# two\n{BOARD} hard\n\n{OTHER}".encode()),
        f"{ROWS}\n\n{OTHER}".encode(),
        f"quizzes,solutions\n{BOARD},1\n{OTHER},2".encode(),
    ],
    ids=["lines", "BOM and CRLF", "UTF-16", "gzip", "rows", "table"],
)
def test_files_standard_input_and_arguments_are_answered_alike(
    data: bytes, feed: Feed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["solve", "sudoku-4x4", BOARD, OTHER]) == 0
    expected = answers(capsys)
    assert [len(answer) for answer in expected] == [16, 16]
    (tmp_path / "boards.txt").write_bytes(data)
    assert main(["solve", "sudoku-4x4", str(tmp_path / "boards.txt")]) == 0
    assert answers(capsys) == expected
    feed(data)
    assert main(["solve", "sudoku-4x4", "-"]) == 0
    assert answers(capsys) == expected


def test_what_can_be_read_is_answered_before_the_rest_is_refused(
    feed: Feed, capsys: pytest.CaptureFixture[str]
) -> None:
    feed(f"{BOARD}\n12\n".encode() + b"\xe9\n" + f"{OTHER}\n{'1' * 16}\n{BOARD}\n".encode())
    assert main(["solve", "sudoku-4x4", "-", OTHER]) == 2
    printed = capsys.readouterr()
    assert printed.out.count("obeys the rules") == 4
    assert printed.err == (
        "trm: error: line 2 of standard input: the board '12' has 2 cells, but 4x4 Sudoku has 16; boards are 4x4, "
        "6x6, 9x9 or 16x16; nor can these be answered: line 3 of standard input, line 5 of standard input\n"
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "standard input contains no puzzle"),
        (b"# nothing\n\n", "standard input contains no puzzle"),
        (b"\xff\xfe1", "standard input begins with the BOM of utf-16, but is in another encoding"),
        (b"\x1f\x8b", "standard input is a truncated or corrupt gzip file"),
        (b"\xe9\n", "line 1 of standard input: it has the byte 0xe9 in an encoding other than the accepted UTF-8"),
    ],
)
def test_input_without_a_puzzle_is_refused(
    data: bytes, message: str, feed: Feed, capsys: pytest.CaptureFixture[str]
) -> None:
    feed(data)
    assert message in refused(capsys, ["solve", "sudoku-4x4", "-"])


def test_a_closed_standard_input_is_refused() -> None:
    command = f"exec {sys.executable} -m trm solve sudoku-4x4 - <&-"
    result = subprocess.run(command, shell=True, capture_output=True, text=True)  # only a shell closes it
    assert result.returncode == 2
    assert result.stderr.strip().splitlines()[-1] == "trm: error: standard input contains no puzzle"


def test_a_file_that_is_not_there_is_not_taken_for_a_board(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "cannot read boards.txt: No such file" in refused(capsys, ["solve", "sudoku-4x4", "boards.txt"])
    assert f"cannot read {tmp_path}: Is a directory" in refused(capsys, ["solve", "sudoku-4x4", str(tmp_path)])


def test_a_pipe_gets_lines_that_can_be_read_back(feed: Feed, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", "sudoku-4x4", BOARD, OTHER]) == 0
    printed = capsys.readouterr().out
    assert all(len(line.partition("  ; obeys the rules; ")[0]) == 16 for line in printed.splitlines())
    feed(printed.encode())
    assert main(["solve", "sudoku-4x4", "-"]) == 0
    assert [line[:16] for line in capsys.readouterr().out.splitlines()] == [line[:16] for line in printed.splitlines()]


def test_a_terminal_gets_a_picture_that_can_be_read_back(
    feed: Feed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys.stdout, "isatty", lambda: True)
        assert main(["solve", "sudoku-4x4", BOARD, OTHER]) == 0
    picture = capsys.readouterr().out
    assert picture.startswith("+-----+-----+\n|")
    assert picture.count("\033[1;32m") == BOARD.count(".") + OTHER.count(".")  # the givens are not coloured
    feed(picture.encode())
    assert main(["solve", "sudoku-4x4", "-"]) == 0
    assert len(answers(capsys)) == 2


def test_a_sample_of_the_test_split_is_answered_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", "sudoku-4x4", "test:0", "test:1"]) == 0
    assert capsys.readouterr().out.count("equal to the known answer") == 2
    assert main(["solve", "sudoku-4x4", "test:0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["correct"] is True
    for name in ("test:1000", "test:x", "test:-1", "test:", "test:²"):
        assert f"the puzzle is {name}, but the test split has test:0 to" in refused(
            capsys, ["solve", "sudoku-4x4", name]
        )


def test_a_square_board_of_ones_own_is_drawn_by_default() -> None:
    class Plain(Sudoku):
        render_board = Sudoku.__mro__[1].render_board

    data = Plain(size=4)
    question = data.parse(BOARD)
    answer = data.parse("4312213412433421")
    assert data.render_board(answer) == "4 3 1 2\n2 1 3 4\n1 2 4 3\n3 4 2 1"
    assert data.render_board(answer, question).splitlines()[0] == ". 3 . .   4 3 1 2"
    drawn = data.render_board(answer, question, color=True)
    assert drawn.splitlines()[0] == ". 3 . .   \033[1;32m4\033[0m 3 \033[1;32m1\033[0m \033[1;32m2\033[0m"


TASK = {
    "train": [{"input": [[1, 2], [3, 4]], "output": [[4, 3], [2, 1]]}],
    "test": [{"input": [[5, 6], [7, 8]], "output": None}],
}


def test_tasks_are_answered_by_name_from_files_and_folders(
    feed: Feed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "concept").mkdir()
    (tmp_path / "concept" / "one.json").write_text(json.dumps(TASK), encoding="utf-8-sig")
    (tmp_path / "concept" / "._one.json").write_bytes(b"\0\5\x16\7")
    (tmp_path / "arc-agi_x_challenges.json").write_text(json.dumps({"two": TASK, "three": TASK}))
    (tmp_path / "lines.jsonl").write_text(f"{json.dumps({'id': 'four', **TASK})}\n\n{json.dumps(TASK)}\n")
    feed(json.dumps(TASK).encode("utf-16"))
    given = ["25ff71a9", *map(str, sorted(tmp_path.iterdir())), "-"]
    assert main(["solve", "arc-toy", *given, "--views=1", "--json"]) in (0, 1)
    found = [next(iter(json.loads(line))) for line in capsys.readouterr().out.splitlines()]
    assert found == ["25ff71a9", "two", "three", "one", "four", "lines-3", "task"]


def test_of_many_tasks_those_that_fit_are_answered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    large = {"train": TASK["train"], "test": [{"input": [[0] * 30]}]}
    tasks = {"large": large, "good": TASK, "bad": {"train": []}, "pairs": TASK["train"], "larger": large}
    (tmp_path / "all.json").write_text(json.dumps(tasks))
    assert main(["solve", "arc-toy", str(tmp_path / "all.json"), "--views=1", "--json"]) == 2
    printed = capsys.readouterr()
    assert [next(iter(json.loads(line))) for line in printed.out.splitlines()] == ["good"]
    assert "trm: error: task large has a grid of 30 rows or columns, but the model's canvas" in printed.err
    assert "nor can these be answered: " in printed.err


def test_a_file_or_line_that_cannot_be_read_does_not_hide_those_behind_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text(f'{json.dumps(TASK)}\n{{"train": }}\n{json.dumps(TASK)}\n')
    (tmp_path / "c.json").write_text(json.dumps(TASK))
    assert main(["solve", "arc-toy", str(tmp_path), "--views=1", "--json"]) == 2
    printed = capsys.readouterr()
    assert [next(iter(json.loads(line))) for line in printed.out.splitlines()] == ["b-1", "b-3", "c"]
    assert f"{tmp_path / 'a.json'} is not JSON" in printed.err
    assert f"{tmp_path / 'b.json'}, line 2 is not JSON" in printed.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "is JSON that is nested too deeply"),
        ("{", "is not JSON"),
        ('{"a": [[[1]], [[2]]]}', "contains solutions or attempts, but no tasks; those are in Kaggle's challenges"),
        (json.dumps(TASK["train"]), "task file has 1 pair, as in re-arc or BARC, but no test input to answer"),
        (json.dumps({"source": "x = 1", "examples": [[[[1]], [[2]]]]}), "task file has 1 pair, as in re-arc or BARC"),
        (json.dumps({**TASK, "test": [{"input": None}]}), "the input of test pair 1 is null"),
    ],
    ids=["deep", "open", "solutions", "re-arc", "BARC", "null"],
)
def test_a_file_without_a_task_to_answer_is_refused(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file.json").write_text(text)
    assert message in refused(capsys, ["solve", "arc-toy", str(tmp_path / "file.json")])


def test_an_unknown_task_is_refused_with_what_is_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, ["solve", "arc-toy", "25ff71a"])
    assert "needs a task: a file such as TASK.json, the name of one of its 46 tasks, or test:N" in message


def test_a_trace_takes_the_same_puzzles_one_at_a_time(
    feed: Feed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show = ["--terminal", "--delay=0", "--depth=1"]
    feed(f"# one\n{ROWS}".encode())
    assert main(["trace", "sudoku-4x4", "-", *show]) == 0
    assert main(["trace", "arc-toy", "25ff71a9", *show]) == 0
    (tmp_path / "two.txt").write_text(f"{BOARD}\n{OTHER}\n")
    assert "two.txt contains 2 puzzles, but one is accepted here" in refused(
        capsys, ["trace", "sudoku-4x4", str(tmp_path / "two.txt"), *show]
    )


def test_an_answer_below_the_threshold_is_marked_and_the_status_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", "sudoku-4x4", BOARD, "--abstain=1"]) == 1
    assert "  ; abstains below 100.0%: obeys the rules; " in capsys.readouterr().out
    assert main(["solve", "sudoku-4x4", BOARD, "--abstain=1", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["abstains"], told["abstain_below"], told["valid"]) == (True, 1.0, True)


def test_a_model_of_the_zoo_abstains_by_its_own_threshold(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", "sudoku-4x4", BOARD, "--abstain=auto", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert not told["abstains"]
    assert 0 < told["abstain_below"] < told["confidence"]
    assert f"`--abstain auto` abstains below {100 * told['abstain_below']:.1f} %." in card("sudoku-4x4")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["arc-toy", "--abstain=auto"], "abstain is auto, but the model has no threshold"),
        (["sudoku-4x4", "--abstain=1.5"], "abstain is 1.5, but must be from 0 to 1"),
        (["sudoku-4x4", "--abstain=-0.1"], "abstain is -0.1, but must be from 0 to 1"),
        (["sudoku-4x4", "--abstain=nan"], "abstain is nan, but must be a number or auto"),
        (["sudoku-4x4", "--abstain=often"], "abstain is often, but must be a number or auto"),
    ],
)
def test_a_threshold_that_does_not_exist_is_refused(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(capsys, ["solve", options[0], BOARD, *options[1:]])


def test_a_model_abstains_from_the_test_inputs_of_a_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "task.json").write_text(json.dumps(TASK))
    asked = ["solve", "arc-toy", "task.json", "--views=2"]
    assert main([*asked, "--abstain=1"]) == 1
    assert "attempt 1: abstains below 100.0%: " in capsys.readouterr().out
    assert main([*asked, "--abstain=1", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["abstains"] == [True] * len(TASK["test"])
    main([*asked, "--json"])
    assert json.loads(capsys.readouterr().out)["abstains"] == [False] * len(TASK["test"])
