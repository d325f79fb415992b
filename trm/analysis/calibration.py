"""The command ``trm calibrate``: how far the confidence of a trained model can be trusted.

Letters in shape comments: N puzzles.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics import Metric

from trm.analysis.plot import HEIGHT, WIDTH, Line, plot
from trm.analysis.report import labelled, load, publish, reserve
from trm.data import PuzzleData
from trm.errors import check_range
from trm.inference.halting import has_rules, obeys
from trm.module import TRMModule
from trm.nn import solved as is_solved
from trm.training.calibration import HaltingCalibration, risk_coverage

COVERAGES = range(5, 101, 5)
"""Percentages of the puzzles to answer."""


class Measured(NamedTuple):
    """What the model said of each puzzle, and what is true."""

    halt: NDArray[np.floating]
    """Halting logits, (N,): their sigmoid is the confidence."""
    solved: NDArray[np.bool_]
    """Which answers equal the label, (N,)."""
    valid: NDArray[np.bool_] | None
    """Which answers obey the rules, (N,); None if the family has none to check."""
    calibration: HaltingCalibration


def calibrate(
    checkpoint: str,
    *,
    output: str,
    puzzles: int = 0,
    batch_size: int = 256,
    force: bool = False,
    family: str = "",
) -> int:
    """Measure how far the confidence of the halting head can be trusted, on the test puzzles, and draw it.

    Each puzzle takes all supervision steps. Writes a reliability diagram (share solved by confidence) and what it gains
    to answer only the surest puzzles as JSON, and both pictures beside it, as SVG.

    Args:
        checkpoint: a file written by ``trm fit``, or the name of a model of the zoo.
        output: the JSON file to write, -o for short; the pictures have its name and the ending .svg.
        puzzles: only so many of the test split, from its beginning; 0 for all.
        batch_size: puzzles that are thought about together.
        force: overwrite files that exist.
        family: the class the checkpoint was trained on if it is your own, such as my_puzzles.Futoshiki.
    """
    check_range("calibrate", 0, puzzles=puzzles)
    check_range("calibrate", 1, batch_size=batch_size)
    path = reserve(output, force)
    module, data = load(checkpoint, family)
    measured = measure(module, data, puzzles, batch_size)
    report = {"checkpoint": checkpoint, "family": data.family["class_path"], **summary(measured)}
    for name in ("puzzles", "solved", "valid", "ece", "auroc", "brier", "aurc"):
        value = report[name]
        print(f"{name:<8}{'undefined' if value is None else f'{value:.4g}'}")
    publish(path, report, _drawn(report))
    return 0


def measure(
    module: TRMModule, data: PuzzleData, puzzles: int, batch_size: int, scorer: Metric | None = None
) -> Measured:
    """Answer test puzzles; those without a label are passed over. A ``scorer`` of the family is shown the answers.

    Raises:
        InputError: if no puzzle has one.
    """
    calibration, parts = HaltingCalibration().to(module.device), []
    for batch in labelled(data, puzzles, batch_size, module.device):
        answers = module.solve(batch.inputs, batch.puzzle_ids, None)
        calibration.update(answers.halt, answers.tokens, batch.labels)
        if scorer is not None:
            scorer.update(answers.tokens, answers.halt, batch)
        right, obedient = is_solved(answers.logits, batch.labels), obeys(data, batch.inputs, answers.tokens)
        facts = (answers.halt, right, torch.zeros_like(right) if obedient is None else obedient)
        parts.append([fact.cpu().numpy() for fact in facts])
    halt, solved, valid = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Measured(halt, solved, valid if has_rules(data) else None, calibration)


def summary(measured: Measured) -> dict[str, Any]:
    """Return plain values: shares, scores, the bins of the reliability diagram and points of the risk-coverage curve.

    Confidences and shares go from 0 to 1; what is undefined is None. ``brier`` is the mean squared difference of
    confidence and outcome, ``aurc`` the mean share of wrong answers over all numbers of surest puzzles answered.
    """
    halt, solved, valid, calibration = measured
    scores = calibration.compute()
    confidence = torch.from_numpy(halt).double().sigmoid().numpy()
    risks = risk_coverage(halt, solved)
    bins = [
        {"puzzles": int(count), "confidence": confident / count, "solved": right / count}
        for count, right, confident in calibration.bins().tolist()
        if count
    ]
    answered = [max(1, round(len(risks) * percent / 100)) for percent in COVERAGES]
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


def _drawn(report: dict[str, Any]) -> str:
    """Draw the reliability diagram and the risk-coverage curve side by side."""
    bins, curve = report["reliability"], report["risk_coverage"]
    what = f"{report['puzzles']:,} test puzzles, {report['family'].rpartition('.')[2]}"
    reliability = plot(
        [
            Line("as sure as right", [(0, 0), (100, 100)], ["", ""]),
            Line(
                "puzzles by confidence",
                [(100 * part["confidence"], 100 * part["solved"]) for part in bins],
                [f"{part['puzzles']:,}" for part in bins],
            ),
        ],
        f"{what}: calibration error {report['ece']:.2%}",
        "confidence of the halting head, %",
        "solved, %",
    )
    wrong = 100 * (1 - report["solved"])
    coverage = plot(
        [
            Line("in any order", [(100 * point["coverage"], wrong) for point in (curve[0], curve[-1])], ["", ""]),
            Line(
                "surest first",
                [(100 * point["coverage"], 100 * point["wrong"]) for point in curve],
                [""] * len(curve),
            ),
        ],
        f"wrong if only the surest are answered: {report['aurc']:.2%} on average",
        "answered, %",
        "wrong among them, %",
    )
    placed = (
        f'<svg x="{place * WIDTH}" width="{WIDTH}" height="{HEIGHT}">{part}</svg>'
        for place, part in enumerate((reliability, coverage))
    )
    return "\n".join(
        [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {HEIGHT}">', *placed, "</svg>\n"]
    )
