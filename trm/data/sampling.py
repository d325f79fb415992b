"""Which samples a batch holds: training by draw number, evaluation in order; and the random numbers of a draw."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from trm.batch import Batch
from trm.data.samples import Samples, to_batch


class TrainStream(Dataset[Batch]):
    """Item k is batch k of this rank: K chunks of B draws, stacked to (K, B, ...)."""

    def __init__(self, draw: Callable[[int, int], Batch], slots: int, steps: int, rank: int, world: int) -> None:
        self.draw, self.slots, self.steps, self.rank, self.world = draw, slots, steps, rank, world

    def __getitem__(self, number: int) -> Batch:
        """Return batch ``number``."""
        steps = range(number * self.steps, (number + 1) * self.steps)
        chunks = [self.draw((step * self.world + self.rank) * self.slots, self.slots) for step in steps]
        return Batch(*map(torch.stack, zip(*chunks, strict=True)))


class BatchNumbers(Sampler[int]):
    """Counts batches without end from ``start()``, which is asked whenever a loader begins to iterate."""

    def __init__(self, start: Callable[[], int]) -> None:
        self.start = start

    def __iter__(self) -> Iterator[int]:
        """Count on from the present start."""
        number = self.start()
        while True:
            yield number
            number += 1


class EvalBatches(Dataset[Batch]):
    """A split in order, in batches of one size, dealt to the ranks in turn.

    Nothing is dropped: what is missing from the last batch is filled with rows whose labels are all ``IGNORE``,
    which no metric counts. Every rank has the same number of batches.
    """

    def __init__(self, samples: Callable[[int, int], Samples], total: int, size: int, rank: int, world: int) -> None:
        self.samples, self.total, self.size, self.rank, self.world = samples, total, size, rank, world

    def __len__(self) -> int:
        """Return the number of batches of this rank."""
        return -(-self.total // (self.size * self.world))

    def __getitem__(self, number: int) -> Batch:
        """Return batch ``number``, (B, ...)."""
        first = (number * self.world + self.rank) * self.size
        part = self.samples(first, self.size)
        missing = self.size - len(part.inputs)
        padded: list[Any] = [np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1)) for array in part]
        return to_batch(Samples(*padded))


class DrawGenerator:
    """Random numbers for a run of draws: those of draw d are a pure function of (seed, d).

    Philox is counter-based: draw d owns a fixed stretch of its counter, so any run of draws is made at once, and the
    same draw comes out the same in whatever run it is.
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
        """Return numbers of [0, 1), (count, size): one word per draw, made into as many as it takes by SplitMix64."""
        mixed = self._take(1) + np.uint64(0x9E3779B97F4A7C15) * np.arange(1, size + 1, dtype=np.uint64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        mixed ^= mixed >> np.uint64(31)
        return np.asarray((mixed >> np.uint64(11)) * 2.0**-53)

    def _take(self, words: int) -> NDArray[np.uint64]:
        self._used += words
        if self._used > self.WORDS:
            raise RuntimeError(
                f"one draw has {self.WORDS} random words, more were asked for: raise DrawGenerator.WORDS"
            )
        return self._words[:, self._used - words : self._used]


@lru_cache(maxsize=4)
def permutation(seed: int, epoch: int, size: int) -> NDArray[np.int64]:
    """Return the order of rows in pass ``epoch`` over a split of ``size`` rows."""
    return np.random.default_rng((seed, epoch)).permutation(size)
