"""The card of a model of the zoo, as Markdown, from the measurements of ``measure.py``."""

import shlex
from typing import Any

from trm.analysis.report import table
from trm.data.atomic import atomic_write
from trm.reproduce.ledger import wilson
from trm.zoo import FOLDER

CORRUPTIONS = {
    "intact": "none",
    "wrong": "a given is wrong",
    "missing": "a given is missing",
    "extra": "a cell of the answer is given",
    "contradictory": "the givens break a rule",
    "unused": "a token that no question contains",
}

MOST_ECE = 0.2
"""Calibration error from which on a card warns."""


def write(name: str, text: str) -> None:
    """Write the card of a model to the package."""
    with atomic_write(FOLDER / f"{name}.md", "w") as file:
        file.write(text)


def render(facts: dict[str, Any]) -> str:
    """Return the card. ``trm zoo`` shows its third line."""
    test, made = facts["test"], facts["made"]
    example = f"    trm solve {facts['name']} {shlex.quote(test['example'] or 'TASK.json')}\n"
    sections = [f"# {facts['name']}\n\n{headline(facts)}\n", example]
    spent = {"core": facts["core_hours"], "GPU": facts.get("gpu_hours")}
    hours = ", ".join(f"{kind} hours: {number:g}" for kind, number in spent.items() if number) or "hours not counted"
    drawn = {
        "initial parameters": facts.get("seed"),
        "data": facts["data"].get("seed", 0),
        "exploration": facts["explore_seed"],
    }
    seeds = ", ".join(f"{name} {seed}" for name, seed in drawn.items() if seed is not None)
    asked = f"{test['tasks'] or test['puzzles']:,}"
    if test["tasks"]:
        asked += f" tasks, {test['puzzles']:,} augmented samples"
    elif test["puzzles"] < test["split"]:
        asked = f"the first {asked} of {test['split']:,}"
    origin = {
        "trained by": f"`{facts['command']}`",
        "training": f"{facts['steps']:,} steps, {hours}; seeds: {seeds}",
        "training puzzles": f"{facts['training_puzzles']:,}, SHA-256 {facts['training_hash']}",
        "test puzzles": f"{asked}, SHA-256 {test['hash']}; none is a training puzzle up to symmetry (`trm data check`)",
        **started_from(facts.get("started_from")),
        "measured": f"{made['date']}, {made['machine']}, commit {made['commit']}",
        "licence": facts["licence"],
    }
    sections.append(table(["", ""], origin.items()))
    sections.append(
        f"## Solved\n\nWithin {facts['supervision_steps']} supervision steps; shares with 95 % intervals (Wilson).\n"
    )
    rows = [
        (name, group, f"{count:,}", percent(right, count))
        for name, parts in facts["solved"].items()
        for group, (right, count) in parts.items()
    ]
    sections.append(table(["puzzles", "group", "number", "solved"], rows))
    if test["valid"] is not None:
        sections.append(f"{100 * test['valid']:.2f} % of the answers to the test split obey the rules.\n")
    return "\n".join([*sections, *confidence(facts), *scaling(facts), *failures(facts)])


def started_from(start: dict[str, Any] | None) -> dict[str, str]:
    """Return the line about a model whose training did not start from random parameters."""
    if not start:
        return {}
    counts = {"steps": start["step"], "puzzles": start["training_puzzles"]}
    known = ", ".join(f"{name} unknown" if count is None else f"{count:,} {name}" for name, count in counts.items())
    return {"started from": f"`{start['checkpoint']}`, {known}; SHA-256 of its parameters {start['weights']}"}


def headline(facts: dict[str, Any]) -> str:
    """Return one sentence: what it solves, how much of it, and how big it is."""
    test = facts["test"]
    share, count, unit = test["solved"], test["puzzles"], "unseen puzzles"
    if "pass@2" in test["scores"]:
        share, count = test["scores"]["pass@2"], test["tasks"]
        unit = "tasks whose train pairs it was trained on, in two attempts"
    size = f"{facts['weights']:,} parameters, {facts['bytes'] / 1e6:.2f} MB"
    return f"{facts['what']}: solves {percent(share * count, count)} of {count:,} {unit}; {size}."


