"""``Threads``: the number of threads on a CPU, by the size of the network."""

import os
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning_utilities.core.rank_zero import rank_zero_info

from trm.data import PuzzleData
from trm.errors import check_range
from trm.module import TRMModule
from trm.nn import TRM

CHOICES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables by which the user, or Lightning for several processes, sets the number of threads."""
GRAIN = 300e6
"""Operations of the largest matrix product per thread; see benchmarks/busy-machine."""


class Threads(Callback):
    """Sets the number of threads of a run on a CPU, and restores it afterwards.

    torch uses a thread per core. A tiny network gains nothing from the second, and loses much when another process
    uses a core: each of the hundreds of barriers in a step then waits for that process. So a run gets one thread for
    every ``GRAIN`` operations of its largest matrix product, but never more than torch has. ``OMP_NUM_THREADS``
    overrides this rule, and ``count`` overrides both.

    The number depends on configuration and machine alone, not on a measurement: it determines the order of sums, and a
    run must resume bit for bit. ``trm`` adds this callback to each run. A Python program passes it to the ``Trainer``
    itself, since the number of threads is that of the whole process.

    Args:
        count: threads; None for the rule above.
    """

    def __init__(self, count: int | None = None) -> None:
        check_range("Threads", 0, count=count)  # 0 is None in older configurations
        self.count = count
        self._before = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Set the number of threads."""
        if trainer.strategy.root_device.type == "cpu":
            reason = self.apply(pl_module, getattr(trainer, "datamodule", None), stage, trainer.world_size)
            if stage == "fit":
                rank_zero_info(f"CPU threads: {torch.get_num_threads()} ({reason})")

    def apply(self, module: LightningModule, data: object, stage: str, devices: int) -> str:
        """Set the number of threads for a stage, and return the reason for it."""
        count, reason = self._choose(module, data, stage, devices)
        if count and count != torch.get_num_threads():
            self._before = torch.get_num_threads()
            torch.set_num_threads(count)
        return reason

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Restore the number that the process had."""
        self._restore()

    def on_exception(self, *_: Any) -> None:
        """Restore the number that the process had."""
        self._restore()

    def _choose(self, module: LightningModule, data: object, stage: str, devices: int) -> tuple[int, str]:
        """Return the number of threads, 0 to leave it unchanged, and the reason."""
        if self.count:
            return self.count, "as requested"
        for name in CHOICES:
            if name in os.environ:
                return 0, f"{name} is {os.environ[name]}"
        if not (isinstance(data, PuzzleData) and isinstance(module, TRMModule)):
            return 0, "the number that torch has"
        puzzles = (data.slots if stage == "fit" else data.eval_batch_size) // devices
        return threads_for(module.core, puzzles), "by the size of the work; --threads or OMP_NUM_THREADS sets another"

    def _restore(self) -> None:
        if self._before:
            torch.set_num_threads(self._before)
            self._before = 0


def threads_for(core: TRM, slots: int) -> int:
    """Return the number of threads for a batch of ``slots`` puzzles, from 1 to the number that torch has."""
    largest = max((weights.numel() for weights in core.parameters() if weights.dim() == 2), default=0)
    operations = 2 * largest * core.length * slots
    return max(1, min(torch.get_num_threads(), int(operations / GRAIN)))
