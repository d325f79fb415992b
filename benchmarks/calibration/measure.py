"""Measure how far the halting head's confidence can be trusted, on four small models: ``make bench-calibration``.

Trains the models that runs/ lacks and runs ``trm analyze calibration``.
Options that are not listed go to that command.
"""

import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from models import analyze

from trm.analysis.report import table

HERE = Path(__file__).parent
MODELS = {"sudoku-4x4": "", "sudoku-6x6": "", "maze-8x8": "", "sudoku-9x9-half-trained": "--puzzles 300"}


def tables() -> dict[str, str]:
    """Return the table of the committed results."""
    head = ["model", "test puzzles", "solved", "calibration error", "AUROC", "Brier score", "wrong among all"]
    return {"calibration": table([*head, "wrong among the most confident half"], [_row(name) for name in MODELS])}


def _row(name: str) -> list[str]:
    facts = json.loads((HERE / f"{name}.json").read_text())
    half = min(facts["risk_coverage"], key=lambda point: abs(point["coverage"] - 0.5))
    return [
        name,
        f"{facts['puzzles']:,}",
        f"{facts['solved']:.1%}",
        f"{facts['ece']:.1%}",
        "no answer is wrong" if facts["auroc"] is None else f"{facts['auroc']:.3f}",
        f"{facts['brier']:.4f}",
        f"{1 - facts['solved']:.1%}",
        f"{half['wrong']:.1%}",
    ]


def main(argv: list[str] | None = None) -> int:
    """Measure and write a JSON file and pictures for each model."""
    return analyze("calibration", __doc__, HERE, MODELS, argv)


if __name__ == "__main__":
    sys.exit(main())
