"""Adaptation of Lightning's trainer: checks before a run, loggers and callbacks that count optimizer steps."""

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
    WeightAveraging,
)
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.compile import to_uncompiled

from trm.errors import InputError
from trm.training import checkpoint_keys as keys


def check_trainer(module: LightningModule) -> None:
    """Check a trainer for settings that manual optimization does not support.

    Raises:
        InputError: if there is one; the message names it and what to use instead.
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
            "torch.compile(module) compiles the LightningModule, but only its network can be compiled: use "
            "TRMModule(compile=True), or model.compile true in a configuration"
        )


def adapt_trainer(trainer: Trainer) -> list[Callback]:
    """Change the loggers and callbacks of a trainer to support several optimizer steps per batch.

    Returns:
        ``SaveAtMultiples`` in a list; an empty list if the trainer has one already.
    """
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger._default_hp_metric = False  # a placeholder metric of -1
        if isinstance(logger, CSVLogger) and trainer.is_global_zero:
            keep_metrics(logger)
    callbacks: Iterable[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    for callback in callbacks:
        if type(callback) is LearningRateMonitor:
            callback.__class__ = StepLearningRateMonitor
        elif type(callback) is RichProgressBar:
            callback.__class__ = StepProgressBar
    return [] if any(isinstance(callback, SaveAtMultiples) for callback in callbacks) else [SaveAtMultiples()]


def shown(path: str | Path) -> Path:
    """Return a path relative to the working directory, if it is inside."""
    path = Path(path)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def averages_parameters(trainer: Trainer) -> bool:
    """Return whether a callback of the trainer averages the parameters."""
    callbacks: Iterable[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return any(isinstance(callback, WeightAveraging) for callback in callbacks)


def save_average(trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]) -> None:
    """Put averaged parameters in a weights-only checkpoint, for which Lightning does not call the callbacks."""
    callbacks: Iterable[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    for callback in callbacks:
        if isinstance(callback, WeightAveraging):
            callback.on_save_checkpoint(trainer, module, checkpoint)
            checkpoint[keys.AVERAGED] = checkpoint.pop(keys.LIVE_STATE, None) is not None
            checkpoint.pop(keys.AVERAGING, None)


def loops_inside_batch(trainer: Trainer) -> dict[str, Any]:
    """Return the state of the trainer's loops, as a checkpoint stores it, for a batch that has not ended.

    A run that resumes from it counts the remaining steps of the batch as the same batch, so validations, epochs and
    logs keep their places. Lightning's own state at the end of the batch would make two batches of it. See also
    ``resume_inside_batch``.
    """
    loops: dict[str, Any] = trainer._checkpoint_connector._get_loops_state_dict()
    loop = loops["fit_loop"]
    batches = loop["epoch_loop.batch_progress"]
    for count in (batches["total"], batches["current"]):
        count["processed"] = count["completed"]
    batches["is_last_batch"] = False  # else the resumed epoch would end before the remaining steps
    loop["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1  # Lightning adds one when it resumes inside a batch
    return loops


def resume_inside_batch(trainer: Trainer) -> None:
    """Count a batch once that an earlier run has begun and this one ends; to be called when training starts."""
    total: Any = trainer.fit_loop.epoch_loop.batch_progress.total
    if total.processed == total.completed:  # Lightning corrects only the count within the epoch
        total.ready = total.started = total.completed


def keep_metrics(logger: CSVLogger) -> None:
    """Make a ``CSVLogger`` append to the metrics of an earlier run in its folder, which it would delete."""
    file = Path(logger.log_dir, "metrics.csv")
    kept = file.with_name("metrics.csv.kept")
    if logger._experiment is not None or not file.parent.is_dir():
        return
    if kept.is_file() and not file.is_file():  # an earlier run was killed between the two renames below
        kept.rename(file)
    if begun := file.is_file():
        file.rename(kept)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Experiment logs directory")  # the warning that the metrics are deleted
            writer = logger.experiment
    finally:
        if begun:
            kept.rename(file)
    if begun:
        with file.open(newline="", encoding="utf-8") as lines:
            writer.metrics_keys = [key for key in lines.readline().strip().split(",") if key]


class StepLearningRateMonitor(LearningRateMonitor):
    """Lightning's learning-rate monitor, logged against optimizer steps instead of batches."""

    def on_train_batch_start(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Log the learning rates of the next step."""
        if self.logging_interval != "epoch" and trainer._logger_connector.should_update_logs:
            self._log(trainer, "step" if self.logging_interval is None else "any")

    def on_train_epoch_start(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Log the learning rates at the start of an epoch."""
        if self.logging_interval != "step":
            self._log(trainer, "epoch" if self.logging_interval is None else "any")

    def _log(self, trainer: Trainer, interval: str) -> None:
        if rates := self._extract_stats(trainer, interval):
            for logger in trainer.loggers:
                logger.log_metrics(rates, step=trainer.global_step)


class StepProgressBar(RichProgressBar):
    """Lightning's rich progress bar, without the "/-2" of a run that is limited by steps instead of epochs."""

    def _get_train_description(self, current_epoch: int) -> str:
        description: str = super()._get_train_description(current_epoch)
        return description.replace("/-2", "")


class SaveAtMultiples(Callback):
    """Saves by ``ModelCheckpoint(every_n_train_steps=n)`` at the end of each batch that reaches a multiple of n.

    Lightning saves only if the number of steps at the end of a batch is a multiple of n. With K steps per batch this is
    rare or never true. The module adds this callback itself.
    """

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Save before Lightning's own hook, which does not save the same step again."""
        chunks = int(getattr(pl_module, "chunks", 1))
        before = (trainer.global_step - 1) // chunks * chunks  # also if the run was resumed inside the batch
        for checkpoint in trainer.checkpoint_callbacks:
            if not isinstance(checkpoint, ModelCheckpoint):
                continue
            own = type(checkpoint).on_train_batch_end is ModelCheckpoint.on_train_batch_end
            every = checkpoint._every_n_train_steps if own else 0
            if every < 1 or trainer.global_step // every == before // every:
                continue
            metrics = checkpoint._monitor_candidates(trainer)
            if checkpoint.monitor is not None and checkpoint.monitor not in metrics:
                checkpoint._defer_save_until_validation = True
            elif not checkpoint._should_skip_saving_checkpoint(trainer):
                checkpoint._save_topk_checkpoint(trainer, metrics)
                checkpoint._save_last_checkpoint(trainer, metrics)
