"""Electing an answer: rollouts and views of a puzzle cast ballots, a selection weighs them, the heaviest answer wins.

Letters in shape comments: N ballots, V distinct answers.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Hashes = NDArray[np.uint64]
Integers = NDArray[np.int64]
SelectionName = Literal["halting", "vote", "confident", "residual", "verifier"]

KEPT = 0.5
"""Share of a puzzle's ballots, the surest, that vote under "confident"."""


class Ballots(NamedTuple):
    """What each rollout came to, in the order in which they were begun."""

    puzzles: Integers
    """Which puzzle it thought about, (N,)."""
    hashes: Hashes
    """Hash of its answer, (N,)."""
    confidences: Floats
    """Halting probability of its last supervision step, (N,)."""
    residuals: Floats
    """Relative change of the state in that step, (N,)."""
    valid: NDArray[np.bool_]
    """Whether the answer obeys the rules, (N,); all False where the family has none."""


Selection = Callable[[Ballots], Floats]
"""Gives each ballot its weight, (N,)."""


def _vote(ballots: Ballots) -> Floats:
    return np.ones(len(ballots.puzzles))


def _confident(ballots: Ballots) -> Floats:
    """Weigh by confidence, and drop the less confident half; the idea is DeepConf's (arXiv 2508.15260)."""
    places, counts = _places(ballots.puzzles, -ballots.confidences)
    return np.where(places < np.ceil(KEPT * counts), ballots.confidences, 0.0)


def _best(score: Callable[[Ballots], Floats]) -> Selection:
    return lambda ballots: (_places(ballots.puzzles, -score(ballots))[0] == 0).astype(np.float64)


def _verifier(ballots: Ballots) -> Floats:
    """Take the first valid answer; a puzzle without any is put to the vote."""
    first = (_places(ballots.puzzles, ~ballots.valid)[0] == 0) & ballots.valid
    solved = np.isin(ballots.puzzles, ballots.puzzles[first])
    return np.where(solved, first, 1.0)


SELECTIONS: dict[SelectionName, Selection] = {
    "halting": _best(lambda ballots: ballots.confidences),
    "vote": _vote,
    "confident": _confident,
    "residual": _best(lambda ballots: -ballots.residuals),
    "verifier": _verifier,
}


def _places(puzzles: Integers, keys: NDArray[Any]) -> tuple[Integers, Integers]:
    """Return the place of each ballot by key among those of its puzzle, the first of equals first, and their number."""
    order = np.lexsort((keys, puzzles))  # stable
    _, starts, inverse, counts = np.unique(puzzles[order], return_index=True, return_inverse=True, return_counts=True)
    places = np.empty(len(puzzles), dtype=np.int64)
    places[order] = np.arange(len(puzzles)) - starts[inverse]
    sizes = np.empty_like(places)
    sizes[order] = counts[inverse]
    return places, sizes
