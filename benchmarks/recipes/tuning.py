"""What ``trm tune`` finds, against the configuration it starts from, both trained for equal core-seconds.

``python benchmarks/recipes/tuning.py`` runs ``trm tune`` for each task, trains the configuration and the winner anew
for the same CPU time with another seed than the search had, and measures both on test puzzles; it writes tuning.json.
"""

import argparse
import csv
import json
import math
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from lightning.pytorch import Trainer
from numpy.typing import NDArray

from trm.callbacks.ema import StepEMA
from trm.checkpoints.load import load_checkpoint
from trm.cli.main import main as trm
from trm.data import Maze, Pairs, PuzzleData, Sudoku
from trm.module import TRMModule
from trm.provenance import PROJECT, commit, environment
from trm.tune.space import Settings
from trm.tune.trial import Allotment, Trials

HERE = Path(__file__).parent
LIFE = Path("runs", "tuning-pairs", "life.jsonl")
TASKS = {
    "sudoku-6x6": ("quickstart", ("--data.size=6", "--data.clues=[10,16]", "--data.train_size=300")),
    "maze-5x5": ("maze-small", ("--data.size=5", "--data.train_size=300")),
    "pairs": ("pairs", (f"--data.source={LIFE}", "--data.train_size=300")),
}
"""Configuration and options by task: 300 puzzles to train on, and 200 to validate. The pairs are of ``write_life``."""
COMMON = ("--data.val_size=200", "--data.test_size=500")
FAMILIES: dict[str, type[PuzzleData]] = {"Sudoku": Sudoku, "Maze": Maze, "Pairs": Pairs}


def rows() -> list[list[str]]:
    """Return two rows for each task of tuning.json: the configuration, and what was found."""
    found = []
    for task, facts in json.loads((HERE / "tuning.json").read_text())["tasks"].items():
        for name in ("configuration", "tuned"):
            run = facts[name]
            found.append(
                [
                    task,
                    name,
                    run["changed"],
                    f"{run['parameters']:,}",
                    f"{run['steps']:,}",
                    f"{run['seconds']:.0f}",
                    f"{run['solved']:.1%}",
                    f"{run['cells']:.1%}",
                ]
            )
    return found


HEAD = ["task", "settings", "changed", "parameters", "steps", "core-seconds", "solved", "cells"]


def write_life(path: Path) -> None:
    """Write 1,000 different boards of the Game of Life with the next step, 4x4 cells whose edges meet."""
    generator, boards = np.random.default_rng(0), dict[bytes, NDArray[np.int64]]()
    while len(boards) < 1000:
        board = (generator.random((4, 4)) < 0.4).astype(np.int64)
        boards[board.tobytes()] = board
    around = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]
    with path.open("w") as file:
        for board in boards.values():
            neighbours = sum(np.roll(board, move, axis=(0, 1)) for move in around)
            after = (neighbours == 3) | ((neighbours == 2) & (board == 1))
            file.write(json.dumps({"question": board.tolist(), "answer": after.astype(int).tolist()}) + "\n")


def train(config: dict[str, Any], seconds: float, seed: int) -> dict[str, Any]:
    """Train a configuration for some CPU time, without an end of its schedule, and measure it on the test split."""
    data_class, arguments = config["data"]["class_path"].rpartition(".")[2], dict(config["data"]["init_args"])
    data = FAMILIES[data_class](**arguments)
    sizes = {name: getattr(data, name) for name in ("vocab_size", "seq_len", "num_puzzles", "num_symbols", "grid")}
    module = TRMModule(**sizes, **config["model"])
    module.init_seed = seed
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    trainer = Trainer(accelerator="cpu", callbacks=[StepEMA(warmup=True)], **quiet)
    with tempfile.TemporaryDirectory() as folder:
        trials = Trials(trainer, module, data, [Settings({}, {})], Path(folder))
        row = trials.run(0, 0, Allotment(seconds, math.inf))
        if row.failure:
            raise SystemExit(row.failure)
        best, _ = load_checkpoint(Path(folder, "0.ckpt"))
    (metrics,) = Trainer(accelerator="cpu", **quiet).test(best, data, verbose=False)
    result = {"parameters": row.parameters, "steps": row.steps, "seconds": row.seconds}
    return {**result, "solved": metrics["test/solved"], "cells": metrics["test/cells"]}


def measure(task: str, minutes: float, seconds: float) -> dict[str, Any]:
    """Tune a task, and train the configuration and the winner for equal core-seconds."""
    name, options = TASKS[task]
    folder = Path("runs", f"tuning-{task}")
    folder.mkdir(parents=True, exist_ok=True)
    if task == "pairs":
        write_life(LIFE)
    config, tuned = PROJECT / "configs" / f"{name}.yaml", folder / "tuned.yaml"
    command = ["tune", "--config", str(config), *options, *COMMON, "--minutes", str(minutes), "-o", str(tuned)]
    if not tuned.exists() and (status := trm(command)):
        raise SystemExit(status)
    for ending in ("csv", "svg"):
        shutil.copy(tuned.with_suffix(f".{ending}"), HERE / f"tuning-{task}.{ending}")
    winner = yaml.safe_load(tuned.read_text())
    with tuned.with_suffix(".csv").open() as file:
        tried = list(csv.DictReader(file))
    best = max((row for row in tried if not row["failure"]), key=lambda row: (int(row["rung"]), float(row["score"])))
    changed = ", ".join(f"{key.partition('.')[2]} {value}" for key, value in best.items() if "." in key and value)
    own = yaml.safe_load(config.read_text())
    data = dict(winner["data"]["init_args"])
    default = {
        "Sudoku": {"symmetries": True, "easier": 0.0},
        "Maze": {"symmetries": "relabel"},
        "Pairs": {"symmetries": ()},
    }
    family = winner["data"]["class_path"].rpartition(".")[2]
    own["data"] = {"class_path": family, "init_args": {**data, **default[family], "slots": 64}}
    return {
        "candidates": len({row["candidate"] for row in tried}),
        "minutes": minutes,
        "configuration": {"changed": "", **train(own, seconds, 1)},
        "tuned": {"changed": changed, **train(winner, seconds, 1)},
    }


def main() -> int:
    """Measure the tasks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--minutes", type=float, default=20.0, help="budget of trm tune (default: 20)")
    parser.add_argument("--seconds", type=float, default=120.0, help="core-seconds of each training (default: 120)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    path = HERE / "tuning.json"
    facts = json.loads(path.read_text()) if path.exists() else {"tasks": {}}
    for task in arguments.tasks:
        facts["tasks"][task] = measure(task, arguments.minutes, arguments.seconds)
        print(task, json.dumps(facts["tasks"][task]), flush=True)
        facts |= {"machine": environment(), "commit": commit(PROJECT)}
        path.write_text(json.dumps(facts, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
