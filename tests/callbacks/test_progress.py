"""The progress bar counts optimizer steps over the whole run, also of one that goes on."""

import re
from pathlib import Path

import pytest
from command import FOUR

from trm.cli.lightning import TRMCLI
from trm.cli.main import main

FIT = ["fit", "--config", "configs/quickstart.yaml", *[o for o in FOUR if "progress" not in o]]


def test_one_bar_counts_the_steps_of_a_run_and_of_one_that_goes_on(
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*FIT, "--trainer.max_steps=4"]) == 0
    printed = capsys.readouterr().out
    assert "4/4" in printed
    assert re.search(r"training: .* steps/s, solved=\d+\.\d%, validation=\d+\.\d%, loss=\d\.\d{3}\]", printed)
    assert main([*FIT, "--trainer.max_steps=6"]) == 0
    printed = capsys.readouterr().out
    assert "6/6" in printed
    assert " 0/6" not in printed
    assert "Epoch" not in printed


def test_a_bar_of_ones_own_is_kept_and_none_is_forced_on_anybody(
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*FIT, "--trainer.callbacks+=TQDMProgressBar"]) == 0
    assert "Epoch 0" in capsys.readouterr().out
    assert main([*FIT, "--trainer.max_steps=8", "--trainer.enable_progress_bar=false"]) == 0
    assert "training:" not in capsys.readouterr().out


class Closed:
    """A terminal that has been closed."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")

    def flush(self) -> None:
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("terminal", [Closed(), None], ids=["closed", "none"])
def test_a_bar_that_cannot_be_printed_ends_no_run(
    terminal: Closed | None, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", terminal)
    TRMCLI(args=[*FIT, "--ckpt_path=null"])
    assert Path("runs/quickstart/checkpoints/last.ckpt").is_file()
