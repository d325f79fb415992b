"""The progress bar of ``trm fit``: one for the whole run, in optimizer steps."""

import contextlib
import sys
from collections.abc import Callable
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar

from trm.module import TRMModule

SHOWN = {"train/solved": "solved", "val/solved": "validation", "train/answer_loss": "loss"}
"""Logged values in the bar: accuracy in training and validation, and the loss of the answer."""


class Output:
    """Standard output, or nothing once it cannot be written to: a closed terminal must not end a run."""

    def __init__(self) -> None:
        self._stream, self._closed = sys.stdout, sys.stdout is None

    def write(self, text: str) -> None:
        """Write text."""
        self._try(lambda: self._stream.write(text))

    def flush(self) -> None:
        """Flush the stream."""
        self._try(lambda: self._stream.flush())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, action: Callable[[], Any]) -> None:
        if not self._closed:
            try:
                action()
            except (OSError, ValueError):  # ValueError: the file object is closed
                self._closed = True


class Progress(TQDMProgressBar):
    """Progress bar that counts the optimizer steps of the run; Lightning's counts the batches of an epoch.

    It goes on without output when its terminal or pipe is closed.
    """

    def init_sanity_tqdm(self) -> Any:
        """Return the bar of the sanity check."""
        return self._safe(super().init_sanity_tqdm)

    def init_train_tqdm(self) -> Any:
        """Return the bar of training."""
        return self._safe(super().init_train_tqdm)

    def init_validation_tqdm(self) -> Any:
        """Return the bar of a validation."""
        return self._safe(super().init_validation_tqdm)

    def init_test_tqdm(self) -> Any:
        """Return the bar of a test."""
        return self._safe(super().init_test_tqdm)

    def init_predict_tqdm(self) -> Any:
        """Return the bar of a prediction."""
        return self._safe(super().init_predict_tqdm)

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

    @staticmethod
    def _safe(build: Callable[[], Any]) -> Any:
        """Build a bar that writes to an ``Output``."""
        with contextlib.redirect_stdout(Output()):  # type: ignore[type-var]  # a file as far as tqdm is concerned
            return build()
