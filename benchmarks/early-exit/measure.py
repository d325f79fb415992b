"""Measure what early exit costs in accuracy and gains in speed, on 6x6 Sudoku: ``make bench-early-exit``.

Trains the model unless runs/ has it, runs ``trm analyze halting`` (curve.json and its picture), and times the rules
against each other on one core, in turns (rules.json); 4 minutes on 2 cores after training.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

sys.path.append(str(Path(__file__).parents[1]))

import tuned
from models import parser, redraw, trained

from trm.analysis.report import table
from trm.checkpoints.load import load_checkpoint
from trm.cli.main import main as trm
from trm.data.samples import to_batch
from trm.inference import HaltingRule, think
from trm.inference.halting import head, rules, stable
from trm.provenance import PROJECT, commit, environment

HERE = Path(__file__).parent
MODEL = "sudoku-6x6-easy"
RULES = {
    "never": "never: all supervision steps",
    "head": "halting head, probability above 0.5",
    "head 0.9": "halting head, probability above 0.9",
    "stable": "answer unchanged for a step",
    "rules": "answer obeys the rules",
}


def tables() -> dict[str, str]:
    """Return the committed results: the timed rules, the curve of steps and thresholds, and what trm tune chose."""
    timed = json.loads((HERE / "rules.json").read_text())["rows"]
    points = json.loads((HERE / "curve.json").read_text())["points"]
    shown = [point for point in points if point["rule"] in ("fixed", "head", "stable")]
    names = {"fixed": "fixed number of steps", "head": "halting head, threshold", "stable": "unchanged for steps"}
    return {
        "tuned": table(tuned.HEAD, tuned.rows()),
        "rules": table(
            ["early-exit rule", "solved", "mean steps", "puzzles per second, relative"],
            [
                [RULES[name], f"{row['solved']:.1%}", f"{row['steps']:.2f}", f"{row['speedup']:.1f}"]
                for name, row in timed.items()
            ],
        ),
        "curve": table(
            ["early-exit rule", "setting", "solved", "mean steps"],
            [[names[p["rule"]], f"{p['setting']:g}", f"{p['solved']:.1%}", f"{p['steps']:.2f}"] for p in shown],
        ),
    }


def compare(checkpoint: str, batch_size: int, rounds: int) -> dict[str, Any]:
    """Solve the test puzzles with every rule in turns, several times, and return shares, mean steps and speed-ups."""
    module, data = load_checkpoint(checkpoint)
    batch = to_batch(data.samples("test"))
    asked: dict[str, HaltingRule | None] = dict(
        zip(RULES, (None, head(), head(0.9), stable(), rules(data)), strict=True)
    )
    seconds: dict[str, list[float]] = {name: [] for name in asked}
    rows = {}
    for _ in range(rounds):
        for name, rule in asked.items():
            start, solved, steps = time.perf_counter(), 0, 0
            for first in range(0, len(batch.inputs), batch_size):
                part = slice(first, first + batch_size)
                depth = module.hparams["supervision_steps"]
                answers = think(module.core, batch.inputs[part], batch.puzzle_ids[part], depth, rule)
                solved += int((answers.tokens == batch.labels[part]).all(-1).sum())
                steps += int(answers.steps.sum())
            seconds[name].append(time.perf_counter() - start)
            rows[name] = {"solved": solved / len(batch.inputs), "steps": steps / len(batch.inputs)}
    never = statistics.median(seconds["never"])
    for name, row in rows.items():
        row["speedup"] = round(never / statistics.median(seconds[name]), 2)
    return {"checkpoint": checkpoint, "batch_size": batch_size, "puzzles": len(batch.inputs), "rows": rows}


def main(argv: list[str] | None = None) -> int:
    """Draw the curve and time the rules."""
    options = parser(__doc__, HERE, [MODEL])
    options.add_argument("--batch-size", type=int, default=256)
    options.add_argument("--rounds", type=int, default=3, help="how often each rule is timed (default: 3)")
    arguments = options.parse_args(argv)
    if arguments.redraw:
        redraw("halting", arguments.into / "curve.json", MODEL)
        return 0
    torch.set_num_threads(1)
    checkpoint = arguments.checkpoint or trained(MODEL)
    made = {"machine": environment(), "commit": commit(PROJECT)}
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary, "curve.json")
        if status := trm(["analyze", "halting", checkpoint, "-o", str(output)]):
            return status
        curve = {**json.loads(output.read_text()), **made}
    (arguments.into / "curve.json").write_text(json.dumps(curve, indent=1) + "\n")
    redraw("halting", arguments.into / "curve.json", MODEL)
    timed = {**compare(checkpoint, arguments.batch_size, arguments.rounds), **made}
    (arguments.into / "rules.json").write_text(json.dumps(timed, indent=1) + "\n")
    print(json.dumps(timed["rows"], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
