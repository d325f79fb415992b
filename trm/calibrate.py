"""The command ``trm calibrate``: what a model's confidence is worth.

Letters in shape comments: N puzzles.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trm.batch import IGNORE, Batch
from trm.checkpoint import load_checkpoint, refuse_overwriting
from trm.data import PuzzleData
from trm.data.base import to_batch
from trm.data.files import whole_file
from trm.errors import InputError, check_range
from trm.inference import HaltingRule, RuleName, halting_rule
from trm.inference.halting import obeys
from trm.metrics import BINS, auroc, calibration_error
from trm.module import TRMModule
from trm.nn import solved
from trm.plot import Line, plot


def calibrate(
    checkpoint: str,
    *,
    output: str,
    puzzles: int = 0,
    batch_size: int = 256,
    halt: RuleName = "never",
    halt_threshold: float = 0.5,
    force: bool = False,
    family: str = "",
) -> int:
    """Measure how well the halting probability tells which answers are right, on the test puzzles.

    Writes the numbers as JSON. Beside it, as SVG, stand a reliability diagram, and with -risk in its name a
    risk-coverage curve: the share of wrong answers if only the surest are given.

    Args:
        checkpoint: a file written by ``trm fit``.
        output: the JSON file to write, -o for short.
        puzzles: only so many of the test split, from its beginning; 0 for all.
        batch_size: puzzles that are thought about together.
        halt: when to stop before the last step: never, head, stable or rules.
        halt_threshold: probability above which the halting head says so.
        force: overwrite files that exist.
        family: the class the checkpoint was trained on if it is your own, such as my_puzzles.Futoshiki.
    """
    check_range("calibrate", 0, puzzles=puzzles)
    check_range("calibrate", 1, batch_size=batch_size)
    path = Path(output)
    if path.suffix == ".svg":
        raise InputError(f"--output {output} is the name of the plot; the JSON file needs another ending, like .json")
    pictures = path.with_suffix(".svg"), path.with_name(f"{path.stem}-risk.svg")
    for written in (path, *pictures):
        refuse_overwriting(written, force)
    module, data = load_checkpoint(checkpoint, family)
    rule = halting_rule(halt, halt_threshold, data)
    module.to("cuda" if torch.cuda.is_available() else "cpu")
    confidence, right, valid = observe(module, data, rule, puzzles, batch_size)
    facts = {"checkpoint": checkpoint, "family": data.family["class_path"], "puzzles": len(right), "halt": halt}
    found = summary(confidence, right, valid)
    with whole_file(path, "w") as file:
        json.dump({**facts, **found}, file, indent=1)
        file.write("\n")
    title = f"{len(right):,} test puzzles, {facts['family'].rpartition('.')[2]}"
    for picture, svg in zip(pictures, (reliability(found, title), risk(found, title)), strict=True):
        with whole_file(picture, "w") as file:
            file.write(svg)
    for name, value in found.items():
        if isinstance(value, float):
            print(f"{name:<24}{value:.4f}")
    return 0


def observe(
    module: TRMModule, data: PuzzleData, rule: HaltingRule | None, puzzles: int, batch_size: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return for each test puzzle with an answer its halting probability, and whether it is solved and valid.

    Returns:
        (N,) float64, (N,) bool, and (N,) bool or None if the family has no rules.

    Raises:
        InputError: if no puzzle has an answer.
    """
    size = min(puzzles or data.eval_size("test"), data.eval_size("test"))
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    rules = True
    for first in range(0, size, batch_size):
        rows = to_batch(data.eval_rows("test", first, min(batch_size, size - first)))
        batch = Batch(*(field.to(module.device) for field in rows))
        answers = module.solve(batch.inputs, batch.puzzles, rule)
        given = (batch.labels != IGNORE).any(-1)
        valid = obeys(data, batch.inputs, answers.tokens)
        rules = valid is not None
        right = solved(answers.logits, batch.labels)
        valid = torch.zeros_like(right) if valid is None else valid
        parts.append((answers.halt.double().sigmoid()[given], right[given], valid[given]))
    confidence, right, valid = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
    if not len(right):
        raise InputError(f"none of the {size} puzzles of the test split has an answer to compare with")
    return confidence, right, valid if rules else None


def summary(confidence: Tensor, right: Tensor, valid: Tensor | None) -> dict[str, Any]:
    """Return everything that is written: shares, measures of calibration, the bins and the risk at each coverage.

    Args:
        confidence: halting probabilities, (N,).
        right: whether each answer is right, (N,) bool.
        valid: whether each answer obeys the rules, (N,) bool; None if there are none.
    """
    bins = (confidence * BINS).long().clamp(max=BINS - 1)
    counts = torch.bincount(bins, minlength=BINS)
    sums = [torch.bincount(bins, values.double(), BINS) for values in (confidence, right)]
    order = confidence.argsort(descending=True, stable=True)
    risks = (~right[order]).double().cumsum(0) / torch.arange(1, len(right) + 1)
    shown = sorted({max(1, round(len(right) * share / 100)) for share in range(1, 101)})
    found: dict[str, Any] = {"solved": float(right.double().mean())}
    if valid is not None:
        found["valid"] = float(valid.double().mean())
        found["valid_but_not_the_label"] = float((valid & ~right).double().mean())
    return {
        **found,
        "mean_confidence": float(confidence.mean()),
        "calibration_error": float(calibration_error(confidence, right)),
        "auroc": float(auroc(confidence, right)),
        "brier_score": float((confidence - right.double()).square().mean()),
        "area_under_risk": float(risks.mean()),
        "bins": [
            {"from": k / BINS, "puzzles": int(n), "confidence": float(sure / n), "solved": float(good / n)}
            for k, (n, sure, good) in enumerate(zip(counts, *sums, strict=True))
            if n
        ],
        "risk": [{"coverage": count / len(right), "wrong": float(risks[count - 1])} for count in shown],
    }


def reliability(found: dict[str, Any], title: str) -> str:
    """Draw the share solved against the confidence, bin by bin, beside the line on which they agree."""
    points = [(100 * part["confidence"], 100 * part["solved"]) for part in found["bins"]]
    lines = [
        Line("as sure as right", [(0.0, 0.0), (100.0, 100.0)], ["", ""]),
        Line("the model, and puzzles in each bin", points, [f"{part['puzzles']:,}" for part in found["bins"]]),
    ]
    return plot(lines, title, "halting probability, %", "solved, %")


def risk(found: dict[str, Any], title: str) -> str:
    """Draw the share of wrong answers among the surest."""
    points = [(100 * part["coverage"], 100 * part["wrong"]) for part in found["risk"]]
    lines = [Line("wrong among those answered", points, [""] * len(points))]
    return plot(lines, title, "answered, the surest first, %", "wrong, %")
