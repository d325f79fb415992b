"""File, tables and picture of the second edition of the study of training recipes. See ``tuned_recipes.py``."""

import json
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from statistics import mean

from matplotlib.axes import Axes
from recipes import TUNED
from report import Row, read, shown, spread, write
from verdicts import UNITS, Evaluation, Run, verdicts

from trm.analysis.plots import panels
from trm.analysis.report import table

HERE = Path(__file__).parent
PARTS = ("tuning", "runs")
"""Folders of the runs that tune, and of the runs at the points that were found."""
TASK = "sudoku-9x9-real"
MEASURES = ("cells", "answer_loss")
FACTS = ("recipe", "seed", "rate", "slots", "parameters")
MACHINE = ("device", "date")


def report(runs: Path, folder: Path) -> bool:
    """Write the evaluations that are found in a folder of runs, and draw them; return whether there is anything."""
    rows = collected(runs)
    if not (found := finals(rows)):
        return False
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "tuned.csv", rows)
    draw(folder / "tuned.png", found)
    return True


def collected(runs: Path) -> list[Row]:
    """Return a row for each evaluation in a folder of runs, in the order of the recipes."""
    found = [(path.parent.name, json.loads(path.read_text())) for part in PARTS for path in runs.glob(f"{part}/*.json")]
    order = list(TUNED)
    point = itemgetter("seed", "rate", "slots")
    found.sort(key=lambda run: (PARTS.index(run[0]), order.index(run[1]["recipe"]), *point(run[1])))
    return [
        {"part": part}
        | {name: facts[name] for name in FACTS}
        | {name: row[name] if name == "step" else float(f"{row[name]:.5g}") for name in Evaluation._fields}
        | {"commit": facts["commit"]}
        | {name: facts["machine"][name] for name in MACHINE}
        for part, facts in found
        for row in facts["rows"]
    ]


def finals(rows: Sequence[Row]) -> list[Run]:
    """Return the runs at the points that were found, with their evaluations."""
    by_run: dict[tuple[str, int], list[Evaluation]] = {}
    for row in rows:
        if row["part"] == "runs":
            evaluation = Evaluation(*(row[name] for name in Evaluation._fields))
            by_run.setdefault((row["recipe"], row["seed"]), []).append(evaluation)
    return [Run(TASK, recipe, seed, evaluations) for (recipe, seed), evaluations in by_run.items()]


def tables(folder: Path = HERE) -> dict[str, str]:
    """Return what tuning found, and the recipes compared as far as all runs have got."""
    rows = read(folder / "tuned.csv")
    runs = finals(rows)
    parameters = {row["recipe"]: row["parameters"] for row in rows}
    return {"tuned-grid": _grid(rows), "tuned": _compared(runs, parameters)}


def _grid(rows: Sequence[Row]) -> str:
    """Return the table of the points that were tried, the one that was chosen in bold."""
    lines = []
    slots = sorted({row["slots"] for row in rows})
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        tried = {
            (row["rate"], row["slots"]): row["cells"]
            for row in rows
            if (row["part"], row["recipe"]) == ("tuning", recipe)
        }
        best = max(tried.values())
        for rate in dict.fromkeys(rate for rate, _ in tried):
            cells = [tried[rate, number] for number in slots]
            words = [f"**{100 * value:.1f}**" if value == best else f"{100 * value:.1f}" for value in cells]
            lines.append([recipe, f"{TUNED[recipe].tuned} {rate:g}", *words])
    return table(["recipe", "rate", *(f"cells right, {number} slots" for number in slots)], lines)


def _compared(runs: list[Run], parameters: dict[str, int]) -> str:
    """Return the table of the verdicts at the last core-seconds and the last TFLOPs that the runs have in common."""
    budget = {unit: min(getattr(run.rows[-1], unit) for run in runs) for unit in ("core_seconds", "tflop")}
    bases = {recipe: TUNED[recipe].base for recipe in TUNED}
    found = verdicts(runs, budget, MEASURES, bases)
    by_column = {(row["recipe"], row["budget"], row["measure"]): row for row in found}
    columns = [(UNITS["core_seconds"], measure) for measure in MEASURES] + [(UNITS["tflop"], "cells")]
    head = ["recipe", "parameters", f"TFLOPs at {budget['core_seconds']:.0f} core-seconds", "compared with"]
    for unit, measure in columns:
        amount = next(row["amount"] for row in found if row["budget"] == unit)
        head += [f"{measure.replace('_', ' ')} at {amount:.3g} {unit}", "difference"]
    lines = []
    for recipe in dict.fromkeys(run.recipe for run in runs):
        spent = [run.at("core_seconds", budget["core_seconds"], "tflop") or 0.0 for run in runs if run.recipe == recipe]
        base = "" if bases[recipe] == recipe else bases[recipe]
        line = [recipe, f"{parameters[recipe]:,}", spread(spent, 1), base]
        for column in columns:
            row = by_column.get((recipe, *column))
            line += shown(row)
        lines.append(line)
    return table(head, lines)


def draw(path: Path, runs: list[Run]) -> None:
    """Draw the cells right against core-seconds and operations, mean and range over the seeds that have got there."""
    recipes = list(dict.fromkeys(run.recipe for run in runs))
    last = min(len(run.rows) for run in runs) - 1
    cells = {name: mean(run.rows[last].cells for run in runs if run.recipe == name) for name in recipes}
    seconds = mean(run.rows[last].core_seconds for run in runs)
    best = max(cells, key=cells.__getitem__)
    finding = f"{TASK}, tuned: after {seconds:.0f} core-seconds {best} has the most cells right, {cells[best]:.0%}"
    with panels(2, finding) as (figure, [left, right]):
        for colour, recipe in enumerate(sorted(recipes, key=cells.__getitem__, reverse=True)):
            rows = [run.rows for run in runs if run.recipe == recipe]
            for axes, unit in ((left, "core_seconds"), (right, "tflop")):
                _curve(axes, unit, rows, "black" if recipe == "plain" else f"C{colour}", recipe)
        left.set(xlim=(0, None), xlabel="core-seconds of training", ylabel="cells right, given ones too, %")
        left.set_ylim(left.get_ylim()[0] - 15)  # room for the legend
        right.set(xlim=(0, None), xlabel="TFLOPs of training", ylim=left.get_ylim())
        left.set_title("mean and range of the seeds")
        right.set_title("hollow: evaluations that not all seeds have got to")
        right.legend(loc="lower right", frameon=True, edgecolor="none")
        figure.savefig(path, dpi=100, metadata={"Software": None})


def _curve(axes: Axes, unit: str, seeds: list[list[Evaluation]], colour: str, label: str) -> None:
    """Draw a point for each evaluation of a recipe, filled where all seeds have it, and the range over the seeds."""
    costs, middles, lows, highs, hollow = [], [], [], [], []
    for number in range(max(map(len, seeds))):
        there = [rows[number] for rows in seeds if len(rows) > number]
        cells = [100 * row.cells for row in there]
        costs.append(mean(getattr(row, unit) for row in there))
        middles.append(mean(cells))
        lows.append(min(cells))
        highs.append(max(cells))
        hollow.append(len(there) < len(seeds))
    fills = ["white" if some else colour for some in hollow]
    axes.plot(costs, middles, color=colour, zorder=2)
    axes.scatter(costs, middles, c=fills, edgecolors=colour, zorder=3, s=26, linewidths=1.4)
    axes.plot([], [], color=colour, marker="o", label=label)
    axes.fill_between(costs, lows, highs, color=colour, alpha=0.15, linewidth=0)
