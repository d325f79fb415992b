"""How a command ends early: closed pipes and Ctrl-C end it quietly, with the exit status of a shell."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from paths import REPO
from processes import run

from trm.cli.failures import report
from trm.errors import DivergedError, InputError, Stopped

BOARD = ".3...2.1...4...."
INTERRUPTED = """
import os, signal, sys
import trm.cli.main as cli
def locate(where):
    os.kill(os.getpid(), signal.SIGINT)
cli.locate = locate
sys.exit(cli.main(["zoo"]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [["--help"], ["zoo"], ["zoo", "--help"], ["reproduce"], ["solve", "sudoku-4x4", BOARD], ["info", "sudoku-4x4"]],
    ids=" ".join,
)
def test_a_closed_pipe_ends_a_command_quietly(command: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    with os.fdopen(writer) as pipe:
        ended = subprocess.run(
            [sys.executable, "-m", "trm", *command], stdout=pipe, stderr=subprocess.PIPE, env=environment, check=False
        )
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_ctrl_c_ends_a_command_without_a_traceback() -> None:
    assert run(REPO, [sys.executable, "-c", INTERRUPTED]) == [(128 + signal.SIGINT, "")]


def test_what_lightning_makes_of_ctrl_c_is_told_as_such() -> None:
    with pytest.raises(SystemExit) as stop:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)
    assert report(stop.value) == 130


def test_what_nobody_foresaw_is_left_to_python(capsys: pytest.CaptureFixture[str]) -> None:
    for error in (RuntimeError("a fault"), ValueError("another"), SystemExit(0), TypeError("a third")):
        assert report(error) is None
    assert capsys.readouterr().err == ""


def test_a_refusal_is_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    wrapped = ValueError("of the parser")
    wrapped.__cause__ = InputError("data.size is 5")
    full = OSError(28, "No space left on device")
    errors = [wrapped, FileNotFoundError(2, "No such file", str(tmp_path)), full, DivergedError("not finite", True)]
    assert [report(error) for error in errors] == [2, 2, 2, 1]
    assert capsys.readouterr().err.splitlines() == [
        "trm: error: data.size is 5",
        f"trm: error: {tmp_path}: No such file",
        "trm: error: No space left on device",
        "trm: error: not finite",
    ]
    assert report(Stopped(signal.SIGTERM, "saved at step 3")) == 143
    assert capsys.readouterr().err == "trm: SIGTERM: saved at step 3\n"
