"""What the runs of a study say: values at a budget, paired differences, tables and pictures. See ``study.py``."""

import contextlib
import csv
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

import matplotlib
import numpy as np

from trm.analysis.report import table

UNITS = {"core_seconds": "core-seconds", "tflop": "TFLOPs"}
MEASURES = ("solved", "answer_loss")
COLUMNS = [("core-seconds", "solved"), ("TFLOPs", "solved"), ("TFLOPs", "answer_loss")]
"""Of the table for people: budget and measure."""
T95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
"""Two-sided quantiles of Student's t, by degrees of freedom."""


class Evaluation(NamedTuple):
    """What a run had cost by a step, and what its averaged weights could do."""

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


def paired(theirs: Sequence[float], plain: Sequence[float], more_is_better: bool = True) -> Difference:
    """Compare values with those of the plain runs of the same seeds."""
    differences = [one - other for one, other in zip(theirs, plain, strict=True)]
    middle = mean(differences)
    if len(differences) == 1:
        return Difference(middle, None, "one seed")
    error = stdev(differences) / len(differences) ** 0.5
    if abs(middle) <= T95[min(len(differences) - 1, len(T95)) - 1] * error:
        return Difference(middle, error, "noise")
    return Difference(middle, error, "better" if (middle > 0) == more_is_better else "worse")


def verdicts(runs: list[Run], budget: dict[str, float]) -> list[dict[str, Any]]:
    """Compare the recipes of a task with the plain one at each budget, by each measure.

    A seed counts where both its runs have reached the budget.
    """
    found = []
    for unit, measure in itertools.product(budget, MEASURES):
        values: dict[str, dict[int, float]] = {run.recipe: {} for run in runs}
        for run in runs:
            if (value := run.at(unit, budget[unit], measure)) is not None:
                values[run.recipe][run.seed] = value
        for recipe, by_seed in values.items():
            if not (seeds := sorted(by_seed.keys() & values["plain"].keys())):
                continue
            theirs, plain = ([values[name][seed] for seed in seeds] for name in (recipe, "plain"))
            difference = paired(theirs, plain, more_is_better=measure == "solved")
            found.append(
                {
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
                    "verdict": difference.verdict if recipe != "plain" else None,
                }
            )
    return found


def markdown(found: list[dict[str, Any]], about: dict[str, tuple[str, str]]) -> str:
    """Write the verdicts of a task for people; ``about`` tells source and published claim of each recipe."""
    rows = {(row["recipe"], row["budget"], row["measure"]): row for row in found}
    amounts = {unit: next(row["amount"] for row in found if row["budget"] == unit) for unit in UNITS.values()}
    head = ["recipe", "source", "published there"]
    for unit, measure in COLUMNS:
        head += [f"{measure.replace('_', ' ')} at {amounts[unit]:.3g} {unit}", "to plain"]
    lines = [
        [
            recipe,
            *about[recipe],
            *itertools.chain.from_iterable(_shown(rows.get((recipe, *column))) for column in COLUMNS),
        ]
        for recipe in dict.fromkeys(row["recipe"] for row in found)
    ]
    return table(head, lines)


def _shown(row: dict[str, Any] | None) -> tuple[str, str]:
    """Write a value with its spread, and its difference with the standard error and the verdict."""
    if row is None:
        return "not reached", ""
    scale, digits = (100, 1) if row["measure"] == "solved" else (1, 3)

    def plus_minus(value: str, error: float | None) -> str:
        return value if error is None else f"{value} ± {scale * error:.{digits}f}"

    value = plus_minus(f"{scale * row['mean']:.{digits}f}", row["spread"])
    if not row["verdict"]:
        return value, ""
    difference = plus_minus(f"{scale * row['difference']:+.{digits}f}", row["standard_error"])
    return value, difference if row["verdict"] == "noise" else f"{difference} **{row['verdict']}**"


def merged(path: Path, rows: Iterable[dict[str, Any]], tasks: Sequence[str]) -> list[dict[str, Any]]:
    """Put rows into a CSV file in the place of those of the same tasks; return all of them, in the order of tasks."""
    rows, kept = list(rows), []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            kept = [{name: _value(text) for name, text in row.items()} for row in csv.DictReader(file)]
    replaced = {row["task"] for row in rows}
    rows += [row for row in kept if row["task"] not in replaced]
    rows.sort(key=lambda row: tasks.index(row["task"]))
    if rows:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return rows


def _value(text: str) -> Any:
    for number in (int, float):
        with contextlib.suppress(ValueError):
            return number(text)
    return text or None


def curves(runs: list[Run]) -> list[dict[str, Any]]:
    """Return a row for each evaluation of each run."""
    return [
        {"task": run.task, "recipe": run.recipe, "seed": run.seed}
        | {name: value if isinstance(value, int) else float(f"{value:.5g}") for name, value in row._asdict().items()}
        for run in runs
        for row in run.rows
    ]


def draw(path: Path, runs: list[Run], found: list[dict[str, Any]], budget: dict[str, float]) -> None:
    """Draw the means over the seeds against the cost, and the differences to plain with their standard errors."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.5), dpi=90, layout="constrained")
    recipes = list(dict.fromkeys(run.recipe for run in runs))
    colours = {recipe: plt.get_cmap("tab20")(number % 20) for number, recipe in enumerate(recipes)}
    for recipe in recipes:
        mine = [run for run in runs if run.recipe == recipe]
        grid = np.linspace(0, budget["core_seconds"], 60)
        points = [(x, [run.at("core_seconds", x, "solved") for run in mine]) for x in grid]
        points = [(x, mean(values)) for x, values in points if None not in values]
        style = {"color": "black", "linewidth": 3} if recipe == "plain" else {"color": colours[recipe]}
        left.plot(*zip(*points, strict=True), label=recipe, **style)
    left.set(
        xlabel="core-seconds of training", ylabel="solved, averaged weights", title=f"{runs[0].task}, mean of the seeds"
    )
    left.legend(fontsize=7)
    for offset, (unit, colour) in enumerate(zip(UNITS.values(), ("tab:blue", "tab:orange"), strict=True)):
        rows = [row for row in found if (row["budget"], row["measure"]) == (unit, "solved") and row["verdict"]]
        right.errorbar(
            [100 * row["difference"] for row in rows],
            [recipes.index(row["recipe"]) + 0.25 * offset for row in rows],
            xerr=[100 * (row["standard_error"] or 0) for row in rows],
            fmt="o",
            color=colour,
            label=f"at equal {unit}",
        )
    right.axvline(0, color="black")
    right.set_yticks(range(len(recipes)), recipes)
    right.invert_yaxis()
    right.set(xlabel="points solved more than plain, with standard error", title="paired by seed")
    right.legend()
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)
