"""Majority vote: ballots for the same answer to a puzzle are added up, and the answers are ranked.

Shapes: N ballots, V distinct answers.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[Any]


class Ranking(NamedTuple):
    """Distinct answers, grouped by puzzle, the best first."""

    puzzles: Numbers
    """(V,)."""
    hashes: Numbers
    """(V,)."""
    weights: Numbers
    """Sum of the weights of the ballots, (V,)."""
    votes: Numbers
    """Number of ballots, (V,)."""
    confidences: NDArray[np.float64]
    """Mean over the ballots, (V,)."""
    first: NDArray[np.intp]
    """Index of the first ballot, (V,)."""


def rank(puzzles: Numbers, hashes: Numbers, weights: Numbers, votes: Numbers, confidences: Numbers) -> Ranking:
    """Rank the distinct answers to each puzzle by weight, then by mean confidence, then by hash.

    Args:
        puzzles: index of the puzzle of each entry, (N,).
        hashes: hash of the answer, (N,).
        weights: weight of the entry, (N,).
        votes: number of ballots that the entry sums up, (N,).
        confidences: sum of their confidences, (N,). Sums of integers do not depend on the order.
    """
    first, (weight, count, sums) = add_up(puzzles, hashes, weights, votes, confidences)
    means = sums / count
    best = np.lexsort((hashes[first], -means, -weight, puzzles[first]))
    return Ranking(puzzles[first][best], hashes[first][best], weight[best], count[best], means[best], first[best])


def add_up(puzzles: Numbers, hashes: Numbers, *values: Numbers) -> tuple[NDArray[np.intp], list[Numbers]]:
    """Add up values of the ballots for the same answer to the same puzzle, all (N,).

    Returns:
        The index of the first ballot of each distinct answer, (V,), ordered by puzzle and hash, and the sum of each
        value, (V,).
    """
    order = np.lexsort((hashes, puzzles))  # stable: the first ballot of an answer leads its others
    same = (puzzles[order][1:] == puzzles[order][:-1]) & (hashes[order][1:] == hashes[order][:-1])
    begins = np.flatnonzero(~np.concatenate([np.zeros(min(1, len(order)), dtype=np.bool_), same]))
    return order[begins], [np.add.reduceat(value[order], begins) for value in values]
