"""``trm reproduce`` prints the plan of an experiment that its configuration carries out, and runs it."""

import os
import signal
import sys
import threading
from pathlib import Path

import pytest
import yaml
from tables import write_tables
from test_cli import TINY, refused

from trm.cli import main
from trm.reproduce import EXPERIMENTS, _run

CONFIGS = Path(__file__).parent.parent / "configs"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_plan_tells_commands_expectation_and_differences(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", name, f"--configs={CONFIGS}", "--devices=4", "--data.seed=1"]) == 0
    printed = capsys.readouterr().out
    config = yaml.safe_load((CONFIGS / f"{EXPERIMENTS[name].config}.yaml").read_text())
    assert f"{config['trainer']['max_steps']:,} optimizer steps of 768 slots" in printed
    assert config["data"]["init_args"]["slots"] == 768
    for command in ("fit", "test"):
        assert f"trm {command} --config={CONFIGS / EXPERIMENTS[name].config}.yaml --trainer.devices=4" in printed
    assert printed.count("--data.slots=192 --data.seed=1") == 2
    assert "published" in printed
    assert "AdamATan2" in printed
    assert max(map(len, printed.splitlines())) < 150


def test_a_run_trains_and_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tables(tmp_path / "tables", "Sudoku")
    options = ["--data.source=tables", "--data.train_size=20", "--data.val_size=8", *TINY]
    assert main(["reproduce", "sudoku", f"--configs={CONFIGS}", "--run", *options]) == 0
    assert "test/solved" in capfd.readouterr().out
    assert (tmp_path / "runs/sudoku/checkpoints/last.ckpt").exists()


def test_the_first_command_that_fails_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "sudoku", f"--configs={CONFIGS}", "--run", "--data.source=nowhere", *TINY]) == 2
    printed = capfd.readouterr()
    assert "nowhere/train.csv" in printed.err
    assert "$ trm test" not in printed.out


def test_a_signal_reaches_the_command_that_runs() -> None:
    child = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); time.sleep(60)"
    timer = threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    assert _run([sys.executable, "-c", child]) == 143


def test_bad_requests_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "there is no configs/maze.yaml" in refused(capsys, ["reproduce", "maze"])
    assert "--devices is 7" in refused(capsys, ["reproduce", "maze", f"--configs={CONFIGS}", "--devices=7"])
    assert "invalid choice: 'chess'" in refused(capsys, ["reproduce", "chess"])
