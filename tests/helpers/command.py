"""The command line in the tests: options for a tiny run, and a command that must be refused."""

from pathlib import Path

import pytest
from training import BOARDS, SMALL

from trm.cli.main import main

TINY = [
    "--trainer.accelerator=cpu",
    "--trainer.precision=32-true",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.max_steps=6",
    "--trainer.val_check_interval=2",
    "--trainer.limit_val_batches=1",
    "--trainer.limit_test_batches=1",
    "--trainer.log_every_n_steps=1",
    "--model.compile=false",
    *SMALL,
]
FOUR = [*TINY, *BOARDS]


CHECKPOINT = "runs/quickstart/checkpoints/last.ckpt"


def refused(capsys: pytest.CaptureFixture[str], args: list[str]) -> str:
    """Run a command that must fail, and return the one line it prints."""
    capsys.readouterr()
    before = set(Path.cwd().rglob("*"))
    try:
        status = main(args)
    except SystemExit as stop:  # jsonargparse leaves this way
        status = stop.code
    assert status == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(lines) == 1
    assert set(Path.cwd().rglob("*")) == before
    return lines[0]
