"""``PuzzleLoaders``, the base of ``PuzzleData``: a Lightning data module of batches that are made by number.

Shapes: B slots, K supervision steps per Lightning batch.
"""

from abc import ABC, abstractmethod
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from trm.batch import Batch
from trm.data.limits import check_open_files
from trm.data.samples import Samples
from trm.data.sampling import EvalBatches, TrainBatches, TrainLoader, TrainSampler
from trm.errors import InputError, check_range, counted

MOST_SAMPLES = 2**20
"""Most samples of a batch; the official code has 768 slots, which is 12,288 samples of 16 supervision steps."""
MOST_STEPS = 4096
"""Most supervision steps of a batch: a signal, a validation or a checkpoint waits for the end of a batch."""
MOST_WORKERS = 1024


class PuzzleLoaders(LightningDataModule, ABC):
    """A Lightning data module over a stream of training draws and splits in order, divided among the devices.

    Args:
        slots: puzzles in training at once, over all devices: the global batch size of a supervision step.
        steps_per_batch: supervision steps K, each with its own optimizer update, per Lightning batch.
        eval_batch_size: puzzles per batch in evaluation, over all devices; null for as many as slots.
        workers: processes that prepare batches, per device.

    Raises:
        InputError: if an argument is out of its range.
    """

    def __init__(self, slots: int, steps_per_batch: int, eval_batch_size: int | None, workers: int) -> None:
        super().__init__()
        check_range("data", 1, MOST_SAMPLES, slots=slots)
        check_range("data", 1, MOST_STEPS, steps_per_batch=steps_per_batch)
        check_range("data", 0, MOST_SAMPLES, eval_batch_size=eval_batch_size)  # 0 is null in older checkpoints
        check_range("data", 0, MOST_WORKERS, workers=workers)
        if slots * steps_per_batch > MOST_SAMPLES:
            raise InputError(
                f"data.slots {slots:,} x data.steps_per_batch {steps_per_batch:,} is {slots * steps_per_batch:,} "
                f"samples in a training batch; accepted are at most {MOST_SAMPLES:,}"
            )
        self.slots = slots
        self.steps_per_batch = steps_per_batch
        self.eval_batch_size = eval_batch_size or slots
        self.workers = workers

    @abstractmethod
    def prepare(self, stage: str) -> None:
        """Load, and thereby check, the splits of a stage ("fit", "validate", "test" or "predict"; otherwise all)."""

    @abstractmethod
    def draw(self, first: int, count: int) -> Batch:
        """Return the training samples of ``count`` draws from draw ``first`` on, (count, ...)."""

    @abstractmethod
    def pass_size(self) -> int:
        """Return the number of draws in one pass over the training split."""

    @abstractmethod
    def eval_size(self, split: str) -> int:
        """Return the number of samples of a split in evaluation."""

    @abstractmethod
    def eval_samples(self, split: str, first: int, count: int) -> Samples:
        """Return up to ``count`` samples of a split from index ``first`` on."""

    def prepare_data(self) -> None:
        """Load the splits of the coming stage, on one process per node, before the run writes anything."""
        check_open_files(self.workers)
        if self._stage() == "fit":
            self.check_devices(self._rank()[1])
        self.prepare(self._stage())

    def check_devices(self, count: int) -> None:
        """Check that the slots divide evenly among the devices.

        Raises:
            InputError: if they do not; the message names numbers of slots that do.
        """
        if self.slots % count:
            less, more = self.slots // count * count, -(-self.slots // count) * count
            near = f"{less} or {more}" if less else f"{more}"
            raise InputError(
                f"data.slots is {self.slots}, the total over all devices, which {counted(count, 'device')} cannot "
                f"share evenly; accepted are multiples of {count}, such as {near}"
            )

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the batches of an epoch, (K, B, ...), starting at ``trainer.global_step``.

        Raises:
            InputError: if the slots do not divide evenly among the devices.
        """
        rank, world = self._rank()
        self.check_devices(world)
        length = -(-self.pass_size() // (self.slots * self.steps_per_batch))
        batches = TrainBatches(self.draw, self.slots, self.steps_per_batch, world, length)
        return self._loader(TrainLoader, batches, TrainSampler(batches, rank, self._batches_taken))

    def val_dataloader(self) -> DataLoader[Batch] | list[Any]:
        """Return the validation split in order, (B, ...); an empty list if the split is empty."""
        return self._eval_loader("val") if self.eval_size("val") else []

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return the test split in order, (B, ...)."""
        return self._eval_loader("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return the test split in order, (B, ...)."""
        return self._eval_loader("test")

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the trainer, which a worker process does not need."""
        return {**self.__dict__, "trainer": None}

    def _eval_loader(self, split: str) -> DataLoader[Batch]:
        rank, world = self._rank()
        size = -(-self.eval_batch_size // world)
        batches = EvalBatches(partial(self.eval_samples, split), self.eval_size(split), size, world)
        return self._loader(DataLoader, batches, DistributedSampler(batches, world, rank, shuffle=False))

    def _loader(
        self, kind: type[DataLoader[Batch]], batches: Dataset[Batch], sampler: DistributedSampler[int]
    ) -> DataLoader[Batch]:
        return kind(
            batches,
            batch_size=None,  # an item is a whole batch
            sampler=sampler,
            num_workers=self.workers,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.workers > 0,
        )

    def _stage(self) -> str:
        if self.trainer is None or self.trainer.state.fn is None:
            return ""
        return str(self.trainer.state.fn.value)

    def _batches_taken(self) -> int | None:
        return None if self.trainer is None else self.trainer.global_step // self.steps_per_batch

    def _rank(self) -> tuple[int, int]:
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
