"""Calibration and selective prediction: the calibration error of the halting probability, and the gain of abstaining.

Shapes: N puzzles.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics import Metric

from trm.analysis.plots import legend, panels, percent, shares, subject
from trm.analysis.report import Facts, columns, labelled
from trm.batch import Batch
from trm.data import PuzzleData
from trm.data.progress import Progress, unwatched
from trm.data.samples import to_batch
from trm.inference.halting import has_rules, obeys
from trm.module import TRMModule
from trm.nn import solved as is_solved
from trm.trace.theme import BLUE, LINE, SOFT
from trm.training.metrics import BINS, HaltingCalibration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COVERAGES = range(5, 101, 5)
"""Percentages of the puzzles to answer."""


class Outcomes(NamedTuple):
    """The prediction for each puzzle, and the truth."""

    halt: NDArray[np.floating]
    """Halting logits, (N,): their sigmoid is the confidence."""
    solved: NDArray[np.bool_]
    """Which answers equal the label, (N,)."""
    valid: NDArray[np.bool_] | None
    """Which answers are valid by the rules, (N,); None if the family has none to check."""
    calibration: HaltingCalibration


def measure(
    module: TRMModule, data: PuzzleData, puzzles: int | None, batch_size: int, watch: Progress = unwatched
) -> Facts:
    """Solve test puzzles with all supervision steps, and compare confidence with correctness.

    Args:
        module: a trained model, in evaluation mode.
        data: its family.
        puzzles: at most this many of the test split, from its beginning; None for all.
        batch_size: puzzles in a forward pass.
        watch: called with the numbers of puzzles done and wanted.

    Returns:
        See ``summary``.

    Raises:
        InputError: if no puzzle has a label.
    """
    return summary(collect(module, data, puzzles, batch_size, watch=watch))


def collect(
    module: TRMModule,
    data: PuzzleData,
    puzzles: int | None,
    batch_size: int,
    scorer: Metric | None = None,
    watch: Progress = unwatched,
) -> Outcomes:
    """Solve labelled test puzzles, see ``measure``; a ``scorer`` of the family is updated with the answers."""
    calibration, parts = HaltingCalibration().to(module.device), []
    for samples in labelled(data, puzzles, batch_size, watch=watch):
        batch = Batch(*(field.to(module.device) for field in to_batch(samples)))
        answers = module.solve(batch.inputs, batch.puzzle_ids, None)
        labels = module.nearest_labels(answers.logits, batch.labels)
        calibration.update(answers.halt, answers.tokens, labels)
        if scorer is not None:
            scorer.update(answers.tokens, answers.halt, batch)
        right, obedient = is_solved(answers.logits, labels), obeys(data, batch.inputs, answers.tokens)
        facts = (answers.halt, right, torch.zeros_like(right) if obedient is None else obedient)
        parts.append([fact.cpu().numpy() for fact in facts])
    halt, solved, valid = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Outcomes(halt, solved, valid if has_rules(data) else None, calibration)


def risk_coverage(halt: NDArray[np.floating], solved: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of wrong answers among the n most confident ones, for n from 1 to N: 2 x (N,) to (N,).

    Answers of equal confidence count with their mean. The mean over n is the area under the risk-coverage curve (AURC,
    arXiv 1805.08206).
    """
    _, place, counts = np.unique(-halt, return_inverse=True, return_counts=True)  # the most confident first
    wrong = np.bincount(place, weights=~solved) / counts
    return np.asarray(np.repeat(wrong, counts).cumsum() / np.arange(1, len(halt) + 1))


