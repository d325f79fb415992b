"""``trm reproduce`` prints the plan of an experiment that its configuration carries out, and runs it."""

import os
import signal
import sys
import threading
from pathlib import Path

import pytest
import torch
import yaml
from command import TINY, refused
from paths import REPO
from tables import write_tables

from trm.checkpoints.files import read_checkpoint
from trm.cli.commands.reproduce import EXPERIMENTS, _carry_out, _run
from trm.cli.main import main
from trm.reproduce.ledger import read

CONFIGS = REPO / "configs"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_plan_tells_commands_expectation_and_differences(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", name, f"--configs={CONFIGS}", "--devices=4", "--data.seed=1"]) == 0
    printed = capsys.readouterr().out
    config = yaml.safe_load((CONFIGS / f"{EXPERIMENTS[name].config}.yaml").read_text())
    assert f"{config['trainer']['max_steps']:,} optimizer steps of 768 slots" in printed
    assert config["data"]["init_args"]["slots"] == 768
    for command in ("fit", "test"):
        assert f"trm {command} --config={CONFIGS / EXPERIMENTS[name].config}.yaml --trainer.devices=4" in printed
    assert "--data.slots" not in printed  # the total, which the devices share
    assert printed.count(f"--trainer.logger.save_dir=runs/{name} --data.seed=1") == 2
    assert f"--ledger=benchmarks/ledger.csv --claim={name}" in printed
    assert "published" in printed
    assert max(len(line) for line in printed.splitlines() if "trm " not in line) < 150


def test_the_plan_tells_the_depth_that_the_options_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "sudoku-t2-n4", f"--configs={CONFIGS}"]) == 0
    assert "T = 2, n = 4, mlp mixer" in capsys.readouterr().out


def test_what_differs_from_the_published_experiment_is_not_taken_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["reproduce", "sudoku", f"--configs={CONFIGS}", "--data.source=FOLDER"]
    for options, told in {
        ("--trainer.max_steps=100",): "changed     trainer.max_steps: another experiment",
        ("--model.hidden_size", "64", "--data.source=generate"): "changed     data.source, model.hidden_size: another",
    }.items():
        assert main([*command, *options]) == 0
        printed = capsys.readouterr().out
        assert told in printed
        assert "--claim=other/sudoku" in printed
        assert ("5,028,866 parameters" in printed) == ("--model.hidden_size" not in options)
    assert "100 optimizer steps" not in printed
    assert main([*command, "--trainer.max_steps=100", "--claim=mine"]) == 0
    printed = capsys.readouterr().out
    assert "--claim=mine" in printed
    assert "100 optimizer steps" in printed


def test_without_a_name_all_experiments_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert EXPERIMENTS.keys() < lines.keys()
    assert "Maze-Hard, 1,000 mazes: self-attention" in lines["maze"]
    assert max(map(len, lines.values())) < 150


KILLED_ONCE = """
import os, signal, sys
from pathlib import Path
from trm.cli.main import main
from trm.module import TRMModule
step = TRMModule.supervision_step
def killed(self, fresh):
    if self.global_step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    step(self, fresh)
if not Path("killed").exists():
    Path("killed").touch()
    TRMModule.supervision_step = killed
sys.argv = sys.argv[3:]  # python -m trm ...
sys.exit(main())
"""


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_by_itself_and_writes_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(REPO))
    write_tables(tmp_path / "tables", "Sudoku")
    Path("launch.py").write_text(KILLED_ONCE)
    options = ["--data.source=tables", "--data.train_size=20", "--data.val_size=8", *TINY, "--model.latent_steps=2"]
    command = ["reproduce", "sudoku-t2-n2", f"--configs={CONFIGS}", "--run", f"--launch={sys.executable} launch.py"]
    assert main([*command, *options]) == 0
    printed = capfd.readouterr()
    assert "trm: status 137 at step 4; started again, 2 of 10" in printed.err
    assert (printed.out.count(" trm fit "), printed.out.count(" trm test ")) == (3, 2)  # in the plan, and each start
    assert read_checkpoint("runs/sudoku-t2-n2/checkpoints/last.ckpt")["global_step"] == 6
    solved, valid = read(Path("benchmarks/ledger.csv"))
    assert (solved.claim, solved.steps, solved.training_puzzles) == ("other/sudoku-t2-n2", "6", "20")
    assert (solved.metric, valid.metric, solved.published) == ("solved", "valid", "")
    assert f"{tmp_path}" not in solved.command


NOTHING = {"state_dict": {}, "hyper_parameters": {}, "trm_version": "0.2.0", "pytorch-lightning_version": "2.6.0"}


@pytest.mark.parametrize(
    ("ends", "tries", "status"),
    [
        ([(0, 4)], 3, 0),
        ([(2, 0)], 3, 2),  # refused
        ([(130, 4)], 3, 130),  # stopped by its user
        ([(143, 4)], 3, 143),
        ([(137, 4), (139, 4), (0, 4)], 3, 0),
        ([(137, 4), (137, 4), (137, 4)], 3, 137),
        ([(1, 4), (1, 4)], 9, 1),  # diverged twice at the same step
        ([(1, 4), (1, 8), (0, 8)], 9, 0),
        ([(1, 4), (137, 4), (1, 4), (1, 4)], 9, 1),
        ([(1, 0), (1, 0)], 9, 1),  # before there is a checkpoint
    ],
)
def test_a_command_is_started_again_only_where_that_may_help(
    ends: list[tuple[int, int]], tries: int, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, last = list(ends), tmp_path / "last.ckpt"

    def run(command: list[str]) -> int:
        assert command[-3:] == ["-m", "trm", "fit"]
        ended, step = left.pop(0)
        if step:
            torch.save({**NOTHING, "global_step": step}, last)
        return ended

    monkeypatch.setattr("trm.cli.commands.reproduce._run", run)
    assert _carry_out(["trm", "fit"], [], tries, last) == status
    assert not left


def test_a_ledger_that_cannot_be_kept_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("trm.cli.commands.reproduce._run", lambda command: pytest.fail("a command was started"))
    ledger = f"--ledger={CONFIGS / 'sudoku.yaml'}"
    assert "is not a ledger" in refused(capsys, ["reproduce", "sudoku", f"--configs={CONFIGS}", "--run", ledger])


@pytest.mark.slow
def test_the_first_command_that_fails_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "sudoku", f"--configs={CONFIGS}", "--run", "--data.source=nowhere", *TINY]) == 2
    printed = capfd.readouterr()
    assert "cannot read nowhere: No such file or directory" in printed.err
    assert "$ trm test" not in printed.out
    assert not Path("results").exists()


def test_a_signal_reaches_the_command_that_runs() -> None:
    child = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); time.sleep(60)"
    timer = threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    assert _run([sys.executable, "-c", child]) == 143


def test_a_command_that_a_signal_ends_has_the_status_of_a_shell() -> None:
    assert _run([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]) == 137


def test_bad_requests_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "there is no configs/maze.yaml" in refused(capsys, ["reproduce", "maze"])
    assert "--devices is 7" in refused(capsys, ["reproduce", "maze", f"--configs={CONFIGS}", "--devices=7"])
    assert "reproduce.tries is 0" in refused(capsys, ["reproduce", "maze", f"--configs={CONFIGS}", "--tries=0"])
    assert "there is no experiment 'mase'; did you mean maze?" in refused(capsys, ["reproduce", "mase"])
