"""Best-of-N selection: the weight with which each rollout of a puzzle votes for its answer (see ``trm.data.voting``).

Letters in shape comments: R rollouts.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm.choices import SelectionName
from trm.inference.rollouts import Rollouts

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

KEPT = 0.5
"""Share of a puzzle's rollouts, the most confident ones, that vote under "confident"."""

Selection = Callable[[Rollouts], Floats]
"""Returns the weight of each rollout's vote, (R,)."""


def _vote(rollouts: Rollouts) -> Floats:
    return np.ones(len(rollouts.puzzles))


def _confident(rollouts: Rollouts) -> Floats:
    """Weigh by confidence, and drop the less confident half; the idea is DeepConf's (arXiv 2508.15260)."""
    places, counts = _places(rollouts.puzzles, -rollouts.confidences)
    return np.where(places < np.ceil(KEPT * counts), rollouts.confidences, 0.0)


def _best(score: Callable[[Rollouts], Floats]) -> Selection:
    return lambda rollouts: (_places(rollouts.puzzles, -score(rollouts))[0] == 0).astype(np.float64)


def _verifier(rollouts: Rollouts) -> Floats:
    """Take the first valid answer; a puzzle without any is put to the vote."""
    first = (_places(rollouts.puzzles, ~rollouts.valid)[0] == 0) & rollouts.valid
    solved = np.isin(rollouts.puzzles, rollouts.puzzles[first])
    return np.where(solved, first, 1.0)


SELECTIONS: dict[SelectionName, Selection] = {
    "halting": _best(lambda rollouts: rollouts.confidences),
    "vote": _vote,
    "confident": _confident,
    "residual": _best(lambda rollouts: -rollouts.residuals),
    "verifier": _verifier,
}


def _places(puzzles: NDArray[np.intp], keys: NDArray[Any]) -> tuple[Integers, Integers]:
    """Return the place of each rollout by key among those of its puzzle, and the number of those, (R,) each."""
    order = np.lexsort((keys, puzzles))  # stable: of equals the first leads
    _, starts, inverse, counts = np.unique(puzzles[order], return_index=True, return_inverse=True, return_counts=True)
    places = np.empty(len(puzzles), dtype=np.int64)
    places[order] = np.arange(len(puzzles)) - starts[inverse]
    sizes = np.empty_like(places)
    sizes[order] = counts[inverse]
    return places, sizes
