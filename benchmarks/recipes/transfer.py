"""Train on some puzzles, then on others, and compare with training on the others alone, at equal CPU seconds.

Each run has ``--seconds`` of CPU time on each kind of puzzles, without the generation of puzzles. The run from scratch
is evaluated twice: after as much time on the new puzzles, and after as much time in all.

    python benchmarks/recipes/transfer.py
"""

import argparse
import copy
import json
import runpy
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from report import spread

from trm import Maze, Mixture, PuzzleData, Sudoku, TRMModule
from trm.analysis.report import table
from trm.checkpoints.finetune import start_from
from trm.provenance import PROJECT, commit, environment

HERE = Path(__file__).parent
SIZES = ("vocab_size", "seq_len", "num_puzzles", "num_symbols", "grid")
MODEL = {"positions": "grid", "hidden_size": 48, "num_heads": 4, "multiple_of": 8, "cycles": 1, "latent_steps": 2}
MODEL |= {"supervision_steps": 2, "lr": 2e-3, "warmup_steps": 20, "puzzle_tokens": 1}
COMMON = {"val_size": 0, "test_size": 128}
ARMS = {
    "transfer": "first on the old puzzles",
    "scratch": "from scratch, as long on the new ones",
    "scratch, twice": "from scratch, as long in all",
}


class Task(NamedTuple):
    """What to learn first, and then."""

    words: str
    old: Callable[[dict[str, Any]], PuzzleData]
    new: Callable[[dict[str, Any]], PuzzleData]
    model: dict[str, Any]


def _six(data: dict[str, Any]) -> PuzzleData:
    return Sudoku(6, clues=(18, 24), train_size=5000, **COMMON, **data)


def _nine(data: dict[str, Any]) -> PuzzleData:
    return Sudoku(9, clues=(66, 76), train_size=2000, **COMMON, **data)


def _maze(size: int, data: dict[str, Any]) -> PuzzleData:
    return Maze(size, kind="unique", train_size=5000, **COMMON, **data)


def _both(data: dict[str, Any]) -> PuzzleData:
    four = Sudoku(4, clues=(6, 8), train_size=5000, **COMMON, **data)
    return Mixture([four, _maze(5, data)], slots=data["slots"], steps_per_batch=4, workers=0, seed=data["seed"])


def _lights_out(data: dict[str, Any]) -> PuzzleData:
    """Return the family of docs/your-own-puzzle.md."""
    family = runpy.run_path(str(PROJECT / "docs" / "examples" / "my_puzzles.py"))["LightsOut"]
    found: PuzzleData = family(held_out=128, slots=data["slots"], workers=0)
    return found


TASKS = {
    "sudoku": Task("6x6 Sudoku, then 9x9 (66 to 76 clues)", _six, _nine, {"network": "symmetric", "hidden_size": 32}),
    "maze": Task("5x5 mazes, then 7x7", lambda data: _maze(5, data), lambda data: _maze(7, data), {}),
    "third": Task(
        "4x4 Sudoku and 5x5 mazes, then Lights Out",
        _both,
        _lights_out,
        {},
    ),
}


class Budget(Callback):
    """Ends training after some CPU seconds, and keeps the parameters at half of them."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.steps_at_half = seconds, 0
        self.half: dict[str, Any] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.start = time.process_time()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Look at the clock."""
        spent = time.process_time() - self.start
        if self.half is None and spent >= self.seconds / 2:
            self.half, self.steps_at_half = copy.deepcopy(pl_module.state_dict()), trainer.global_step
        trainer.should_stop = spent >= self.seconds


def trainer_of(*callbacks: Callback, **options: Any) -> Trainer:
    """Return a trainer that writes nothing."""
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    quiet |= {"enable_model_summary": False, **options}
    return Trainer(accelerator="cpu", max_epochs=-1, callbacks=[*callbacks], **quiet)


def module_of(data: PuzzleData, model: dict[str, Any], seed: int) -> TRMModule:
    """Return a new module for a family, with these arguments of the model."""
    seed_everything(seed, verbose=False)
    return TRMModule(**model, **{name: getattr(data, name) for name in SIZES}, explore_seed=seed)


def evaluated(module: TRMModule, data: PuzzleData) -> dict[str, float]:
    """Return the metrics of the test puzzles."""
    found = trainer_of().test(module, data, verbose=False)[0]
    return {name: found[f"test/{name}"] for name in ("solved", "cells", "answer_loss")}


def measure(name: str, seed: int, seconds: float, root: str | None) -> list[dict[str, Any]]:
    """Train on the old puzzles and then the new ones, and on the new ones alone; return a row for each arm."""
    task, settings = TASKS[name], {"slots": 16, "steps_per_batch": 4, "workers": 0, "seed": seed, "root": root}
    old, new, model = task.old(settings), task.new(settings), {**MODEL, **task.model}
    old.prepare("fit")
    new.prepare("fit")
    new.prepare("test")
    rows = []
    first, trainer = module_of(old, model, seed), trainer_of(Budget(seconds))
    trainer.fit(first, old)
    with tempfile.TemporaryDirectory() as folder:
        trainer.save_checkpoint(path := Path(folder, "old.ckpt"))
        module = module_of(new, model, seed)
        start_from(module, path, new)
    trainer = trainer_of(Budget(seconds))
    trainer.fit(module, new)
    rows.append({"arm": "transfer", "steps": trainer.global_step, **evaluated(module, new)})
    module, budget = module_of(new, model, seed), Budget(2 * seconds)
    trainer = trainer_of(budget)
    trainer.fit(module, new)
    rows.append({"arm": "scratch, twice", "steps": trainer.global_step, **evaluated(module, new)})
    module.load_state_dict(budget.half or {})
    rows.append({"arm": "scratch", "steps": budget.steps_at_half, **evaluated(module, new)})
    return [{"task": name, "seed": seed, **row} for row in rows]


COLUMNS = {"solved": ("solved", 100, 1), "cells": ("cells", 100, 1), "answer loss": ("answer_loss", 1, 3)}
"""Columns of the table, the values that they show, with factor and digits."""


def tables(folder: Path = HERE) -> dict[str, str]:
    """Return the table of the committed results: mean and standard deviation over the seeds."""
    rows = json.loads((folder / "transfer.json").read_text())["rows"]
    lines = []
    for name, task in TASKS.items():
        for arm, words in ARMS.items():
            own = [row for row in rows if (row["task"], row["arm"]) == (name, arm)]
            values = [spread([row[key] * by for row in own], digits) for key, by, digits in COLUMNS.values()]
            lines.append([task.words, words, *values, f"{mean(row['steps'] for row in own):.0f}"])
    return {"transfer": table(["puzzles", "training", *COLUMNS, "steps on the new"], lines)}


def main(argv: list[str] | None = None) -> int:
    """Train and measure all runs, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=90.0, help="CPU seconds of training on each kind of puzzles")
    parser.add_argument("--root", help="folder for generated puzzles (default: the cache)")
    parser.add_argument("--into", type=Path, default=HERE, help="folder of the results (default: this one)")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    rows = []
    for seed in given.seeds:
        for task in given.tasks:
            rows += measure(task, seed, given.seconds, given.root)
            for row in rows[-3:]:
                print(json.dumps(row), flush=True)
            facts = {"seconds": given.seconds, "commit": commit(PROJECT), "machine": environment(), "rows": rows}
            (given.into / "transfer.json").write_text(json.dumps(facts, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
