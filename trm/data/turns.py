"""Turns: from which of several streams each training draw is taken, in fixed shares."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from trm.batch import Batch
from trm.errors import InputError

BLOCK = 1000
"""Consecutive draws in which every stream has exactly its share, in random order."""
STREAM = 1
"""Sets the random order of turns apart from that of samples, which has the same seed."""


class Turns:
    """The stream of each draw, a pure function of ``(seed, draw)``.

    A block of ``BLOCK`` draws has exactly the shares of the streams, in a random order. The draws of a stream are
    numbered without gaps, so a stream still offers every sample once per pass, and a run resumes at any draw.

    Args:
        shares: share of each stream, at least 1 / ``BLOCK``; their sum is 1.
        seed: seed of the order.
    """

    def __init__(self, shares: Sequence[float], seed: int) -> None:
        ends = np.rint(np.cumsum(shares) * BLOCK).astype(np.int64)
        self.counts = tuple(np.diff(ends, prepend=0).tolist())  # draws of each stream in a block
        self.seed = seed

    def split(self, first: int, count: int) -> list[tuple[NDArray[np.intp], int]]:
        """Return for each stream its positions among ``count`` draws from ``first`` on, and its number of the first."""
        block, begin = divmod(first, BLOCK)
        last = (first + count - 1) // BLOCK
        order = np.concatenate([_order(self.seed, number, self.counts) for number in range(block, last + 1)])
        before, now = order[:begin], order[begin : begin + count]
        return [
            (np.flatnonzero(now == stream), block * in_block + int((before == stream).sum()))
            for stream, in_block in enumerate(self.counts)
        ]

    def draw(self, streams: Sequence[Callable[[int, int], Batch]], first: int, count: int) -> Batch:
        """Return ``count`` draws from draw ``first`` on, (count, ...).

        Args:
            streams: each returns samples of its own draws, given the first and their number.
            first: number of the first draw.
            count: number of draws.
        """
        turns = [(stream, *turn) for stream, turn in zip(streams, self.split(first, count), strict=True)]
        parts = [stream(own, len(positions)) for stream, positions, own in turns if len(positions)]
        order = torch.from_numpy(np.argsort(np.concatenate([positions for _, positions, _ in turns])))
        return Batch(*(torch.cat(fields)[order] for fields in zip(*parts, strict=True)))


def split_share(text: str) -> tuple[str, float]:
    """Return the source and the share of the draws that ``data.replay`` names, such as "old.csv:0.3".

    Raises:
        InputError: if the text is not of this form, or the share is not between 0 and 1.
    """
    source, _, number = text.rpartition(":")
    try:
        share = float(number)
    except ValueError:
        share = math.nan
    least = 1 / BLOCK
    if not source or not least <= share <= 1 - least:
        raise InputError(
            f"data.replay is {text!r}; accepted is SOURCE:SHARE with a share of the draws from {least} to "
            f"{1 - least}, such as old.csv:0.3"
        )
    return source, share


@lru_cache(maxsize=16)
def _order(seed: int, block: int, counts: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the stream of each draw of a block, (BLOCK,)."""
    return np.random.default_rng((seed, block, STREAM)).permutation(np.repeat(np.arange(len(counts)), counts))
