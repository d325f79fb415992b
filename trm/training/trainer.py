"""What the module asks of Lightning's trainer: refusals before a run; loggers and callbacks that count its steps."""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    GradientAccumulationScheduler,
    LearningRateMonitor,
    ModelCheckpoint,
    RichProgressBar,
)
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.compile import to_uncompiled

from trm.errors import InputError


def check_trainer(module: LightningModule) -> None:
    """Refuse settings of the trainer that manual optimization has no use for, naming what to use instead.

    Raises:
        InputError: naming the setting.
    """
    trainer = module.trainer
    if trainer.gradient_clip_val:
        raise InputError(
            f"trainer.gradient_clip_val is {trainer.gradient_clip_val}, but the module clips the gradients of its "
            f"optimizer steps itself: use model.gradient_clip_val {trainer.gradient_clip_val}"
        )
    if trainer.accumulate_grad_batches != 1 or any(
        isinstance(callback, GradientAccumulationScheduler)
        for callback in trainer.callbacks  # type: ignore[attr-defined]
    ):
        raise InputError(
            f"trainer.accumulate_grad_batches is {trainer.accumulate_grad_batches}, but every supervision step is an "
            "optimizer step and gradients are not accumulated: for a larger batch use a larger data.slots"
        )
    if module._compiler_ctx is not None:
        to_uncompiled(module)
        raise InputError(
            "torch.compile(module) compiles the Lightning module, but only its network can be compiled: use "
            "TRMModule(compile=True), or model.compile true in a configuration"
        )


def adapt_trainer(trainer: Trainer) -> list[Callback]:
    """Let the loggers and callbacks of a trainer work with several optimizer steps per batch.

    Returns:
        A callback for the trainer, unless it has one already.
    """
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger._default_hp_metric = False  # a metric of -1 that nothing measures
        if isinstance(logger, CSVLogger) and trainer.is_global_zero:
            keep_rows(logger)
    callbacks: Iterable[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    for callback in callbacks:
        if type(callback) is LearningRateMonitor:
            callback.__class__ = StepLearningRateMonitor
        elif type(callback) is RichProgressBar:
            callback.__class__ = StepProgressBar
    return [] if any(isinstance(callback, SaveAtMultiples) for callback in callbacks) else [SaveAtMultiples()]


def keep_rows(logger: CSVLogger) -> None:
    """Let a ``CSVLogger`` add to the rows of an earlier run in its folder, which it would delete."""
    file = Path(logger.log_dir, "metrics.csv")
    if logger._experiment is not None or not file.is_file():
        return
    kept = file.with_name("metrics.csv.kept")
    file.rename(kept)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Experiment logs directory")  # that the rows will be deleted
            writer = logger.experiment
    finally:
        kept.rename(file)
    with file.open(newline="", encoding="utf-8") as lines:
        writer.metrics_keys = [key for key in lines.readline().strip().split(",") if key]


class StepLearningRateMonitor(LearningRateMonitor):
    """Lightning's monitor of learning rates, against optimizer steps rather than batches."""

    def on_train_batch_start(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Log the rates of the step to come."""
        if self.logging_interval != "epoch" and trainer._logger_connector.should_update_logs:
            self._log(trainer, "step" if self.logging_interval is None else "any")

    def on_train_epoch_start(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Log the rates that an epoch begins with."""
        if self.logging_interval != "step":
            self._log(trainer, "epoch" if self.logging_interval is None else "any")

    def _log(self, trainer: Trainer, interval: str) -> None:
        if rates := self._extract_stats(trainer, interval):
            for logger in trainer.loggers:
                logger.log_metrics(rates, step=trainer.global_step)


class StepProgressBar(RichProgressBar):
    """Lightning's rich progress bar, without "/-2" where the number of steps rather than of epochs ends the run."""

    def _get_train_description(self, current_epoch: int) -> str:
        description: str = super()._get_train_description(current_epoch)
        return description.replace("/-2", "")


class SaveAtMultiples(Callback):
    """Lets a ``ModelCheckpoint(every_n_train_steps=n)`` save at the end of each batch that passes a multiple of n.

    Lightning saves where the number of steps is a multiple at the end of a batch, which with K steps per batch may be
    rare or never. The module adds this callback by itself.
    """

    def __init__(self) -> None:
        self._before = 0

    def on_train_batch_start(self, trainer: Trainer, *args: Any) -> None:
        """Note where the batch begins."""
        self._before = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        """Save before Lightning's own hook, which then has nothing left to do."""
        for checkpoint in trainer.checkpoint_callbacks:
            if not isinstance(checkpoint, ModelCheckpoint):
                continue
            own = type(checkpoint).on_train_batch_end is ModelCheckpoint.on_train_batch_end
            every = checkpoint._every_n_train_steps if own else 0
            if every < 1 or trainer.global_step // every == self._before // every:
                continue
            metrics = checkpoint._monitor_candidates(trainer)
            if checkpoint.monitor is not None and checkpoint.monitor not in metrics:
                checkpoint._defer_save_until_validation = True
            elif not checkpoint._should_skip_saving_checkpoint(trainer):
                checkpoint._save_topk_checkpoint(trainer, metrics)
                checkpoint._save_last_checkpoint(trainer, metrics)
