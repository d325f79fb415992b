"""``RunNotice``: the parameters, operations, memory and time of a run, before its first step."""

import math
import os
import time
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning_utilities.core.rank_zero import rank_zero_info
from torch import Tensor

from trm.callbacks.requirements import need_module
from trm.data import PuzzleData
from trm.errors import counted
from trm.module import TRMModule
from trm.nn.flops import StepFlops, count_flops

SMALLER = {
    "Sudoku": "configs/quickstart.yaml",
    "Maze": "configs/maze-small.yaml",
    "ARC": "configs/arc-small.yaml",
    "Pairs": "configs/pairs.yaml",
}
"""Configuration of each family for a laptop."""
LONG = 5.0
"""Seconds per step above which a smaller configuration is suggested on a CPU."""
UNITS = ((86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"), (0.001, "milliseconds"))
PREFIXES = ("", "k", "M", "G", "T", "P", "E")


class Estimate(NamedTuple):
    """Cost of one supervision step on one device."""

    flops: int
    """Floating-point operations; a multiply-add counts as two."""
    saved_bytes: int
    """Activations kept for the backward pass, without parameters, gradients and optimizer state."""
    of_one_slot: StepFlops
    dtype: torch.dtype
    """Of the activations, under the precision of the trainer."""


class RunNotice(Callback):
    """Logs, before the first step, the parameters, slots, operations, memory and, on a CPU, time of a run.

    Operations are those of ``count_flops``. Memory is that of the activations for the backward pass, measured in one
    step with one slot, without parameters, their average and optimizer state. The time on a CPU is that of the matrix
    products alone, at the speed of the largest of them. A whole step takes longer: three times as long with the small
    matrices of the quickstart, less with larger ones. ``trm fit`` adds this callback.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the costs before anything is evaluated or trained."""
        module = need_module(self, pl_module)
        data = getattr(trainer, "datamodule", None)
        if not isinstance(data, PuzzleData):  # with plain loaders the first batch determines the number of slots
            return
        parameters = sum(parameter.numel() for parameter in module.parameters())
        devices = trainer.world_size
        steps = module.total_steps()
        rank_zero_info(
            f"{module.hparams['network']}: {counted(parameters, 'parameter')}, {counted(data.slots, 'slot')}"
            + (f" on {counted(devices, 'device')}" if devices > 1 else "")
            + (f", {counted(steps, 'step')}" if steps else "")
        )
        batches = -(-steps // data.steps_per_batch) if steps else 0
        if trainer.loggers and 0 < batches < trainer.log_every_n_steps:  # type: ignore[attr-defined]
            rank_zero_info(
                f"No training metrics will be logged: the run has {counted(batches, 'batch')}, and "
                f"trainer.log_every_n_steps is "
                f"{trainer.log_every_n_steps}"  # type: ignore[attr-defined]
            )
        precision = trainer.strategy.precision_plugin.train_step_context()
        estimate = estimate_step(module, data.slots // devices, precision)
        rank_zero_info(
            f"A step takes about {scaled(estimate.flops * devices)}FLOP, and {scaled(estimate.saved_bytes)}B of memory "
            + ("on each device " if devices > 1 else "")
            + "for activations"
        )
        if trainer.strategy.root_device.type == "cpu":
            self._log_time(trainer, data, estimate, steps)

    def _log_time(self, trainer: Trainer, data: PuzzleData, estimate: Estimate, steps: int | None) -> None:
        slots = data.slots // trainer.world_size
        per_step = estimate.flops / product_speed(estimate.of_one_slot, slots, estimate.dtype)
        whole = f", and {counted(steps, 'step')} {duration(per_step * steps)}" if steps else ""
        hint = ""
        if per_step > LONG:
            smaller = SMALLER.get(type(data).__name__)
            hint = f"; {smaller} suits a laptop" if smaller else "; a smaller network or fewer slots suit a laptop"
        rank_zero_info(
            f"On this CPU, with {torch.get_num_threads()} of {counted(os.cpu_count() or 1, 'core')}, the matrix "
            f"products of a step alone take {duration(per_step)}{whole}{hint}"
        )


def estimate_step(module: TRMModule, slots: int, precision: AbstractContextManager[Any]) -> Estimate:
    """Return the cost of a supervision step, measured in one step with one slot; nothing is changed.

    Args:
        module: the module, on its device.
        slots: puzzles in the step.
        precision: the context that the trainer enters for a step.
    """
    saved: dict[int, int] = {}
    held = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in held:
            saved[storage.data_ptr()] = storage.nbytes()  # tensors that share memory count once
        return tensor

    with precision, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        flops, dtype = count_flops(module.core, 1), module.core.dtype
    total = flops.training(module.core)
    return Estimate(total * slots, sum(saved.values()) * slots, flops, dtype)


def product_speed(flops: StepFlops, slots: int, dtype: torch.dtype, seconds: float = 0.2) -> float:
    """Return the operations per second of the network's largest matrix product on the CPU.

    Args:
        flops: of a step with one slot.
        slots: puzzles in the step.
        dtype: of the product.
        seconds: about how long to measure.
    """
    _, rows, inner, columns = max(flops.products, key=lambda size: size[0] * size[1] * size[2] * size[3])
    rows = min(rows * slots, 1024)  # more rows are no faster
    left, right = torch.ones(rows, inner, dtype=dtype), torch.ones(inner, columns, dtype=dtype)  # no random numbers
    best, end = float("inf"), time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        left @ right
        now = time.perf_counter()
        best = min(best, now - start)  # other load of the machine is no property of the run
        if now > end:
            return 2 * rows * inner * columns / best


def duration(seconds: float) -> str:
    """Return a time as text, such as "3.2 hours"."""
    size, unit = next((unit for unit in UNITS if seconds >= 2 * unit[0]), UNITS[-1])
    return f"{_two_digits(seconds / size)} {unit}"


def scaled(number: float) -> str:
    """Return a number with the prefix of its unit, such as "2.8 G"."""
    power = min(max(int(math.log10(max(number, 1)) // 3), 0), len(PREFIXES) - 1)
    return f"{_two_digits(number / 1000**power)} {PREFIXES[power]}"


def _two_digits(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"
