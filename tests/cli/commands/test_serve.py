"""The command ``trm serve``: what it refuses before it serves, and how it ends."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from command import refused
from paths import REPO
from serving import BOARD, PATIENCE, Held, ask, metric, wait_until

import trm
from trm.data.hub import CONFIG, WEIGHTS
from trm.serve.limits import Limits
from trm.serve.server import address, bind, serve
from trm.zoo import find


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.ckpt"], "there is no checkpoint at nowhere.ckpt; accepted are a file, a folder"),
        (["a=nowhere.ckpt"], "there is no checkpoint at nowhere.ckpt"),
        (["=sudoku-4x4"], "'=sudoku-4x4' names no model; accepted are MODEL, to serve it under its own name, and NAME"),
        (["a="], "there is no checkpoint at ''; accepted are a file"),
        (["sudoku-4x4", "--abstain=x"], "abstain is x, but must be a number or auto"),
        (["sudoku-4x4", "sudoku-4x4"], "two models are named 'sudoku-4x4'; pass NAME=sudoku-4x4 to serve the second"),
        (["arc-toy", "--port=0", "--backend=onnx"], "arc-toy is a model of ARC, which onnxruntime does not serve"),
        (["arc-toy", "--port=0", "--select=verifier"], "select is 'verifier'"),
        (["sudoku-4x4", "--port=0", "--backend=onnx", "--complete"], "sudoku-4x4 runs in onnxruntime, which has no"),
        (["sudoku-4x4", "--port=0", "--backend=onnx", "--select=vote"], "serve.select is 'vote', but must be one of"),
        (["sudoku-4x4", "--port=0", "--depth=0"], "serve.depth is 0, but must be at least 1"),
        (["sudoku-4x4", "--port=70000"], "serve.port is 70000, but must be from 0 to 65535"),
        (["sudoku-4x4", "--host=no.such.host.invalid"], "cannot serve on port 8000 of no.such.host.invalid"),
        (["sudoku-4x4", "--host=192.0.2.1", "--port=0"], "cannot serve on port 0 of 192.0.2.1"),
        (["sudoku-4x4", "--batch_size=0"], "serve.batch_size is 0, but must be at least 1"),
        (["sudoku-4x4", "--queue=10"], "serve.queue is 10, but must be at least max_puzzles, 256"),
        (["sudoku-4x4", "--timeout=0"], "serve.timeout is 0.0, but must be from 0.01 to 3600"),
        (["sudoku-4x4", "--views=0", "--port=0"], "serve.views is 0, but must be at least 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_served_is_refused(
    arguments: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(capsys, ["serve", *arguments])


def test_a_port_in_use_is_refused_before_a_model_is_loaded(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        message = refused(capsys, ["serve", "arc-toy", f"--port={port}"])
    assert f"port {port} of 127.0.0.1 is in use; pass another --port, or 0 for any free one" in message


def test_a_hub_folder_is_served_under_its_whole_name(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("four-1.5").mkdir()
    for name in (CONFIG, WEIGHTS):
        Path("four-1.5", name).touch()
    message = refused(capsys, ["serve", "four-1.5", "four-1.5/"])
    assert "two models are named 'four-1.5'; pass NAME=four-1.5/ to serve the second under another name" in message


@pytest.mark.parametrize("key", ["", "two words", "schlüssel", "line\n"])
def test_a_key_that_no_header_can_hold_is_refused(
    key: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRM_API_KEY", key)
    message = refused(capsys, ["serve", "sudoku-4x4", "--port=0"])
    assert "TRM_API_KEY is set, but is no key" in message
    assert not key or key not in message


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "prometheus_client"])
def test_a_missing_extra_is_refused_with_the_line_for_pip(
    package: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trm, "serve", trm.serve)  # the one before, once this test is over
    for name in [name for name in sys.modules if name.startswith("trm.serve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    message = refused(capsys, ["serve", "sudoku-4x4"])
    assert message.endswith(f"trm serve needs the package {package}: pip install 'trm[serve]'")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_when_all_accepted_is_answered(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    held, bound = Held(), bind("127.0.0.1", 0)
    url, before = address(bound), signal.getsignal(number)

    def stop_amid_requests() -> list[int]:
        wait_until(lambda: not _refuses(url))
        with ThreadPoolExecutor(3) as clients:
            try:
                asked = [clients.submit(ask, f"{url}/solve", {"puzzles": [BOARD]}) for _ in range(3)]
                wait_until(lambda: metric(url, "trm_pending_puzzles") == 3)
            finally:
                os.kill(os.getpid(), number)
            try:
                wait_until(lambda: _refuses(url))
            finally:
                held.go.set()
            return [reply.result(PATIENCE).status for reply in asked]

    with ThreadPoolExecutor(1) as pool:
        statuses = pool.submit(stop_amid_requests)
        serve({"held": held}, bound, Limits(batch_size=1))
        assert statuses.result(PATIENCE) == [200, 200, 200]
    assert signal.getsignal(number) == before
    first, *_, last = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["event"], first["address"]) == ("serving", url)
    assert last["event"] == "stopped"


@pytest.mark.slow
def test_the_command_serves_a_file_under_a_name_and_exits_with_status_0(tmp_path: Path) -> None:
    shutil.copy(find("sudoku-4x4"), tmp_path / "last.ckpt")
    command = [sys.executable, "-m", "trm", "serve", "mine=last.ckpt", "sudoku-4x4", "--port=0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPO), "TRM_API_KEY": "secret"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        giving_up = threading.Timer(PATIENCE, process.kill)
        giving_up.start()
        try:
            assert process.stderr
            url = json.loads(process.stderr.readline())["address"]
            body = {"puzzles": [BOARD], "model": "mine"}
            assert ask(f"{url}/solve", body).status == 401
            reply = ask(f"{url}/solve", body, Authorization="Bearer secret")
            assert reply.body["solutions"][0]["answer"] == "1243432134122134"
            process.terminate()
            lines = [json.loads(line) for line in process.stderr]
            assert process.wait(PATIENCE) == 0
        finally:
            giving_up.cancel()
            process.kill()
    assert [line["event"] for line in lines] == ["request", "request", "stopped"]
    assert lines[1]["model"] == "mine"
    assert BOARD not in json.dumps(lines)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt"]


def _refuses(url: str) -> bool:
    """Return whether the service accepts no further connection."""
    host, port = url.removeprefix("http://").split(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return False
    except OSError:
        return True
