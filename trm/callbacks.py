"""Lightning callbacks of training: the moving average of the weights, speed and cost, a curriculum."""

import math
import time
from collections.abc import Iterable
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, WeightAveraging
from torch import Tensor

from trm.batch import Batch
from trm.errors import InputError
from trm.flops import count_flops
from trm.module import TRMModule


class StepEMA(WeightAveraging):
    """Exponential moving average of the weights, updated after every optimizer step.

    Validation, testing and checkpoints use the average. Lightning's own callback would update it once per *batch*,
    that is once in K steps. Buffers are not averaged: the puzzle table and the initial states are the live ones. The
    average of bfloat16 weights is kept in float32, which alone can hold its small steps.

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
            setattr(averaged.get_submodule(owner), leaf, buffer)  # one puzzle table in memory and in a checkpoint
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


class Speed(Callback):
    """Logs how fast training goes, and adds up what it has cost.

    ``speed/steps_per_second`` and ``speed/puzzles_per_second`` are means since the last log; a puzzle counts once per
    supervision step it is in a slot for. The cost is logged with each validation, is kept in checkpoints and goes on
    when training does: ``cost/tflop``, the operations of ``count_flops`` and of the look ahead of a continue loss, and
    ``cost/core_seconds``, the CPU time of the process, or, on anything but a CPU, ``cost/device_seconds``, the time.
    Both are those of all processes, taken to be alike, without validations and without the workers of the loader.
    """

    def __init__(self) -> None:
        self.cost = {"core_seconds": 0.0, "device_seconds": 0.0, "tflop": 0.0}
        self._operations = 0  # per slot, since the costs were added up

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the operations of every step from here on."""
        assert isinstance(pl_module, TRMModule)
        core, looks_ahead = pl_module.core, pl_module.hparams["continue_loss"]
        counted: dict[tuple[int, int], int] = {}

        def count(*_: Any) -> None:
            depth = core.cycles, core.latent_steps  # a curriculum may change them
            if depth not in counted:
                flops = count_flops(core, 1)
                counted[depth] = flops.total + looks_ahead * flops.forward
            self._operations += counted[depth]

        self._handle = trainer.optimizers[0].register_step_pre_hook(count)
        self.on_train_epoch_start(trainer, pl_module)  # which a run that continues amid an epoch does not come to

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count no more."""
        self._handle.remove()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clocks."""
        self._since, self._step = time.perf_counter(), trainer.global_step
        self._start_costs(pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add the costs of the batch, and log the speed when the other values are logged."""
        slots = batch.inputs.shape[1] * trainer.world_size
        self.cost["tflop"] += self._operations * slots / 1e12
        self.cost[self._unit] += (self._clock() - self._paid) * trainer.world_size
        self._start_costs(pl_module)
        if (batch_idx + 1) % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        now, steps = time.perf_counter(), trainer.global_step - self._step
        speed = steps / (now - self._since)
        pl_module.log_dict({"speed/steps_per_second": speed, "speed/puzzles_per_second": speed * slots})
        self._since, self._step = now, trainer.global_step

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the cost of training so far."""
        if trainer.state.fn == "fit":
            pl_module.log_dict({f"cost/{name}": cost for name, cost in self.cost.items() if cost})

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clocks again, which ran on during validation."""
        if trainer.state.fn == "fit":
            self.on_train_epoch_start(trainer, pl_module)

    def _start_costs(self, pl_module: LightningModule) -> None:
        on_cpu = pl_module.device.type == "cpu"
        self._unit = "core_seconds" if on_cpu else "device_seconds"
        self._clock = time.process_time if on_cpu else time.perf_counter
        self._paid, self._operations = self._clock(), 0

    def state_dict(self) -> dict[str, float]:
        """Return the costs so far: ``core_seconds``, ``device_seconds`` and ``tflop``."""
        return dict(self.cost)

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Go on from the costs of a checkpoint; one written before they were counted has none."""
        self.cost |= state_dict


class DepthCurriculum(Callback):
    """Trains with few recursions at first: a third of T and n, two thirds from 30 % of the steps, all from 60 %.

    The progressive depth curriculum of CGAR (arXiv 2511.08653), whose stages these are for T = 3 and n = 6: (1, 2),
    (2, 4), (3, 6). Numbers are rounded up. Evaluation always takes the whole depth. The stage is a function of the
    batch, so that a resumed run is in the same; of ``trainer.max_steps``, which must be set.
    """

    STAGES = ((0.0, 1 / 3), (0.3, 2 / 3), (0.6, 1.0))
    """From which share of the steps on, which share of the depth."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the whole depth, and refuse what has no such stages."""
        assert isinstance(pl_module, TRMModule)
        if trainer.max_steps < 1:
            raise InputError("DepthCurriculum needs trainer.max_steps, of which its stages are shares")
        if pl_module.hparams["network"] == "multi_scale":
            raise InputError("DepthCurriculum changes the latent steps, but network multi_scale has a latent for each")

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        """Take the depth of the stage that the batch begins in."""
        chunks = len(batch.inputs)
        progress = trainer.global_step // chunks * chunks / trainer.max_steps
        self._take(pl_module, max(share for start, share in self.STAGES if start <= progress))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the whole depth."""
        self._take(pl_module, 1.0)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Likewise."""
        self._take(pl_module, 1.0)

    def _take(self, module: LightningModule, share: float) -> None:
        assert isinstance(module, TRMModule)
        module.core.cycles = math.ceil(share * module.hparams["cycles"])
        module.core.latent_steps = math.ceil(share * module.hparams["latent_steps"])
