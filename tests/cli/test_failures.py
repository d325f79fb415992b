"""How a command ends early: closed pipes and Ctrl-C end it quietly, with the exit status of a shell."""

import linecache
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
from trm.signals import ending_at_signals

BOARD = ".3...2.1...4...."
INTERRUPTED = """
import os, signal, sys
import trm.cli.main as cli
def locate(where):
    try:
        os.kill(os.getpid(), int(sys.argv[1]))
        signal.getsignal(signal.SIGINT)  # an instruction before which the handler runs
    except Exception:
        pass  # of a library, which takes everything for its own
cli.locate = locate
sys.exit(cli.main(["zoo"]))
"""
LOST = """
import gc, os, signal, sys
import trm.cli.main as cli
class Deleted:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        signal.getsignal(signal.SIGINT)
def locate(where):
    Deleted()  # Python ignores the exception that the handler raises here
    return lambda: 0
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


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_with_its_status_and_a_sentence(signum: signal.Signals) -> None:
    ((status, printed),) = run(REPO, [sys.executable, "-c", INTERRUPTED, str(int(signum))])
    assert (status, printed) == (128 + signum, f"trm: {signum.name}: stopped before its end\n")


def test_a_signal_whose_exception_is_lost_ends_the_command_all_the_same() -> None:
    ((status, printed),) = run(REPO, [sys.executable, "-c", LOST])
    assert status == 143
    assert printed.endswith("trm: SIGTERM: stopped before its end\n")


@pytest.mark.slow
def test_a_command_works_without_standard_streams() -> None:
    command = f"{sys.executable} -m trm solve sudoku-4x4 {BOARD} <&- >&- 2>&-"
    assert run(REPO, ["sh", "-c", command]) == [(0, "")]
    ((status, printed),) = run(REPO, ["sh", "-c", f"{sys.executable} -m trm solve sudoku-4x4 - <&-"])
    assert (status, "standard input contains no puzzle" in printed) == (2, True)


def test_workers_leave_ctrl_c_to_the_process_that_watches() -> None:
    with ending_at_signals():
        if not (child := os.fork()):
            os.kill(os.getpid(), signal.SIGINT)  # ignored
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM


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


def _raised(source: str, name: str) -> BaseException:
    """Return the exception that a statement raises in a module of that name."""
    try:
        exec(compile(source, linecache_file(source), "exec"), {"__name__": name})
    except Exception as error:
        return error
    raise AssertionError(source)


def linecache_file(source: str) -> str:
    """Register source code with ``linecache``, and return the name of its file."""
    name = f"<{abs(hash(source))}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    return name


@pytest.mark.parametrize(
    ("source", "module", "status"),
    [
        ("raise ValueError('no such strategy')", "lightning.pytorch.trainer", 2),
        ("raise ValueError(\n    'no such '\n    'strategy'\n)", "lightning.pytorch.trainer", 2),
        ("raise ValueError('a fault of mine')", "mine", None),
        ("{}['a']", "lightning.pytorch.trainer", None),
        ("raise RuntimeError('DataLoader worker (pid 7) is killed by signal: Killed')", "torch.utils.data", 1),
        ("raise RuntimeError('[gloo/pair.cc:5] Connection closed by peer')", "torch.distributed", 1),
        ('raise RuntimeError("can\'t allocate memory: you tried to allocate 4 bytes")', "torch.nn", 2),
        ("raise RuntimeError('Storage size calculation overflowed with sizes=[5, 1000000000]')", "torch.nn", 2),
        ("raise MemoryError", "numpy", 2),
    ],
)
def test_what_a_library_refuses_is_a_sentence_and_a_fault_has_its_traceback(
    source: str, module: str, status: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(_raised(source, module)) == status
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("trm: error: ") for line in lines] == [True] * (status is not None)


def test_an_error_in_a_worker_is_its_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    traceback = "Original Traceback (most recent call last):\n  File x\ntrm.errors.InputError: y: z\n"
    assert report(InputError(f"Caught InputError in worker 0.\n{traceback}")) == 2
    assert capsys.readouterr().err == "trm: error: y: z\n"


def test_a_broken_pipe_inside_a_run_is_not_taken_for_that_of_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(BrokenPipeError(32, "Broken pipe")) == 2
    assert capsys.readouterr().err == "trm: error: Broken pipe\n"


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
