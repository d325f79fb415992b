"""Ranking the answers that views and rollouts of a puzzle came to: ballots for the same answer are added up.

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
    order = np.lexsort((hashes, puzzles))  # stable: the first ballot of an answer leads its others
    same = (puzzles[order][1:] == puzzles[order][:-1]) & (hashes[order][1:] == hashes[order][:-1])
    begins = np.flatnonzero(~np.concatenate([np.zeros(min(1, len(order)), dtype=np.bool_), same]))
    sums = [np.add.reduceat(values[order], begins) for values in (weights, votes, confidences)]
    weight, count, means = sums[0], sums[1], sums[2] / sums[1]
    first = order[begins]
    best = np.lexsort((hashes[first], -means, -weight, puzzles[first]))
    return Ranking(puzzles[first][best], hashes[first][best], weight[best], count[best], means[best], first[best])
