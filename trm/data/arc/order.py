"""The order of samples: in training every task is visited once per epoch, in evaluation as published first.

Shapes: E examples or test inputs, T tasks, N samples.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


class Draws(NamedTuple):
    """Training draws, before the random numbers of their own."""

    examples: Integers
    """Index of the example, (N,)."""
    ids: Integers
    """Puzzle id, which is the augmentation of its task, (N,)."""
    corner: NDArray[np.bool_]
    """Whether the grids stay in the top left corner, (N,)."""


def training_order(tasks: Integers, ids: Integers, seed: int, first: int, count: int) -> Draws:
    """Return ``count`` draws from draw ``first`` on.

    An epoch visits every task once, in random order, with one random augmentation and all examples in random order.
    The official code truncates a visit at the end of a batch; here the visit continues in the next batch. Every epoch
    therefore has the same number of draws, and any draw is found directly.

    Args:
        tasks: index of the task of each example, in ascending order, (E,).
        ids: first puzzle id of each task, and the number of ids, (T + 1,).
        seed: seed of the order.
        first: number of the first draw.
        count: number of draws.
    """
    epochs = range(first // len(tasks), (first + count - 1) // len(tasks) + 1)
    begin = first - epochs[0] * len(tasks)
    parts = zip(*(_epoch(tasks, ids, seed, epoch) for epoch in epochs), strict=True)
    return Draws(*(np.concatenate(part)[begin : begin + count] for part in parts))


def _epoch(tasks: Integers, ids: Integers, seed: int, epoch: int) -> Draws:
    """Return the draws of an epoch, one for each example."""
    rng = np.random.default_rng((seed, epoch))
    turn = rng.permutation(len(ids) - 1)  # when each task is visited
    chosen = rng.integers(ids[:-1], ids[1:])  # a uniform choice among the puzzles of each task
    examples = np.lexsort((rng.random(len(tasks)), turn[tasks]))
    visited = tasks[examples]
    # One random example per visit is not shifted, since none is shifted at test time.
    return Draws(examples, chosen[visited], np.diff(visited, prepend=-1) != 0)


def evaluation_order(
    tasks: Integers, ids: Integers, seed: int, val_size: int | None
) -> dict[str, tuple[Integers, Integers]]:
    """Return the index of the test input and the puzzle id of each sample of "test" and "val", (N,) each.

    The samples of "test" are in the order of their ids. Those of "val" are the first ``val_size`` by augmentation,
    those of one augmentation in random order.

    Args:
        tasks: index of the task of each test input, in ascending order, (E,).
        ids: first puzzle id of each task, and the number of ids, (T + 1,).
        seed: seed of the order of "val".
        val_size: number of samples of "val"; None for all.
    """
    counts = np.diff(ids)[tasks]  # puzzles of each test input
    tests = np.repeat(np.arange(len(tasks)), counts)
    numbers = np.arange(len(tests)) - np.repeat(counts.cumsum() - counts, counts)  # augmentation of the task
    each = ids[tasks[tests]] + numbers
    order = np.lexsort((tests, each))
    shuffled = np.random.default_rng((seed, 0)).permutation(len(tasks))[tests]
    fewer = np.lexsort((shuffled, numbers))[:val_size]
    return {"test": (tests[order], each[order]), "val": (tests[fewer], each[fewer])}
