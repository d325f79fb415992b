"""The command ``trm probe``: what a model answers to questions unlike those of training, and how sure it is.

Letters in shape comments: N puzzles, B of them in a batch, L grid cells.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from trm.analysis.plot import Line, plot
from trm.analysis.report import load, publish, reserve, table
from trm.batch import IGNORE, Batch
from trm.data import PuzzleData, Samples
from trm.data.atomic import atomic_write
from trm.data.corruption import KINDS, Changes, given_tokens
from trm.data.samples import Tokens, to_batch
from trm.errors import InputError, check_range
from trm.inference.halting import obeys
from trm.module import TRMModule
from trm.nn import solved
from trm.nn.losses import CELL_LOSSES

STRENGTHS = (1, 2, 4, 8, 16)
BATCH = 256  # puzzles that are thought about together
COLUMNS = {
    "cells": "strength",
    "puzzles": "puzzles",
    "answers as before": "solved",
    "obeys the rules": "valid",
    "keeps the givens": "keeps_givens",
    "confidence": "confidence",
    "quartiles": "quartiles",
    "cell probability": "cell_probability",
    "steps": "steps",
    "AUROC": "auroc",
    "AUROC of cells": "cell_auroc",
}
"""Of the table: what each is called, and which field of a point it shows."""


class Outcome(NamedTuple):
    """What came of each question, (N,) float64 each."""

    solved: Tensor
    """1 where all labelled cells but those that were changed are as before, that is, as the label says."""
    valid: Tensor
    """1 where the answer obeys the rules of the question as asked; NaN where there are none."""
    keeps_givens: Tensor
    """1 where the answer keeps every given of the question as asked; NaN in a family without givens."""
    confidence: Tensor
    """Halting probability."""
    cell_probability: Tensor
    """Mean probability of the tokens answered, over the labelled cells."""
    steps: Tensor
    """Supervision steps taken."""


class Point(NamedTuple):
    """Means over the puzzles in which so many cells were changed in one way; None where nothing can be said."""

    kind: str
    """"intact", or one of ``KINDS``."""
    strength: int
    """Cells changed."""
    puzzles: int
    solved: float | None
    valid: float | None
    keeps_givens: float | None
    confidence: float | None
    quartiles: list[float]
    """Of the confidence: 25, 50 and 75 %."""
    cell_probability: float | None
    steps: float | None
    auroc: float | None
    """Chance that the confidence in an intact question is greater than in a changed one; 0.5 tells nothing."""
    cell_auroc: float | None
    """The same of the cell probability."""


def probe(
    checkpoint: str,
    *,
    output: str,
    puzzles: int = 256,
    seed: int = 0,
    force: bool = False,
    family: str = "",
) -> int:
    """Measure what a model answers to questions unlike those of training, and whether its confidence drops.

    Test puzzles are changed in 1, 2, 4, 8 and 16 cells: givens that are wrong, missing, given away or contradict the
    rules, and tokens that no question has. What at least half of the puzzles have room for is asked, with as many steps
    as the halting head wants. Writes the numbers as JSON, and a table and a plot beside it, as .md and .svg.

    Args:
        checkpoint: a file written by ``trm fit``, or the name of a model of the zoo.
        output: the JSON file to write, -o for short; table and plot have its name and the endings .md and .svg.
        puzzles: so many of the test split, from its beginning.
        seed: seed of the changes.
        force: overwrite files that exist.
        family: the class the checkpoint was trained on if it is your own, such as my_puzzles.Futoshiki.
    """
    check_range("probe", 1, puzzles=puzzles)
    check_range("probe", 0, seed=seed)
    path = reserve(output, force, beside=(".md", ".svg"))
    module, data = load(checkpoint, family)
    points = measure(module, data, puzzles, seed)
    print(tabulated(points), end="")  # before what is written, so that a full disk does not lose it
    facts = {"checkpoint": checkpoint, "family": data.family["class_path"], "seed": seed}
    title = f"{points[0].puzzles:,} test puzzles, {data.family['class_path'].rpartition('.')[2]}"
    publish(path, {**facts, "points": [point._asdict() for point in points]}, _drawn(points, title))
    with atomic_write(path.with_suffix(".md"), "w") as file:
        file.write(tabulated(points))
    return 0


def measure(
    module: TRMModule, data: PuzzleData, puzzles: int, seed: int, strengths: Sequence[int] = STRENGTHS
) -> list[Point]:
    """Ask test puzzles as they are and changed, and return a point for each kind and strength; the first is intact.

    Args:
        module: a trained model, in evaluation mode.
        data: its family.
        puzzles: at most so many of the test split.
        seed: seed of the changes.
        strengths: numbers of cells to change.

    Raises:
        InputError: if no puzzle has an answer.
    """
    rows = data.eval_rows("test", 0, puzzles)
    asked = len(rows.inputs)
    rows = rows.take((rows.labels != 0).any(1))
    if not len(rows.inputs):
        raise InputError(f"none of the {asked} puzzles of the test split has an answer to compare with")
    given = torch.from_numpy(given_tokens(rows.inputs, rows.labels, data.vocab_size))
    intact = ask(module, data, rows, rows.inputs, given)
    points = [_point("intact", 0, intact)]
    for number, kind in enumerate(KINDS):
        changes = Changes(rows.inputs, data.changes(kind, rows), np.random.default_rng((seed, number)))
        for strength in strengths:
            which = np.flatnonzero(changes.most >= strength)
            if 2 * len(which) < len(rows.inputs) or strength >= data.seq_len:  # of which nothing would be left
                break
            outcome = ask(module, data, rows.take(which), changes.apply(strength, which), given)
            if kind == "unused":  # to the rules such a token is a given like any other, which no answer keeps
                outcome = outcome._replace(valid=torch.full_like(outcome.valid, math.nan))
            points.append(_point(kind, strength, outcome, Outcome(*(values[which] for values in intact))))
    return points


def ask(module: TRMModule, data: PuzzleData, rows: Samples, questions: Tokens, given: Tensor) -> Outcome:
    """Solve questions for as long as the halting head wants, in batches.

    Args:
        module: a trained model, in evaluation mode.
        data: its family.
        rows: the intact questions and their labels.
        questions: the questions to ask in their place, (N, L).
        given: which tokens are givens, (V,) bool.
    """
    parts, device = [], module.device
    for first in range(0, len(questions), BATCH):
        part = slice(first, first + BATCH)
        batch = to_batch(rows.take(part)._replace(inputs=questions[part]))
        intact = torch.from_numpy(questions[part] == rows.inputs[part]).to(device)
        parts.append(_ask(module, data, Batch(*(field.to(device) for field in batch)), intact, given.to(device)))
    return Outcome(*(torch.cat(part).cpu().double() for part in zip(*parts, strict=True)))


def _ask(module: TRMModule, data: PuzzleData, batch: Batch, intact: Tensor, given: Tensor) -> Outcome:
    """Solve one batch; ``intact`` tells which cells are not changed, (B, L)."""
    answers = module.solve(batch.inputs, batch.puzzle_ids)
    tokens, unknown = answers.tokens, torch.full_like(answers.halt, math.nan)
    valid = obeys(data, batch.inputs, tokens)
    kept = (tokens == batch.inputs) | ~given[batch.inputs]  # (B, L)
    labelled = batch.labels != IGNORE
    probabilities = CELL_LOSSES[module.hparams["loss"]](answers.logits, tokens).neg().exp() * labelled  # (B, L)
    return Outcome(
        solved(answers.logits, batch.labels.where(intact, IGNORE)),
        unknown if valid is None else valid,
        kept.all(-1) if given.any() else unknown,
        answers.halt.double().sigmoid(),
        probabilities.sum(-1) / labelled.sum(-1),
        answers.steps,
    )


def _point(kind: str, strength: int, outcome: Outcome, before: Outcome | None = None) -> Point:
    """Take means, and compare with what came of the same puzzles before they were changed."""
    means = {name: _mean(values) for name, values in outcome._asdict().items()}
    quartiles = outcome.confidence.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)).tolist()
    return Point(
        kind,
        strength,
        len(outcome.steps),
        **means,
        quartiles=quartiles,
        auroc=_area(before.confidence, outcome.confidence) if before else None,
        cell_auroc=_area(before.cell_probability, outcome.cell_probability) if before else None,
    )


def _mean(values: Tensor) -> float | None:
    mean = float(values.mean())
    return None if math.isnan(mean) else mean


def _area(intact: Tensor, changed: Tensor) -> float:
    """Return the area under the ROC curve of telling intact questions, whose values should be greater."""
    target = torch.cat((torch.ones(len(intact)), torch.zeros(len(changed)))).int()
    return float(binary_auroc(torch.cat((intact, changed)), target))


def tabulated(points: list[Point]) -> str:
    """Return the points as a Markdown table."""
    rows = ([point.kind, *(_cell(name, getattr(point, name)) for name in COLUMNS.values())] for point in points)
    return table(["question", *COLUMNS], rows)


def _cell(name: str, value: float | list[float] | None) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(f"{part:.3f}" for part in value)
    if isinstance(value, int):
        return str(value)
    return f"{value:.1%}" if name in ("solved", "valid", "keeps_givens") else f"{value:.3f}"


def _drawn(points: list[Point], title: str) -> str:
    """Plot the mean confidence against the number of cells changed, a line for each kind."""
    lines = []
    for kind in KINDS:
        own = [point for point in points if point.kind in ("intact", kind)]
        if len(own) > 1:
            places = [(float(p.strength), p.confidence) for p in own if p.confidence is not None]
            lines.append(Line("", places, [""] * (len(places) - 1) + [kind]))
    return plot(lines, title, "cells changed", "mean halting probability", right=100)
