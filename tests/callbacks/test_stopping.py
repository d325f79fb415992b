"""A signal ends a run after the step at hand, with its state saved, and the same command goes on exactly."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from paths import REPO
from training import STATE, assert_same, quiet_trainer

from trm.callbacks.checkpoints import Checkpoints
from trm.callbacks.ema import StepEMA
from trm.checkpoints.files import CheckpointFiles
from trm.data import Sudoku
from trm.errors import Stopped
from trm.module import TRMModule

pytestmark = [
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
]


class Signalled(TRMModule):
    """Sends itself a signal in the middle of a supervision step."""

    when, signum = -1, signal.SIGTERM

    def supervision_step(self, fresh: Any) -> None:
        if self.global_step == self.when:
            os.kill(os.getpid(), self.signum)
        super().supervision_step(fresh)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        if self.global_step == -self.when and batch_idx == 0 and not self.trainer.sanity_checking:
            os.kill(os.getpid(), self.signum)
        super().validation_step(batch, batch_idx)


def train(folder: Path, when: int = -100, signum: int = signal.SIGTERM, ckpt_path: str | None = None) -> Signalled:
    """Train for eleven steps, with a signal in step ``when``, or in the validation after step ``-when``."""
    torch.manual_seed(0)
    module = Signalled(6, 16, 1, hidden_size=16, num_heads=2, multiple_of=8, cycles=1, latent_steps=1, puzzle_tokens=1,
                       supervision_steps=3, explore=0.5)  # fmt: skip
    module.when, module.signum = when, signum
    trainer = quiet_trainer(
        max_steps=11,
        limit_train_batches=2,
        enable_checkpointing=True,
        callbacks=[StepEMA(0.9), Checkpoints(str(folder))],
        plugins=[CheckpointFiles()],
    )
    sizes = {"train_size": 30, "val_size": 8, "test_size": 4, "slots": 4, "steps_per_batch": 3, "workers": 0}
    data = Sudoku(4, clues=(8, 8), root=str(folder.parent), **sizes)
    trainer.fit(module, data, ckpt_path=ckpt_path, weights_only=True)
    return module


@pytest.mark.parametrize("when", [3, 4, 5, -6], ids=["first step", "mid-batch", "last step", "validation"])
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_run_goes_on_exactly(when: int, signum: int, tmp_path: Path) -> None:
    train(tmp_path / "whole")
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(Stopped, match=rf"stopped after step {when + 1 if when > 0 else 6}; .*last\.ckpt") as stopped:
        train(tmp_path / "parts", when, signum)
    assert stopped.value.exit_status == 128 + signum
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
    train(tmp_path / "parts", ckpt_path="last")
    whole, resumed = (torch.load(tmp_path / run / "last.ckpt", weights_only=True) for run in ("whole", "parts"))
    for key in STATE:
        assert_same(whole[key], resumed[key], key)


def test_a_validation_cut_short_logs_nothing(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(tmp_path / "run", when=-6)
    assert not [name for name in torch.load(tmp_path / "run" / "last.ckpt")["metrics"] if name.startswith("val/")]


def test_a_second_signal_ends_the_run_at_once(tmp_path: Path) -> None:
    class Impatient(Checkpoints):
        def on_train_batch_end(self, *args: Any) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    callback = Impatient(str(tmp_path))
    trainer = quiet_trainer(max_steps=11, limit_train_batches=2, enable_checkpointing=True, callbacks=[callback])
    module = Signalled(6, 16, hidden_size=16, num_heads=2, multiple_of=8, cycles=1, latent_steps=1, puzzle_tokens=0)
    module.when = 1
    sizes = {"train_size": 30, "val_size": 8, "test_size": 4, "slots": 4, "steps_per_batch": 3, "workers": 0}
    with pytest.raises(SystemExit) as stop:  # Lightning's answer to a KeyboardInterrupt
        trainer.fit(module, Sudoku(4, clues=(8, 8), root=str(tmp_path), **sizes))
    assert stop.value.code == 1
    assert not (tmp_path / "last.ckpt").exists()


LOOP = """
import os, signal, sys
from trm.cli.main import main
from trm.module import TRMModule
step = TRMModule.supervision_step
def signalled(self, fresh):
    if self.global_step == 7:
        os.kill(os.getpid(), signal.SIGTERM)
    step(self, fresh)
TRMModule.supervision_step = signalled
sys.exit(main())
"""


@pytest.mark.slow
def test_the_command_reports_and_exits_as_a_shell_expects(tmp_path: Path) -> None:
    config = REPO / "configs" / "quickstart.yaml"
    small = ["--data.train_size=30", "--data.val_size=4", "--data.test_size=4", "--data.slots=4"]
    command = [sys.executable, "-c", LOOP, "fit", "--config", str(config), *small, "--trainer.logger=false"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 143, done.stderr
    assert done.stderr.splitlines()[-1].startswith("trm: SIGTERM: stopped after step 8; ")
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.rglob("*.ckpt")] == ["last.ckpt"]


@pytest.mark.slow
def test_the_slurm_script_queues_a_stopped_run_again_and_it_goes_on(tmp_path: Path) -> None:
    commands = {
        "srun": 'exec "$@"',
        "trm": f'exec {sys.executable} -c "$LOOP" "$@"',
        "scontrol": 'echo "$@" >> queue.txt',
    }
    for name, body in commands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    slurm = {"SLURM_NTASKS_PER_NODE": "1", "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_ID": "4711"}
    configs = REPO / "configs"
    small = ["--data.train_size=30", "--data.val_size=4", "--data.test_size=4", "--data.slots=4"]
    command = [str(configs / "slurm.sh"), str(configs / "quickstart.yaml"), *small, "--trainer.max_steps=12"]
    environment = {**os.environ, **slurm, "LOOP": LOOP, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    statuses = [
        subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=240, check=False).returncode
        for _ in range(2)
    ]
    assert statuses == [143, 0]  # the second run begins after the step that is signalled
    assert (tmp_path / "queue.txt").read_text() == "requeue 4711\n"


@pytest.mark.slow
def test_the_slurm_script_reproduces_an_experiment_and_queues_it_again(tmp_path: Path) -> None:
    """Here srun stops the first command that it is given, as preemption does, and only notes the others."""
    commands = {
        "srun": 'echo "$@" >> commands.txt; [ "$(wc -l < commands.txt)" -gt 1 ] || exit 143',
        "trm": f'exec {sys.executable} -m trm "$@"',
        "scontrol": 'echo "$@" >> queue.txt',
    }
    for name, body in commands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    slurm = {"SLURM_NTASKS_PER_NODE": "2", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "4711"}
    configs = REPO / "configs"
    command = [str(configs / "slurm.sh"), "sudoku-t2-n2", f"--configs={configs}", "--data.source=tables"]
    paths = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(configs.parent)}
    statuses = [
        subprocess.run(
            command, cwd=tmp_path, env={**os.environ, **slurm, **paths}, capture_output=True, timeout=240, check=False
        ).returncode
        for _ in range(2)
    ]
    assert statuses == [143, 0]
    assert (tmp_path / "queue.txt").read_text() == "requeue 4711\n"
    stopped, fit, test = (tmp_path / "commands.txt").read_text().splitlines()
    assert stopped == fit
    assert " -m trm fit " in fit
    assert " -m trm test " in test
    assert "--data.source=tables --trainer.devices 2 --trainer.num_nodes 2" in fit
