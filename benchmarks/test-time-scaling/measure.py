"""Measure what more computation per puzzle brings at test time: ``make bench-test-time-scaling``.

Trains a 9x9 Sudoku model halfway, so that there is something left to gain, and runs ``trm analyze scaling``. Options
that are not listed go to that command. With ``--adaptation`` it measures adaptation to unseen ARC tasks instead, see
``adaptation.py``.
"""

import json
import sys
from pathlib import Path
from typing import Any

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

import adaptation
from models import analyze

from trm.analysis.report import table

HERE = Path(__file__).parent
MODEL = "sudoku-9x9-half-trained"
SELECTIONS = {
    "halting": "highest halting probability",
    "vote": "majority vote",
    "confident": "vote of the more confident half",
    "residual": "smallest residual",
    "verifier": "first valid answer",
    "oracle": "any rollout right (upper bound)",
}


def tables() -> dict[str, str]:
    """Return the committed results: one rollout by depth, several by how they differ and which is selected."""
    points = json.loads((HERE / f"{MODEL}.json").read_text())["points"]
    deeper = {point["depth"]: point for point in points if point["breadth"] == 1 and point["select"] == "vote"}
    most = max(point["breadth"] for point in points)
    kinds: dict[str, list[dict[str, Any]]] = {}
    for point in points:
        if point["breadth"] in (8, most) and point["breadth"] > 1:
            how = f"noise {point['noise']:g}" if point["noise"] else "symmetric views"
            kinds.setdefault(f"{point['breadth']} rollouts, {how}", []).append(point)
    return {
        "depth": table(
            ["supervision steps", "solved", "GFLOP per puzzle"],
            [[f"{depth}", f"{point['solved']:.1%}", f"{point['gflop']:.1f}"] for depth, point in deeper.items()],
        ),
        "selection": table(
            ["rollouts", *SELECTIONS.values(), "GFLOP per puzzle, all", "up to the first valid answer"],
            [[kind, *_solved(own)] for kind, own in kinds.items()],
        ),
        **adaptation.tables(),
    }


def _solved(points: list[dict[str, Any]]) -> list[str]:
    own = {point["select"]: point for point in points}
    costs = (own[name]["gflop"] for name in ("vote", "verifier"))
    return [*(f"{own[name]['solved']:.1%}" for name in SELECTIONS), *(f"{cost:.1f}" for cost in costs)]


def main(argv: list[str] | None = None) -> int:
    """Measure and write a JSON file and a picture."""
    argv = sys.argv[1:] if argv is None else argv
    if "--adaptation" in argv:
        return adaptation.main([argument for argument in argv if argument != "--adaptation"])
    return analyze("scaling", __doc__, HERE, {MODEL: "--puzzles 150"}, argv)


if __name__ == "__main__":
    sys.exit(main())
