"""Robustness to corrupted inputs: accuracy, validity and confidence on questions unlike those of training.

Shapes: N puzzles, B of them in a batch, L grid cells, V vocabulary.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from trm.analysis.plots import legend, panels, shares, subject
from trm.analysis.report import Facts, columns, labelled, table
from trm.batch import IGNORE, Batch
from trm.data import PuzzleData, Samples
from trm.data.corruption import CORRUPTIONS, RandomCorruptions, given_tokens
from trm.data.progress import Progress, unwatched
from trm.data.samples import Tokens, to_batch
from trm.inference.halting import obeys
from trm.module import TRMModule
from trm.nn import solved
from trm.nn.losses import CELL_LOSSES
from trm.trace.theme import BLUE, GREEN, ORANGE, PURPLE, SOFT, VERMILLION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STRENGTHS = (1, 2, 4, 8, 16)
COLUMNS = {
    "cells": "strength",
    "puzzles": "puzzles",
    "answer as before": "solved",
    "valid": "valid",
    "keeps the givens": "keeps_givens",
    "confidence": "confidence",
    "quartiles": "quartiles",
    "cell probability": "cell_probability",
    "steps": "steps",
    "AUROC": "auroc",
    "AUROC of cells": "cell_auroc",
}
"""Columns of the table: their titles, and the fields of a point that they show."""
STYLES = {
    "wrong": ("a given is wrong", VERMILLION, "o"),
    "missing": ("a given is missing", BLUE, "s"),
    "extra": ("a cell of the answer is given", GREEN, "^"),
    "contradictory": ("a rule is broken", ORANGE, "D"),
    "unused": ("a token of no question", PURPLE, "v"),
}
"""Name, colour and marker of each kind of corruption in the picture."""


class Outcome(NamedTuple):
    """Results for each question, (N,) float64 each."""

    solved: Tensor
    """1 where all labelled cells that were not corrupted equal the label."""
    valid: Tensor
    """1 where the answer is valid for the corrupted question; NaN if the family has no rules."""
    keeps_givens: Tensor
    """1 where the answer keeps every given of the corrupted question; NaN in a family without givens."""
    confidence: Tensor
    """Halting probability."""
    cell_probability: Tensor
    """Mean probability of the predicted tokens, over the labelled cells."""
    steps: Tensor
    """Supervision steps taken."""


class Point(NamedTuple):
    """Means over the puzzles with this many cells corrupted in one way; None where undefined."""

    kind: str
    """"intact", or one of ``CORRUPTIONS``."""
    strength: int
    """Cells corrupted."""
    puzzles: int
    solved: float | None
    valid: float | None
    keeps_givens: float | None
    confidence: float | None
    quartiles: list[float]
    """Quartiles of the confidence."""
    cell_probability: float | None
    steps: float | None
    auroc: float | None
    """AUROC of separating intact from corrupted inputs by confidence (0.5 is chance)."""
    cell_auroc: float | None
    """The same by cell probability."""


def measure(
    module: TRMModule,
    data: PuzzleData,
    puzzles: int | None,
    batch_size: int,
    seed: int = 0,
    strengths: Sequence[int] = STRENGTHS,
    watch: Progress = unwatched,
) -> Facts:
    """Solve test puzzles intact and corrupted, where at least half of them have room for a corruption.

    Args:
        module: a trained model, in evaluation mode.
        data: its family.
        puzzles: at most this many of the test split, from its beginning; None for all.
        batch_size: puzzles in a forward pass.
        seed: seed of the corruptions.
        strengths: numbers of cells to corrupt.
        watch: called with the numbers of corruptions done and wanted; those that are not measured count as done.

    Returns:
        ``seed`` and ``points``, a ``Point`` for each kind and strength; the first is that of the intact puzzles.

    Raises:
        InputError: if no puzzle has a label.
    """
    samples = Samples(*map(np.concatenate, zip(*labelled(data, puzzles, batch_size), strict=True)))
    given = torch.from_numpy(given_tokens(samples.inputs, samples.first, data.vocab_size))
    intact = ask(module, data, samples, samples.inputs, given, batch_size)
    points = [_point("intact", 0, intact)]
    for number, kind in enumerate(CORRUPTIONS):
        allowed, rng = data.replacements(kind, samples), np.random.default_rng((seed, number))
        tokens = rng.random(allowed.shape, dtype=np.float32)
        corruptions = RandomCorruptions(samples.inputs, allowed, tokens, rng.random(samples.inputs.shape))
        for place, strength in enumerate(strengths):
            watch(number * len(strengths) + place, len(CORRUPTIONS) * len(strengths))
            which = np.flatnonzero(corruptions.max_strength >= strength)
            if 2 * len(which) < len(samples.inputs) or strength >= data.seq_len:  # nothing would be left
                break
            outcome = ask(module, data, samples.take(which), corruptions.apply(strength, which), given, batch_size)
            if kind == "unused":  # by the rules it is a given, and no answer can keep it
                outcome = outcome._replace(valid=torch.full_like(outcome.valid, math.nan))
            points.append(_point(kind, strength, outcome, Outcome(*(values[which] for values in intact))))
    return {"seed": seed, "points": [point._asdict() for point in points]}


def ask(
    module: TRMModule, data: PuzzleData, samples: Samples, questions: Tokens, given: Tensor, batch_size: int
) -> Outcome:
    """Solve questions in batches, with early exit by the halting head at 0.5.

    Args:
        module: a trained model, in evaluation mode.
        data: its family.
        samples: the intact questions and their labels.
        questions: the questions to solve in their place, (N, L).
        given: which tokens are givens, (V,) bool.
        batch_size: questions in a forward pass.
    """
    parts, device = [], module.device
    for first in range(0, len(questions), batch_size):
        part = slice(first, first + batch_size)
        batch = to_batch(samples.take(part)._replace(inputs=questions[part]))
        intact = torch.from_numpy(questions[part] == samples.inputs[part]).to(device)
        parts.append(_ask(module, data, Batch(*(field.to(device) for field in batch)), intact, given.to(device)))
    return Outcome(*(torch.cat(part).cpu().double() for part in zip(*parts, strict=True)))


def _ask(module: TRMModule, data: PuzzleData, batch: Batch, intact: Tensor, given: Tensor) -> Outcome:
    """Solve one batch; ``intact`` marks the cells that are not corrupted, (B, L)."""
    answers = module.solve(batch.inputs, batch.puzzle_ids)
    tokens, unknown = answers.tokens, torch.full_like(answers.halt, math.nan)
    valid = obeys(data, batch.inputs, tokens)
    kept = (tokens == batch.inputs) | ~given[batch.inputs]  # (B, L)
    several = batch.labels.dim() == 3
    unchanged = batch.labels.where(intact.unsqueeze(1) if several else intact, IGNORE)
    labelled = (batch.labels[:, 0] if several else batch.labels) != IGNORE
    probabilities = CELL_LOSSES[module.hparams["loss"]](answers.logits, tokens).neg().exp() * labelled  # (B, L)
    return Outcome(
        solved(answers.logits, module.nearest_labels(answers.logits, unchanged)),
        unknown if valid is None else valid,
        kept.all(-1) if given.any() else unknown,
        answers.halt.double().sigmoid(),
        probabilities.sum(-1) / labelled.sum(-1),
        answers.steps,
    )


def _point(kind: str, strength: int, outcome: Outcome, before: Outcome | None = None) -> Point:
    """Return means, compared with the outcome of the same puzzles before they were corrupted."""
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
    """Return the AUROC of separating intact from corrupted inputs, where the intact should have the greater values."""
    target = torch.cat((torch.ones(len(intact)), torch.zeros(len(changed)))).int()
    return float(binary_auroc(torch.cat((intact, changed)), target))


def tabulate(facts: Facts) -> str:
    """Return a table for a terminal, a line for each kind and strength."""
    return columns(["input", *COLUMNS], _rows(facts))


def markdown(facts: Facts) -> str:
    """Return the same table in Markdown."""
    return table(["input", *COLUMNS], _rows(facts))


def _rows(facts: Facts) -> list[list[str]]:
    return [[point.kind, *(_cell(name, getattr(point, name)) for name in COLUMNS.values())] for point in _points(facts)]


def _cell(name: str, value: float | list[float] | None) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(f"{part:.3f}" for part in value)
    if isinstance(value, int):
        return str(value)
    return f"{value:.1%}" if name in ("solved", "valid", "keeps_givens") else f"{value:.3f}"


def finding(facts: Facts) -> str:
    """Return in a sentence for which corruption of one cell the confidence drops most, and for which least."""
    single = [point for point in _points(facts) if point.strength == 1 and point.auroc is not None]
    if not single:
        return "No question has room for a corrupted cell"
    best, worst = (which(single, key=lambda point: point.auroc or 0) for which in (max, min))
    if best.kind == worst.kind or (best.auroc or 0) - (worst.auroc or 0) < 0.05:
        return f"Confidence separates intact inputs from all kinds of corrupted cells alike: AUROC {best.auroc:.2f}"
    return (
        f"Confidence drops most where {STYLES[best.kind][0]} (AUROC {best.auroc:.2f}), least where "
        f"{STYLES[worst.kind][0]} ({worst.auroc:.2f}; 0.5 is chance)"
    )


def draw(facts: Facts) -> "Figure":
    """Draw confidence and AUROC against the number of corrupted cells, a line for each kind."""
    points = _points(facts)
    strengths = sorted({point.strength for point in points})
    with panels(2, finding(facts)) as (figure, [left, right]):
        for kind, (name, colour, marker) in STYLES.items():
            own = [point for point in points if point.kind in ("intact", kind) and point.confidence is not None]
            if len(own) > 1:
                look: dict[str, Any] = {"label": name, "color": colour, "marker": marker}
                places = [strengths.index(point.strength) for point in own]
                left.plot(places, [100 * (point.confidence or 0) for point in own], **look)
                right.plot(places[1:], [point.auroc or 0 for point in own[1:]], **look)
        for axes in (left, right):
            axes.set(xlabel="corrupted cells", xticks=range(len(strengths)), xticklabels=strengths)
            axes.set_xlim(-0.2, len(strengths) - 0.8)
        shares(left, "y", "mean confidence", [100 * (point.confidence or 0) for point in points])
        right.axhline(0.5, label="chance", color=SOFT, linestyle="--")
        right.set(ylim=(-0.03, 1.03), yticks=[0, 0.25, 0.5, 0.75, 1], ylabel="AUROC")
        left.set_title(subject(facts, points[0].puzzles))
        right.set_title("Separating intact from corrupted inputs")
        legend(figure, 3)
    return figure


def _points(facts: Facts) -> list[Point]:
    return [Point(**point) for point in facts["points"]]
