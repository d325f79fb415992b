"""Files, tables and pictures of the study of training recipes. See ``measure.py``."""

import contextlib
import csv
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from verdicts import UNITS, Run, t95

from trm.analysis.plots import panels
from trm.analysis.report import table

COLUMNS = [("TFLOPs", "solved"), ("core-seconds", "solved"), ("TFLOPs", "answer_loss")]
"""Of the tables: budget and measure."""
COLOURS = {"better": "tab:blue", "worse": "tab:red", "noise": "tab:gray", "one seed": "tab:gray"}
MEANINGS = {"better": "solves more than plain", "worse": "solves less", "noise": "not told apart from chance"}
SHOWN = 3
"""Recipes whose learning curves are drawn beside that of plain."""
Row = dict[str, Any]


def curves(runs: list[Run]) -> list[Row]:
    """Return a row for each evaluation of each run."""
    return [
        {"round": run.round, "task": run.task, "recipe": run.recipe, "seed": run.seed}
        | {name: value if isinstance(value, int) else float(f"{value:.5g}") for name, value in row._asdict().items()}
        for run in runs
        for row in run.rows
    ]


def read(path: Path) -> list[Row]:
    """Read a CSV file whose cells are numbers where they look like numbers, and None where they are empty."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: _value(text) for name, text in row.items()} for row in csv.DictReader(file)]


def merged(path: Path, rows: Iterable[Row], tasks: Sequence[str]) -> list[Row]:
    """Put rows into a CSV file in the place of those of the same task and round, and return all, by round and task."""
    rows = list(rows)
    replaced = {(row["round"], row["task"]) for row in rows}
    rows += [row for row in read(path) if (row["round"], row["task"]) not in replaced]
    rows.sort(key=lambda row: (row["round"], tasks.index(row["task"])))
    if rows:
        write(path, rows)
    return rows


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write a CSV file of rows that have the same columns."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def spread(values: Sequence[float], digits: int) -> str:
    """Return the mean of values and, of several, their standard deviation."""
    deviation = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{deviation}"


def _value(text: str) -> Any:
    for number in (int, float):
        with contextlib.suppress(ValueError):
            return number(text)
    return text or None


def comparison(found: list[Row], about: dict[str, tuple[str, str]]) -> str:
    """Return the table of the verdicts of a task and round; ``about`` has source and published claim by recipe."""
    rows = {(row["recipe"], row["budget"], row["measure"]): row for row in found}
    amounts = {unit: next(row["amount"] for row in found if row["budget"] == unit) for unit in UNITS.values()}
    head = ["recipe", "source", "published there"]
    for unit, measure in COLUMNS:
        head += [f"{measure.replace('_', ' ')} at {amounts[unit]:.3g} {unit}", "to plain"]
    lines = [
        [
            recipe,
            *about[recipe],
            *itertools.chain.from_iterable(shown(rows.get((recipe, *column))) for column in COLUMNS),
        ]
        for recipe in dict.fromkeys(row["recipe"] for row in found)
    ]
    return table(head, lines)


def shown(row: Row | None) -> tuple[str, str]:
    """Write a value with its spread, and its difference with the standard error and the verdict."""
    if row is None:
        return "not reached", ""
    scale, digits = (1, 3) if row["measure"] == "answer_loss" else (100, 1)

    def plus_minus(value: str, error: float | None) -> str:
        return value if error is None else f"{value} ± {scale * error:.{digits}f}"

    value = plus_minus(f"{scale * row['mean']:.{digits}f}", row["spread"])
    if not row["verdict"]:
        return value, ""
    difference = plus_minus(f"{scale * row['difference']:+.{digits}f}", row["standard_error"])
    return value, difference if row["verdict"] == "noise" else f"{difference} **{row['verdict']}**"


def by_clues(rows: list[Row]) -> str:
    """Return a table of the share of boards solved, a line for each recipe and a column for each number of clues."""
    fewest = sorted({row["fewest_clues"] for row in rows})
    solved = {(row["recipe"], row["fewest_clues"]): row["solved"] for row in rows}
    head = ["recipe", *(f"{clues} to {clues + 4} clues" for clues in fewest)]
    return table(
        head,
        [
            [recipe, *(f"{100 * solved[recipe, clues]:.1f}" for clues in fewest)]
            for recipe in dict.fromkeys(row["recipe"] for row in rows)
        ],
    )


def draw(path: Path, found: list[Row], evaluations: list[Row]) -> None:
    """Draw the differences of a task to plain at equal operations, and the learning curves of the best recipes.

    Args:
        path: of the picture.
        found: the rows of ``verdicts.csv`` of the task, all rounds.
        evaluations: the rows of ``curves.csv`` of the task, all rounds.
    """
    compared = [row for row in found if (row["budget"], row["measure"]) == ("TFLOPs", "solved") and row["verdict"]]
    compared.sort(key=lambda row: row["difference"])
    better = [row["recipe"] for row in reversed(compared) if row["verdict"] == "better"]
    best = [row["recipe"] for row in reversed(compared) if row["difference"] > 0][:SHOWN]
    others = sum(row["recipe"] != "plain again" for row in compared)
    finding = f"{found[0]['task']}: {_finding(better, others)}"
    with panels(2, finding) as (figure, [left, right]):
        figure.set_figheight(2.6 + 0.26 * len(compared))
        _differences(left, compared)
        _learning(right, evaluations, ["plain", *best])
        figure.savefig(path, dpi=100, metadata={"Software": None})


def _finding(better: list[str], compared: int) -> str:
    """Return what the picture shows, in a sentence."""
    if not better:
        return f"none of {compared} recipes solves more than plain at equal operations, beyond chance"
    names = better[0] if len(better) == 1 else f"{', '.join(better[:-1])} and {better[-1]}"
    those = names if len(better) <= 2 else f"{len(better)} of {compared} recipes"
    verb = "solves" if len(better) == 1 else "solve"
    return f"{those} {verb} more than plain at equal operations, beyond chance"


def _differences(axes: Axes, compared: list[Row]) -> None:
    """Draw a point and its 95 % interval for each recipe, the best at the top."""
    for verdict, meaning in MEANINGS.items():
        places = [place for place, row in enumerate(compared) if COLOURS[row["verdict"]] == COLOURS[verdict]]
        if not places:
            continue
        rows = [compared[place] for place in places]
        errors = [100 * t95(row["seeds"]) * row["standard_error"] if row["seeds"] > 1 else 0.0 for row in rows]
        differences = [100 * row["difference"] for row in rows]
        axes.errorbar(differences, places, xerr=errors, fmt="o", color=COLOURS[verdict], label=meaning)
    axes.axvline(0, color="black", linewidth=1)
    axes.set(xlim=(-100, 100), xlabel="exact-match accuracy minus that of plain, points,\nwith 95 % interval")
    axes.set_yticks(range(len(compared)), [row["recipe"] for row in compared])
    axes.grid(axis="y", visible=False)
    axes.legend(loc="lower right", handletextpad=0, frameon=True, edgecolor="none")


def _learning(axes: Axes, evaluations: list[Row], recipes: list[str]) -> None:
    """Draw the mean over the runs of each recipe, and their range, against operations."""
    for number, recipe in enumerate(recipes):
        runs: dict[tuple[int, int], list[Row]] = {}
        for row in evaluations:
            if row["recipe"] == recipe:
                runs.setdefault((row["round"], row["seed"]), []).append(row)
        until = min(max(row["tflop"] for row in rows) for rows in runs.values())
        since = max(min(row["tflop"] for row in rows) for rows in runs.values())
        grid = np.linspace(since, until, 60)
        values = [
            np.interp(grid, [row["tflop"] for row in rows], [100 * row["solved"] for row in rows])
            for rows in runs.values()
        ]
        colour = "black" if recipe == "plain" else f"C{number - 1}"
        axes.plot(grid, [mean(column) for column in zip(*values, strict=True)], color=colour, label=recipe)
        axes.fill_between(grid, np.min(values, axis=0), np.max(values, axis=0), color=colour, alpha=0.12, linewidth=0)
    axes.set(xlim=(0, None), ylim=(0, 100), xlabel="TFLOPs of training", ylabel="exact-match accuracy, %")
    axes.set_title("mean and range of the runs")
    axes.legend(loc="upper left")
