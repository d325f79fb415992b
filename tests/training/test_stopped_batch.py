"""A run that is stopped inside a batch and resumed validates, saves and logs as one that was never stopped."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from ranks import Guess, small_module
from training import STATE, assert_same

from trm.callbacks.checkpoints import Checkpoints
from trm.callbacks.ema import StepEMA
from trm.errors import Stopped

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    pytest.mark.filterwarnings("ignore:The number of training batches"),
]


class Record(Callback):
    """Records the validations, and what the logger receives."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        log = trainer.logger.log_metrics

        def recorded(metrics: dict[str, Any], step: int | None = None) -> None:
            self.lines.append(("log", step, {name: float(value) for name, value in metrics.items()}))
            log(metrics, step)

        trainer.logger.log_metrics = recorded

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self.lines.append(("validation", trainer.global_step, trainer.current_epoch))


class Signal(Callback):
    """Sends this process a signal inside an optimizer step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        def kill(*_: Any) -> None:
            if trainer.global_step + 1 == self.step:
                os.kill(os.getpid(), signal.SIGTERM)

        trainer.optimizers[0].register_step_post_hook(kill)


def fit(folder: Path, *callbacks: Callback, **arguments: Any) -> list[tuple[Any, ...]]:
    record = Record()
    schedule = {"val_check_interval": 2, "check_val_every_n_epoch": None, "log_every_n_steps": 2, "max_steps": 30}
    trainer = Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        logger=CSVLogger(folder, "", ""),
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[
            StepEMA(0.9),
            record,
            Checkpoints(str(folder)),
            ModelCheckpoint(folder, "epoch-{epoch}-{step}", save_top_k=-1, every_n_epochs=1),
            ModelCheckpoint(folder, "every-{step}", save_top_k=-1, every_n_train_steps=5),
            *callbacks,
        ],
        **{**schedule, **arguments},
    )
    try:
        trainer.fit(small_module(), Guess(size=24, slots=4), ckpt_path="last", weights_only=True)
    except Stopped:
        return record.lines
    return record.lines


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("e*.ckpt"))


@pytest.mark.filterwarnings("ignore:.*there is no last checkpoint")
@pytest.mark.parametrize(
    ("stops", "schedule"),
    [([2, 3, 8, 17], {}), ([4], {"check_val_every_n_epoch": 1, "val_check_interval": None}), ([23], {"max_steps": 28})],
    ids=["often", "validations at the ends of epochs", "last batch of an epoch"],
)
def test_a_signal_inside_a_batch_moves_nothing(tmp_path: Path, stops: list[int], schedule: dict[str, Any]) -> None:
    whole = fit(tmp_path / "whole", **schedule)
    parts: list[tuple[Any, ...]] = []
    for step in stops:
        parts += fit(tmp_path / "parts", Signal(step), **schedule)
        assert torch.load(tmp_path / "parts" / "last.ckpt", weights_only=True)["global_step"] == step
    parts += fit(tmp_path / "parts", **schedule)
    assert parts == whole
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    one, other = (torch.load(tmp_path / run / "last.ckpt", weights_only=True) for run in ("whole", "parts"))
    for key in (*STATE, "loops", "metrics", "epoch"):
        assert_same(one[key], other[key], key)


@pytest.mark.filterwarnings("ignore:.*there is no last checkpoint")
def test_a_longer_run_goes_on_inside_the_batch_in_which_a_shorter_one_ended(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole")
    short = fit(tmp_path / "parts", max_steps=11)
    parts = fit(tmp_path / "parts")
    assert "train/solved" in short[-3][2]  # of the steps of the batch that the end of the run cuts
    assert parts == [line for line in whole if line[1] > 11] == whole[-len(parts) :]
    one, other = (torch.load(tmp_path / run / "last.ckpt", weights_only=True) for run in ("whole", "parts"))
    for key in (*STATE, "loops"):
        assert_same(one[key], other[key], key)
