"""Measure answers and confidence on corrupted puzzles, with two small models: ``make bench-robustness``.

Trains the models that runs/ lacks and runs ``trm analyze robustness``. Options that are not listed go to that command.
"""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

import abstain
from models import analyze

from trm.analysis.report import table

HERE = Path(__file__).parent
MODELS = {"sudoku-4x4": "--puzzles 1000", "maze-8x8": "--puzzles 256"}
KINDS = {
    "intact": "none",
    "wrong": "a given is wrong",
    "missing": "a given is missing",
    "extra": "a cell of the answer is given",
    "contradictory": "the givens break a rule",
    "unused": "a token that no question contains",
}


def tables() -> dict[str, str]:
    """Return a table of the committed results for each model, and those of ``abstain.py``."""
    head = ["corruption", "cells", "puzzles", "answer as before", "obeys the rules", "keeps the givens", "confidence"]
    measured = {name: json.loads((HERE / f"{name}.json").read_text()) for name in MODELS}
    corruptions = {
        name: table([*head, "steps", "AUROC"], map(_row, facts["points"])) for name, facts in measured.items()
    }
    return corruptions | abstain.tables()


def _row(point: dict[str, Any]) -> list[str]:
    shares = (point[name] for name in ("solved", "valid", "keeps_givens", "confidence"))
    return [
        KINDS[point["kind"]],
        str(point["strength"]),
        f"{point['puzzles']:,}",
        *("" if share is None else f"{share:.1%}" for share in shares),
        f"{point['steps']:.2f}",
        "" if point["auroc"] is None else f"{point['auroc']:.2f}",
    ]


def main(argv: list[str] | None = None) -> int:
    """Measure and write a JSON file and a picture for each model."""
    return analyze("robustness", __doc__, HERE, MODELS, argv)


if __name__ == "__main__":
    sys.exit(main())