def summary(outcomes: Outcomes) -> Facts:
    """Return plain values: shares, scores, the bins of the reliability diagram and points of the risk-coverage curve.

    Confidences and shares go from 0 to 1; what is undefined is None. ``ece`` is the expected calibration error,
    ``brier`` the mean squared difference of confidence and outcome, ``aurc`` the area under the risk-coverage curve:
    the mean share of wrong answers over all numbers of most confident puzzles answered.
    """
    halt, solved, valid, calibration = outcomes
    scores = calibration.compute()
    confidence = torch.from_numpy(halt).double().sigmoid().numpy()
    risks = risk_coverage(halt, solved)
    bins = [
        {"puzzles": int(count), "confidence": confident / count, "solved": right / count}
        for count, right, confident in calibration.bins().tolist()
        if count
    ]
    answered = [max(1, round(len(risks) * percentage / 100)) for percentage in COVERAGES]
    return {
        "puzzles": len(solved),
        "solved": float(solved.mean()),
        "valid": None if valid is None else float(valid.mean()),
        "valid_but_not_the_label": None if valid is None else float((valid & ~solved).mean()),
        "ece": float(scores["halting_ece"]),
        "auroc": float(scores["halting_auroc"]) if "halting_auroc" in scores else None,
        "brier": float(((confidence - solved) ** 2).mean()),
        "aurc": float(risks.mean()),
        "reliability": bins,
        "risk_coverage": [{"coverage": n / len(risks), "wrong": float(risks[n - 1])} for n in answered],
    }


def tabulate(facts: Facts) -> str:
    """Return the scores as a table for a terminal."""
    names = {
        "puzzles": "puzzles",
        "solved": "solved",
        "valid": "valid by the rules",
        "ece": "expected calibration error",
        "auroc": "AUROC of separating right from wrong answers by confidence (0.5 is chance)",
        "brier": "Brier score",
        "aurc": "area under the risk-coverage curve",
    }
    values = {name: facts[name] for name in names}
    rows = [[names[name], "undefined" if value is None else f"{value:.4g}"] for name, value in values.items()]
    return columns(["measure", "value"], rows)


def finding(facts: Facts) -> str:
    """Return in a sentence the calibration error, and the gain of answering only the more confident half."""
    gap = sum(part["puzzles"] * (part["confidence"] - part["solved"]) for part in facts["reliability"])
    gap /= facts["puzzles"]
    way = "" if abs(gap) < max(0.01, facts["ece"] / 2) else ", overconfident" if gap > 0 else ", underconfident"
    half = min(facts["risk_coverage"], key=lambda point: abs(point["coverage"] - 0.5))["wrong"]
    wrong = 1 - facts["solved"]
    gain = f"answering only the more confident half cuts errors from {percent(wrong)} to {percent(half)}"
    if half >= wrong:
        gain = "every answer is right" if not wrong else "abstaining by confidence does not cut errors"
    return f"Calibration error {percent(facts['ece'])}{way}; {gain}"


def draw(facts: Facts) -> "Figure":
    """Draw the reliability diagram and the risk-coverage curve side by side."""
    with panels(2, finding(facts)) as (figure, [left, right]):
        _draw_reliability(left, facts)
        curve = facts["risk_coverage"]
        wrong = 100 * (1 - facts["solved"])
        right.plot([0, 100], [wrong, wrong], label="in any order", color=SOFT, linestyle=":")
        places = [100 * point["coverage"] for point in curve], [100 * point["wrong"] for point in curve]
        right.plot(*places, label="most confident first", color=BLUE, marker="o")
        shares(right, "x", "puzzles answered, not abstained from", [0, 100])
        shares(right, "y", "risk (wrong answers)", [wrong, *places[1]])
        right.set_title(f"Risk-coverage: {percent(facts['aurc'])} wrong on average")
        left.set_title(subject(facts, facts["puzzles"]))
        legend(figure, 5)
    return figure


def _draw_reliability(axes: "Axes", facts: Facts) -> None:
    bins = facts["reliability"]
    edges = [(int(BINS * part["confidence"]) + 0.5) * 100 / BINS for part in bins]
    counts = [100 * part["puzzles"] / facts["puzzles"] for part in bins]
    axes.bar(edges, counts, 100 / BINS, label="share of all puzzles", color=LINE)
    axes.plot([0, 100], [0, 100], label="calibrated", color=SOFT, linestyle="--")
    places = [100 * part["confidence"] for part in bins], [100 * part["solved"] for part in bins]
    axes.plot(*places, label="solved", color=BLUE, marker="o")
    shares(axes, "x", "confidence (halting probability)", [0, 100])
    shares(axes, "y", "puzzles", [0, 100])
