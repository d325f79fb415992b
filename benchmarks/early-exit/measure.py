"""Puzzles per second of each halting rule against all steps, on one core, in turns: ``make halting``.

Takes a checkpoint and the size of the batches; writes ``halting.json``. The committed numbers, and the curve beside
them, are of a 6x6 Sudoku model (4 minutes on 2 cores):

    trm fit --config configs/quickstart.yaml --data.size 6 --data.clues '[10,16]' --trainer.max_steps 2400
        --trainer.logger.save_dir runs/six
    trm curve runs/six/checkpoints/last.ckpt -o benchmarks/curve.json
    make halting CHECKPOINT=runs/six/checkpoints/last.ckpt
"""

import json
import platform
import statistics
import sys
import time
from pathlib import Path

import torch

from trm.checkpoints.load import load_checkpoint
from trm.data.samples import to_batch
from trm.inference import HaltingRule, think
from trm.inference.halting import head, rules, stable

ROUNDS = 3
RESULT = Path(__file__).with_suffix(".json")


def main(checkpoint: str, batch_size: int) -> None:
    """Solve the test puzzles with every rule, ``ROUNDS`` times in turns, and write medians."""
    torch.set_num_threads(1)
    module, data = load_checkpoint(checkpoint)
    batch = to_batch(data.rows("test"))
    asked: dict[str, HaltingRule | None] = {
        "never": None,
        "head": head(),
        "head 0.9": head(0.9),
        "stable": stable(),
        "rules": rules(data),
    }
    seconds: dict[str, list[float]] = {name: [] for name in asked}
    rows = {}
    for _ in range(ROUNDS):
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
        print(name, row, flush=True)
    facts = {"checkpoint": checkpoint, "batch_size": batch_size, "puzzles": len(batch.inputs)}
    machine = {
        "date": time.strftime("%F"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": 1,
    }
    RESULT.write_text(json.dumps({**facts, **machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
