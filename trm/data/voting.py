"""Voting: ballots for the same answer to a puzzle are added up, and its answers are ranked. Used by ARC and the solver.

Letters in shape comments: N ballots, V distinct answers.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[Any]


class Ranking(NamedTuple):
    """Distinct answers, those to the same puzzle together and the best first."""

    puzzles: Numbers
    """(V,)."""
    hashes: Numbers
    """(V,)."""
    weights: Numbers
    """Sums of the weights of its ballots, (V,)."""
    votes: Numbers
    """Numbers of its ballots, (V,)."""
    confidences: NDArray[np.float64]
    """Mean over its ballots, (V,)."""
    first: NDArray[np.intp]
    """The first of its ballots, (V,)."""


def rank(puzzles: Numbers, hashes: Numbers, weights: Numbers, votes: Numbers, confidences: Numbers) -> Ranking:
    """Rank the distinct answers to each puzzle by weight, then by mean confidence, then by hash.

    Args:
        puzzles: (N,).
        hashes: of the answers, (N,).
        weights: (N,).
        votes: how many ballots each entry stands for, (N,).
        confidences: their sum over those, (N,). Sums of integers do not depend on the order.
    """
    first, (weight, count, sums) = add_up(puzzles, hashes, weights, votes, confidences)
    means = sums / count
    best = np.lexsort((hashes[first], -means, -weight, puzzles[first]))
    return Ranking(puzzles[first][best], hashes[first][best], weight[best], count[best], means[best], first[best])


def add_up(puzzles: Numbers, hashes: Numbers, *values: Numbers) -> tuple[NDArray[np.intp], list[Numbers]]:
    """Add up values of the ballots for the same answer to the same puzzle, all (N,).

    Returns:
        The first ballot of each distinct answer, (V,), ordered by puzzle and hash, and a sum of each value, (V,).
    """
    order = np.lexsort((hashes, puzzles))  # stable: the first ballot of an answer leads its others
    same = (puzzles[order][1:] == puzzles[order][:-1]) & (hashes[order][1:] == hashes[order][:-1])
    begins = np.flatnonzero(~np.concatenate([np.zeros(min(1, len(order)), dtype=np.bool_), same]))
    return order[begins], [np.add.reduceat(value[order], begins) for value in values]
