"""The progress bar of ``trm fit``: one for the whole run, in optimizer steps."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar

from trm.module import TRMModule

SHOWN = {"train/solved": "solved", "val/solved": "validation", "train/answer_loss": "loss"}
"""Logged values in the bar: accuracy in training and validation, and the loss of the answer."""


class Progress(TQDMProgressBar):
    """Progress bar that counts the optimizer steps of the run; Lightning's counts the batches of an epoch."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the bar at the current step."""
        super().on_train_start(trainer, pl_module)
        bar = self.train_progress_bar
        bar.unit, bar.total = " steps", pl_module.total_steps() if isinstance(pl_module, TRMModule) else None
        bar.initial = bar.n = trainer.global_step
        bar.set_description("training")

    def on_train_epoch_start(self, *_: Any) -> None:
        """Keep the bar."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Advance by the steps of the batch."""
        if self.is_enabled:
            self.train_progress_bar.n = trainer.global_step
            self.train_progress_bar.set_postfix(self.get_metrics(trainer, pl_module))

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return the values logged last, as text."""
        values = {name: trainer.callback_metrics[key] for key, name in SHOWN.items() if key in trainer.callback_metrics}
        return {name: f"{value:.3f}" if name == "loss" else f"{value:.1%}" for name, value in values.items()}
