"""``StepEMA``: the exponential moving average of the parameters, which evaluation and checkpoints use."""

from collections.abc import Iterable
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning_utilities.core.rank_zero import rank_zero_info
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torch.utils.hooks import RemovableHandle

from trm.errors import InputError
from trm.training import checkpoint_keys as keys


class StepEMA(WeightAveraging):
    """Exponential moving average of the parameters, updated after every optimizer step.

    Validation, testing and checkpoints use the average. Lightning's own callback would update it once per *batch*,
    that is once in K steps. Buffers (puzzle embedding, initial states) are shared with the live model, not averaged.
    The average of bfloat16 parameters is kept in float32, which alone can hold its small steps.

    A checkpoint contains the average as ``state_dict`` and the live parameters as ``current_model_state``. Evaluating
    a checkpoint uses its average, also in the trainer that wrote it. At the end of ``fit`` the module contains the
    average; the live parameters come back if the same trainer fits the same module again.

    Args:
        decay: share of the average that is kept at each step.
        warmup: start with a smaller decay, min(decay, (1 + t) / (10 + t)) at update t, so that a run of a few
            thousand steps is not held back by its first parameters. Off in the paper's recipes.
    """

    def __init__(self, decay: float = 0.999, warmup: bool = False) -> None:
        if not 0 <= decay < 1:
            raise InputError(f"the decay of StepEMA is {decay}, but must be at least 0 and less than 1")
        super().__init__(use_buffers=False)
        self.decay = decay
        self.warmup = warmup
        self._live: list[Tensor] = []
        """The parameters being trained, while the module contains their average."""
        self._left: list[Tensor] = []
        """The average that the last fit left in the module."""
        self._handle: RemovableHandle | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Copy the model; after an earlier fit, continue with its average and its live parameters."""
        if stage != "fit":
            return
        went_on = self._left_in(pl_module)
        super().setup(trainer, pl_module, stage)
        if trainer.precision == "64-true":  # as wide as the checkpoint that may be read into it
            self._average.double()
        if went_on:
            _copy_parameters(self._live, pl_module.parameters())
        self._live, self._left = [], []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Move the average to the device of the model, share its buffers, and update after every optimizer step."""
        averaged = self._average
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
            current = [parameter.to(average.dtype) for average, parameter in pairs]
            torch._foreach_lerp_([average for average, _ in pairs], current, 1 - decay)

        self._handle = trainer.optimizers[0].register_step_post_hook(update)

    def on_train_batch_end(self, *args: Any) -> None:
        """Do nothing: the average follows optimizer steps, not batches."""

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the average in the module."""
        self._finish(pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the average in the module of an interrupted run too."""
        self._finish(pl_module)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the average into the module for a validation during training; the buffers are shared and stay."""
        if self._average_model is not None:
            self._put_average_in(pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the live parameters back into the module."""
        if self._average_model is not None:
            _copy_parameters(self._live, pl_module.parameters())
            self._live = []

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the average as ``state_dict``, the live parameters as ``current_model_state``.

        After the fit this is so as long as the module still contains what the fit left in it.
        """
        if self._average_model is None and not self._left_in(pl_module):
            return
        state = checkpoint[keys.STATE]
        average = self._left or [parameter.detach() for parameter in self._average.parameters()]
        live = self._live or [parameter.detach() for parameter in pl_module.parameters()]
        names = [name for name, _ in pl_module.named_parameters()]
        checkpoint[keys.STATE] = {**state, **dict(zip(names, average, strict=True))}
        checkpoint[keys.LIVE_STATE] = {**state, **dict(zip(names, live, strict=True))}
        checkpoint[keys.AVERAGING] = {"n_averaged": torch.tensor(self._latest_update_step)}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Restore the average and the live parameters of a checkpoint; an evaluation needs only the average."""
        if self._average_model is None:
            return
        self._average.load_state_dict(checkpoint[keys.STATE])
        if keys.LIVE_STATE in checkpoint:
            pl_module.load_state_dict(checkpoint[keys.LIVE_STATE])
        else:
            rank_zero_info("The checkpoint contains no average of its parameters: StepEMA starts one from them.")

    @property
    def _average(self) -> torch.nn.Module:
        return cast(AveragedModel, self._average_model).module

    def _put_average_in(self, module: LightningModule) -> None:
        if not self._live:
            self._live = [parameter.detach().clone() for parameter in module.parameters()]
        _copy_parameters(self._average.parameters(), module.parameters())

    def _finish(self, module: LightningModule) -> None:
        """Leave the average in the module, and keep the live parameters in the memory of the CPU."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
        if self._average_model is not None:
            self._put_average_in(module)
            self._live = [parameter.cpu() for parameter in self._live]
            self._left = [parameter.detach().cpu().clone() for parameter in module.parameters()]
            self._average_model = None

    def _left_in(self, module: LightningModule) -> bool:
        """Return whether the module still contains the average that the last fit left in it."""
        parameters = list(module.parameters())
        return len(parameters) == len(self._left) > 0 and all(
            left.shape == parameter.shape and torch.equal(left.to(parameter), parameter)
            for left, parameter in zip(self._left, parameters, strict=True)
        )


def _copy_parameters(source: Iterable[Tensor], target: Iterable[Tensor]) -> None:
    for values, parameter in zip(source, target, strict=True):
        parameter.data.copy_(values.data)
