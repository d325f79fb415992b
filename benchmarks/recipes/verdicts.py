"""Compare the runs of a study: values at a budget, differences paired by seed, verdicts. See ``measure.py``."""

import itertools
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

UNITS = {"core_seconds": "core-seconds", "tflop": "TFLOPs"}
MEASURES = ("solved", "answer_loss")
T95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
"""Two-sided quantiles of Student's t, by degrees of freedom."""


class Evaluation(NamedTuple):
    """The cost of a run by a step, and what its averaged parameters solve then."""

    step: int
    core_seconds: float
    tflop: float
    solved: float
    cells: float
    answer_loss: float


class Run(NamedTuple):
    """A run and its evaluations, in order."""

    task: str
    recipe: str
    seed: int
    rows: list[Evaluation]
    round: int = 1
    """Runs of a round are compared with the plain runs of the same round."""

    def cost(self, unit: str, step: int) -> float:
        """Return what the run had cost by one of its evaluations."""
        return next(getattr(row, unit) for row in self.rows if row.step == step)

    def at(self, unit: str, budget: float, measure: str) -> float | None:
        """Return a measure at a budget, linear between two evaluations; None before the first and after the last."""
        costs, values = ([getattr(row, name) for row in self.rows] for name in (unit, measure))
        inside = bool(costs) and costs[0] <= budget <= costs[-1]
        return float(np.interp(budget, costs, values)) if inside else None


class Difference(NamedTuple):
    """A mean of paired differences."""

    mean: float
    error: float | None
    """Standard error; None of a single pair."""
    verdict: str
    """"noise" unless the 95 % interval of Student's t leaves zero out."""


def t95(seeds: int) -> float:
    """Return the two-sided 95 % quantile of Student's t for a mean of so many differences, at least two."""
    return T95[min(seeds - 1, len(T95)) - 1]


def paired(theirs: Sequence[float], plain: Sequence[float], more_is_better: bool = True) -> Difference:
    """Compare values with those of the plain runs of the same seeds."""
    differences = [one - other for one, other in zip(theirs, plain, strict=True)]
    middle = mean(differences)
    if len(differences) == 1:
        return Difference(middle, None, "one seed")
    error = stdev(differences) / len(differences) ** 0.5
    if abs(middle) <= t95(len(differences)) * error:
        return Difference(middle, error, "noise")
    return Difference(middle, error, "better" if (middle > 0) == more_is_better else "worse")


def verdicts(
    runs: list[Run],
    budget: dict[str, float],
    measures: Sequence[str] = MEASURES,
    bases: Mapping[str, str] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """Compare the recipes of a task and round at each budget, by each measure.

    A recipe is compared with the plain one, or with the one that ``bases`` names. A seed counts where both its runs
    have reached the budget.
    """
    found = []
    for unit, measure in itertools.product(budget, measures):
        values: dict[str, dict[int, float]] = {run.recipe: {} for run in runs}
        for run in runs:
            if (value := run.at(unit, budget[unit], measure)) is not None:
                values[run.recipe][run.seed] = value
        for recipe, by_seed in values.items():
            base = bases.get(recipe, "plain")
            if not (seeds := sorted(by_seed.keys() & values.get(base, {}).keys())):
                continue
            theirs, others = ([values[name][seed] for seed in seeds] for name in (recipe, base))
            difference = paired(theirs, others, more_is_better=measure != "answer_loss")
            found.append(
                {
                    "round": runs[0].round,
                    "task": runs[0].task,
                    "budget": UNITS[unit],
                    "amount": float(f"{budget[unit]:.4g}"),
                    "measure": measure,
                    "recipe": recipe,
                    "seeds": len(seeds),
                    "mean": round(mean(theirs), 4),
                    "spread": round(stdev(theirs), 4) if len(theirs) > 1 else None,
                    "difference": round(difference.mean, 4),
                    "standard_error": difference.error and round(difference.error, 4),
                    "verdict": difference.verdict if recipe != base else None,
                }
            )
    return found
