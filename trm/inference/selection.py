"""Best-of-N selection: the weight of each rollout in the vote on a puzzle's answer, and the answers by their votes.

Shapes: R rollouts of all puzzles, L grid cells.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm.arguments import SelectionName
from trm.data.samples import Tokens, hash_bytes
from trm.data.voting import rank
from trm.inference.rollouts import Rollouts

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

CONFIDENT_SHARE = 0.5
"""Fraction of a puzzle's rollouts, the most confident ones, that vote under "confident"."""

Selection = Callable[[Rollouts], Floats]
"""Returns the weight of each rollout's vote, (R,)."""


class Candidate(NamedTuple):
    """A distinct answer of the rollouts of a puzzle."""

    answer: Tokens
    """Tokens of the answer, (L,)."""
    weight: float
    """Share of the puzzle's total weight in the selection."""
    votes: int
    """Number of rollouts with this answer."""
    confidence: float
    """Mean halting probability of these rollouts."""
    valid: bool
    """Whether the answer obeys the rules; False if the family has none."""


def _vote(rollouts: Rollouts) -> Floats:
    return np.ones(len(rollouts.puzzles))


def _confident(rollouts: Rollouts) -> Floats:
    """Weight rollouts by confidence and drop the less confident half, after DeepConf (arXiv 2508.15260)."""
    ranks, counts = _ranks(rollouts.puzzles, -rollouts.confidences)
    return np.where(ranks < np.ceil(CONFIDENT_SHARE * counts), rollouts.confidences, 0.0)


def _best(score: Callable[[Rollouts], Floats]) -> Selection:
    return lambda rollouts: (_ranks(rollouts.puzzles, -score(rollouts))[0] == 0).astype(np.float64)


def _verifier(rollouts: Rollouts) -> Floats:
    """Select the first valid answer; without one, a majority vote."""
    first = (_ranks(rollouts.puzzles, ~rollouts.valid)[0] == 0) & rollouts.valid
    solved = np.isin(rollouts.puzzles, rollouts.puzzles[first])
    return np.where(solved, first, 1.0)


def _first(rollouts: Rollouts) -> Floats:
    """Order rollouts by steps, then by confidence: the "halt first" of SIC (arXiv 2601.19085)."""
    return rollouts.confidences - rollouts.steps


SELECTIONS: dict[SelectionName, Selection] = {
    "halting": _best(lambda rollouts: rollouts.confidences),
    "first": _best(_first),
    "top1": _best(lambda rollouts: rollouts.top1),  # C-voting (arXiv 2604.13521)
    "vote": _vote,
    "confident": _confident,
    "residual": _best(lambda rollouts: -rollouts.residuals),
    "verifier": _verifier,
}
"""Selections by name."""


def rank_answers(rollouts: Rollouts, select: SelectionName) -> list[list[Candidate]]:
    """Return the distinct answers to each puzzle, ranked by a selection, the best first."""
    weights, hashes = SELECTIONS[select](rollouts), hash_bytes(map(bytes, rollouts.answers))
    ranking = rank(rollouts.puzzles, hashes, weights, np.ones_like(weights), rollouts.confidences)
    total = np.bincount(rollouts.puzzles, weights)
    candidates: list[list[Candidate]] = [[] for _ in total]
    for puzzle, _, weight, votes, confidence, first in zip(*ranking, strict=True):
        answer, valid = rollouts.answers[first], bool(rollouts.valid[first])
        candidates[puzzle].append(Candidate(answer, weight / total[puzzle], int(votes), float(confidence), valid))
    return candidates


def _ranks(puzzles: NDArray[np.intp], keys: NDArray[Any]) -> tuple[Integers, Integers]:
    """Return the rank of each rollout by key among those of its puzzle, from 0, and their number, (R,) each."""
    order = np.lexsort((keys, puzzles))  # stable: of equal keys the first rollout ranks first
    _, starts, inverse, counts = np.unique(puzzles[order], return_index=True, return_inverse=True, return_counts=True)
    ranks = np.empty(len(puzzles), dtype=np.int64)
    ranks[order] = np.arange(len(puzzles)) - starts[inverse]
    sizes = np.empty_like(ranks)
    sizes[order] = counts[inverse]
    return ranks, sizes
