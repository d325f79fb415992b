"""Sampling: training batches by draw number, evaluation batches in order, and the random numbers of a draw.

Shapes: B samples of a rank, K supervision steps per Lightning batch.
"""

import itertools
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from trm.batch import Batch
from trm.data.samples import Samples, to_batch
from trm.data.splitmix import GAMMA, mix


class TrainBatches(Dataset[Batch]):
    """The training batches of all ranks: item ``k * ranks + r`` is rank r's part of batch k, (K, B, ...).

    Supervision step s offers draws ``s * slots`` to ``(s + 1) * slots - 1``, divided among the ranks in order. The
    number of ranks or workers does not change the data.

    Args:
        draw: returns the samples of draws, given the first draw and their number.
        slots: draws per supervision step, over all ranks.
        steps: supervision steps K per batch.
        ranks: number of ranks, which divides ``slots``.
        length: batches in an epoch.
    """

    def __init__(self, draw: Callable[[int, int], Batch], slots: int, steps: int, ranks: int, length: int) -> None:
        self.draw, self.slots, self.steps, self.ranks, self.length = draw, slots, steps, ranks, length

    def __len__(self) -> int:
        """Return the number of items in an epoch, over all ranks."""
        return self.length * self.ranks

    def __getitem__(self, item: int) -> Batch:
        """Return one rank's part of a batch; there is no last item, since training continues beyond an epoch."""
        batch, rank = divmod(item, self.ranks)
        share = self.slots // self.ranks
        firsts = (step * self.slots + rank * share for step in range(batch * self.steps, (batch + 1) * self.steps))
        return Batch(*map(torch.stack, zip(*(self.draw(first, share) for first in firsts), strict=True)))


class TrainSampler(DistributedSampler[int]):
    """One rank's items of ``TrainBatches`` without end, from batch ``start()`` on; its length is that of an epoch.

    Without a trainer ``start()`` is None, and each epoch continues after the previous one. The class is a
    ``DistributedSampler`` because Lightning replaces any other sampler on several devices.
    """

    def __init__(self, batches: TrainBatches, rank: int, start: Callable[[], int | None]) -> None:
        super().__init__(batches, num_replicas=batches.ranks, rank=rank, shuffle=False)
        self.start = start

    def __iter__(self) -> Iterator[int]:
        """Yield this rank's items, from the current position of training on."""
        return itertools.count((self.start() or 0) * self.num_replicas + self.rank, self.num_replicas)


class TrainLoader(DataLoader[Batch]):
    """A loader whose epochs are consecutive parts of one stream, so workers prefetch across the end of an epoch.

    An epoch of a small training split may be a single batch. The sampler gives the position of the stream, not
    Lightning's count of batches. A resumed run therefore needs no saved state of the loader.
    """

    _stream: Iterator[Batch] | None = None
    _position = 0

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # an iterator without a length
        """Return an iterator over the next epoch."""
        # Lightning puts a sampler of its own here for overfit_batches, which repeats the same batches.
        return self._next_epoch(self.sampler) if isinstance(self.sampler, TrainSampler) else super().__iter__()

    def _next_epoch(self, sampler: TrainSampler) -> Iterator[Batch]:
        position = sampler.start()
        if self._stream is None or position not in (None, self._position):
            self._stream, self._position = super().__iter__(), position or 0
        for _ in range(len(self)):
            self._position += 1
            yield next(self._stream)

    def state_dict(self) -> dict[str, Any]:
        """Return an empty state; Lightning resumes within an epoch only if the loader has this method."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Ignore the empty state."""


class EvalBatches(Dataset[Batch]):
    """A split in order, in batches of one size that the ranks take in turn.

    No sample is dropped or repeated. The last batches are padded with samples whose labels are all ``IGNORE``, which no
    metric counts. The number of batches is a multiple of the number of ranks.

    Args:
        samples: returns samples of the split, given the first index and the greatest number of samples.
        total: number of samples in the split.
        size: samples per batch.
        ranks: number of ranks.
    """

    def __init__(self, samples: Callable[[int, int], Samples], total: int, size: int, ranks: int) -> None:
        self.samples, self.total, self.size, self.ranks = samples, total, size, ranks

    def __len__(self) -> int:
        """Return the number of batches, over all ranks."""
        return -(-self.total // (self.size * self.ranks)) * self.ranks

    def __getitem__(self, number: int) -> Batch:
        """Return batch ``number``, (B, ...)."""
        if number >= len(self):
            raise IndexError(number)
        part = self.samples(number * self.size, self.size)
        missing = self.size - len(part.inputs)
        padded: list[Any] = [np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1)) for array in part]
        return to_batch(Samples(*padded))


class DrawGenerator:
    """Random numbers for consecutive draws: those of draw d are a pure function of (seed, d).

    Philox is counter-based: draw d owns a fixed range of its counter. The numbers of many draws are generated at once,
    and those of a draw do not depend on the other draws.
    """

    WORDS = 64  # 64-bit numbers per draw

    def __init__(self, seed: int, first: int, count: int) -> None:
        philox = np.random.Philox(key=seed, counter=first * (self.WORDS // 4))  # one count makes four words
        self._words = philox.random_raw(count * self.WORDS).reshape(count, self.WORDS)  # (count, WORDS)
        self._used = 0

    def coins(self) -> NDArray[np.bool_]:
        """Return a fair coin per draw, (count,)."""
        return np.asarray(self._take(1)[:, 0] >> np.uint64(63) == 1)

    def permutations(self, size: int) -> NDArray[np.int64]:
        """Return a uniform permutation of 0..size-1 per draw, (count, size)."""
        return np.argsort(self._take(size), axis=1)

    def below(self, limits: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return a uniform number from 0 to limit - 1 per draw, (count,); limits must be less than 2**31."""
        return (self._take(1)[:, 0] >> np.uint64(33)).astype(np.int64) * limits >> 31

    def uniforms(self, size: int) -> NDArray[np.float64]:
        """Return uniform numbers in [0, 1), (count, size): one word per draw, expanded by SplitMix64."""
        mixed = mix(self._take(1) + GAMMA * np.arange(1, size + 1, dtype=np.uint64))
        return np.asarray((mixed >> np.uint64(11)) * 2.0**-53)

    def _take(self, words: int) -> NDArray[np.uint64]:
        self._used += words
        if self._used > self.WORDS:
            raise RuntimeError(
                f"the augmentation uses more than the {self.WORDS} random words of a draw; increase DrawGenerator.WORDS"
            )
        return self._words[:, self._used - words : self._used]


@lru_cache(maxsize=4)
def permutation(seed: int, epoch: int, size: int) -> NDArray[np.int64]:
    """Return the index of each sample in pass ``epoch`` over a split of ``size`` samples, (size,)."""
    return np.random.default_rng((seed, epoch)).permutation(size)
