"""Lightning callbacks of training: the moving average of the parameters, speed and cost, a curriculum."""

from collections.abc import Iterable
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from trm.errors import InputError


class StepEMA(WeightAveraging):
    """Exponential moving average of the parameters, updated after every optimizer step.

    Validation, testing and checkpoints use the average. Lightning's own callback would update it once per *batch*,
    that is once in K steps. Buffers (puzzle embedding, initial states) are shared with the live model, not averaged.
    The average of bfloat16 weights is kept in float32, which alone can hold its small steps.

    Args:
        decay: share of the average that is kept at each step.
        warmup: start with a smaller decay, min(decay, (1 + t) / (10 + t)) at update t, so that a run of a few
            thousand steps is not held back by its first weights. Off in the paper's recipes.
    """

    def __init__(self, decay: float = 0.999, warmup: bool = False) -> None:
        if not 0 <= decay < 1:
            raise InputError(f"the decay of StepEMA is {decay}, but must be at least 0 and less than 1")
        super().__init__(use_buffers=False)
        self.decay = decay
        self.warmup = warmup

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Copy the model, as wide as a checkpoint may be that is read into the copy."""
        super().setup(trainer, pl_module, stage)
        if self._average_model is not None and trainer.precision == "64-true":
            self._average_model.double()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Follow the model to its device, share its buffers, and follow every step of its optimizer."""
        assert self._average_model is not None
        averaged = self._average_model.module
        for name, buffer in pl_module.named_buffers():
            owner, _, leaf = name.rpartition(".")
            setattr(averaged.get_submodule(owner), leaf, buffer)  # one puzzle embedding in memory and in a checkpoint
        averaged.to(pl_module.device)
        pairs = list(zip(averaged.parameters(), pl_module.parameters(), strict=True))

        @torch.no_grad()
        def update(*_: Any) -> None:
            self._latest_update_step += 1
            t = self._latest_update_step
            decay = min(self.decay, (1 + t) / (10 + t)) if self.warmup else self.decay
            current = [weights.to(average.dtype) for average, weights in pairs]
            torch._foreach_lerp_([average for average, _ in pairs], current, 1 - decay)

        self._handle = trainer.optimizers[0].register_step_post_hook(update)

    def on_train_batch_end(self, *args: Any) -> None:
        """Do nothing: the average follows optimizer steps, not batches."""

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the average in the model."""
        self._handle.remove()
        super().on_train_end(trainer, pl_module)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the average into the model for a validation; the buffers are shared and stay."""
        if self._average_model is not None:
            self._live = [weights.detach().clone() for weights in pl_module.parameters()]
            _copy_weights(self._average_model.module.parameters(), pl_module.parameters())

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on with the weights that are being trained."""
        if self._average_model is not None:
            _copy_weights(self._live, pl_module.parameters())
            del self._live


def _copy_weights(source: Iterable[Tensor], target: Iterable[Tensor]) -> None:
    for values, weights in zip(source, target, strict=True):
        weights.data.copy_(values.data)