def percent(right: float, count: int) -> str:
    """Return a share and its interval."""
    low, high = wilson(right / count, count)
    return f"{100 * right / count:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def confidence(facts: dict[str, Any]) -> list[str]:
    """Return the section about the halting head's probability."""
    test = facts["test"]
    auroc = "undefined" if test["auroc"] is None else f"{test['auroc']:.3f}"
    head = ["calibration error (ECE)", "AUROC", "Brier score", "wrong", "wrong among the more confident half"]
    row = [f"{100 * test['ece']:.2f} %", auroc, f"{test['brier']:.4f}"]
    row += [f"{100 * (1 - test['solved']):.2f} %", f"{100 * test['wrong_of_surer_half']:.2f} %"]
    below = (
        []
        if facts.get("abstain_below") is None
        else [f"`--abstain auto` abstains below {100 * facts['abstain_below']:.1f} %.\n"]
    )
    unsure = ["Do not rely on it: most wrong answers look sure.\n"] if test["ece"] > MOST_ECE else []
    return ["## Confidence\n", table(head, [row]), *unsure, *below]


def scaling(facts: dict[str, Any]) -> list[str]:
    """Return the section about more supervision steps and several views, with the early exit that was chosen."""
    scaled = facts["scaling"]
    lines = {"solved": [point for point in scaled["points"] if point["breadth"] == 1]}
    early = ", as `trm solve` solves them" if scaled.get("early_exit") else ""  # the first card was measured without
    parts = [f"## Test-time scaling\n\nOn the first {scaled['puzzles']:,} test puzzles{early}.\n"]
    if facts.get("exit"):
        parts.append(f"Chosen by `trm tune`: {facts['exit']}.\n")
    parts.append(by("supervision steps", "depth", lines))
    selections = {"vote": "majority vote", "verifier": "the first valid answer"}
    views: dict[str, list[dict[str, Any]]] = {}
    for point in (point for point in scaled["points"] if point["breadth"] > 1):
        deeper = "" if point["depth"] == facts["supervision_steps"] else f", up to {point['depth']} steps a view"
        views.setdefault(f"solved by {selections[point['select']]}{deeper}", []).append(point)
    if views := {words: points for words, points in views.items() if any(point["solved"] for point in points)}:
        parts.append(by("symmetric views", "breadth", views))
    return parts


def by(head: str, key: str, lines: dict[str, list[dict[str, Any]]]) -> str:
    """Return a table of the shares of points: a column for each value of ``key``."""
    columns = sorted({point[key] for points in lines.values() for point in points})
    rows = []
    for title, points in lines.items():
        shares = {point[key]: f"{100 * point['solved']:.1f} %" for point in points}
        rows.append([title, *(shares.get(column, "") for column in columns)])
    return table([head, *map(str, columns)], rows)


def failures(facts: dict[str, Any]) -> list[str]:
    """Return the section about puzzles it does not solve, and corrupted inputs."""
    test = facts["test"]
    parts = ["## Known failures\n"]
    if test["unsolved"]:
        parts.append("Test puzzles it does not solve:\n")
        parts.append("\n".join(f"    {text}" for text in test["unsolved"]) + "\n")
    parts.append(
        "Corrupted inputs (`trm analyze robustness`); AUROC of separating intact from corrupted ones by confidence "
        "(0.5 is chance):\n"
    )
    rows = [
        (
            CORRUPTIONS[point["kind"]],
            str(point["strength"]),
            "" if point["valid"] is None else f"{100 * point['valid']:.0f} %",
            f"{point['confidence']:.3f}",
            "" if point["auroc"] is None else f"{point['auroc']:.2f}",
        )
        for point in facts["probe"]
    ]
    parts.append(table(["corruption", "cells", "obeys the rules", "confidence", "AUROC"], rows))
    return parts
