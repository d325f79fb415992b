"""Tune each recipe on real 9x9 boards, then train it with three seeds, all at equal CPU seconds of training.

Every recipe is first trained at each point of its grid (learning rate x slots) with a seed of its own. The point with
the most validation cells right is then trained for longer with each seed. The averaged parameters are evaluated at
geometrically spaced CPU seconds, which count training alone. Every evaluation is written at once, one file a run, so
the study can be stopped at any time; the same command goes on from the last evaluations.

    python benchmarks/recipes/tuned.py --sudoku FOLDER --into runs/tuned --jobs 8
"""

import argparse
import itertools
import json
import logging
import multiprocessing
import signal
import sys
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Trainer
from transfer import module_of, trainer_of

from trm import PuzzleData, Sudoku, TRMModule
from trm.callbacks import Speed, StepEMA
from trm.data.atomic import atomic_write
from trm.provenance import PROJECT, commit, environment

COMMON = {"mixer": "mlp", "positions": "none", "puzzle_tokens": 0, "multiple_of": 16, "cycles": 1, "latent_steps": 3}
COMMON |= {"supervision_steps": 4, "warmup_steps": 20, "weight_decay": 0.1, "hidden_size": 128}
"""Arguments of the model that the recipes share; the learning rate stays constant, as a schedule would need an end."""
MUON = {"optimizer": "muon", "lr": 1e-3, "muon_weight_decay": 0.005, "gating": "normalised"}
SYMMETRIC = {"network": "symmetric", "hidden_size": 32, "expansion": 2.0}
SLOTS = (16, 64)
TUNING_SEED = 100
SPACING = 1.5
"""Ratio of the CPU seconds at one evaluation to those at the one before."""
DEPTH = 16
"""Supervision steps of an evaluation."""
MEASURES = ("solved", "cells", "answer_loss")


class Recipe(NamedTuple):
    """Arguments of the model on top of ``COMMON``, and what is tuned besides the slots."""

    model: dict[str, Any]
    tuned: str = "lr"
    rates: tuple[float, ...] = (1e-3, 3e-3)


RECIPES = {
    "plain": Recipe({"supervision_steps": 16}),
    "4 supervision steps": Recipe({}),
    "SIC": Recipe({**MUON, "label_smoothing": 0.2}, "muon_lr", (5e-3, 2e-2)),
    "EqR": Recipe({"start_noise": 1.0, "pass_noise": 0.01, "damping": 0.05}),
    "winner takes all": Recipe({"latents": 2}),
    "symmetric": Recipe(SYMMETRIC, rates=(3e-3, 6e-3)),
    "symmetric with Muon": Recipe({**SYMMETRIC, **MUON}, "muon_lr", (5e-3, 2e-2)),
}
"""Sources: SIC, and winner takes all, arXiv 2601.19085; EqR 2605.21488; the symmetric network 2603.02193."""


class Run(NamedTuple):
    """A run of the study: to tune its recipe, or with the point that was found."""

    recipe: str
    seed: int
    seconds: float
    rate: float
    slots: int

    def file(self, given: argparse.Namespace) -> Path:
        """Return where it is kept; a run to tune has its point in the name."""
        point = f"{self.rate:g}-{self.slots}" if self.seed == TUNING_SEED else str(self.seed)
        folder: Path = given.into / ("tuning" if self.seed == TUNING_SEED else "runs")
        return folder / f"{self.recipe.replace(' ', '-')}-{point}.json"


class Until(Speed):
    """Ends training when it has cost some CPU seconds, those before its checkpoint included."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        """Add the cost of the batch, and compare."""
        super().on_train_batch_end(trainer, *args)
        trainer.should_stop = self.cost["core_seconds"] >= self.seconds


def marks(seconds: float, count: int) -> list[float]:
    """Return the CPU seconds at which a run is evaluated, the last of which end it."""
    return [seconds / SPACING**earlier for earlier in reversed(range(count))]


def kept(run: Run, given: argparse.Namespace) -> dict[str, Any]:
    """Return what is written of a run; of one with other settings, that is nothing."""
    path = run.file(given)
    settings = {**run._asdict(), "precision": given.precision, "boards": given.boards}
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    same = all(found.get(name) == value for name, value in settings.items())
    return found if same else {**settings, "rows": []}


def missing(run: Run, given: argparse.Namespace) -> list[float]:
    """Return the CPU seconds of the evaluations that are still to come."""
    rows = kept(run, given)["rows"]
    count = 1 if run.seed == TUNING_SEED else given.evaluations
    return [mark for mark in marks(run.seconds, count) if not rows or mark > rows[-1]["core_seconds"]]


def train(run: Run, given: argparse.Namespace) -> None:
    """Train and evaluate a run, from its last evaluation on, in a process of its own."""
    torch.set_num_threads(1)
    logging.disable(logging.INFO)  # Lightning introduces itself to every trainer
    recipe, facts, path = RECIPES[run.recipe], kept(run, given), run.file(given)
    checkpoint = path.with_suffix(".ckpt")
    if not facts["rows"]:
        checkpoint.unlink(missing_ok=True)  # of other settings
    sizes = {"val_size": given.boards, "train_size": None, "slots": run.slots, "steps_per_batch": 4, "workers": 0}
    data = Sudoku(9, source=str(given.sudoku), easier=0.5, eval_batch_size=100, seed=run.seed, **sizes)
    module = module_of(data, {**COMMON, **recipe.model, recipe.tuned: run.rate}, run.seed)
    facts |= {"parameters": sum(parameter.numel() for parameter in module.parameters())}
    facts |= {"commit": commit(PROJECT), "machine": environment()}
    for mark in missing(run, given):
        trainer = trainer_of(StepEMA(warmup=True), speed := Until(mark), precision=given.precision, limit_val_batches=0)
        trainer.fit(module, data, ckpt_path=str(checkpoint) if checkpoint.exists() else None)
        trainer.save_checkpoint(checkpoint)
        found = evaluated(module, data, given.precision)
        cost = {name: speed.cost[name] for name in ("core_seconds", "tflop")}
        facts["rows"].append({"step": trainer.global_step, **cost, **found})
        with atomic_write(path, "w") as file:
            json.dump(facts, file, indent=1)
    checkpoint.unlink()
    print(f"{path.stem}: {json.dumps(facts['rows'][-1])}", flush=True)


def evaluated(module: TRMModule, data: PuzzleData, precision: str) -> dict[str, float]:
    """Return the metrics of the validation boards after ``DEPTH`` supervision steps, with however many it trains."""
    trained, module.hparams["supervision_steps"] = module.hparams["supervision_steps"], DEPTH
    (found,) = trainer_of(precision=precision).validate(module, data, verbose=False)
    module.hparams["supervision_steps"] = trained
    return {name: found[f"val/{name}"] for name in MEASURES}


def tunings(recipe: str, given: argparse.Namespace) -> list[Run]:
    """Return the runs that tune a recipe."""
    points = itertools.product(RECIPES[recipe].rates, SLOTS)
    return [Run(recipe, TUNING_SEED, given.tune_seconds, *point) for point in points]


def chosen(recipe: str, given: argparse.Namespace) -> Run | None:
    """Return the run with the most cells right of those that tune a recipe; None before all are finished."""
    runs = tunings(recipe, given)
    if any(missing(run, given) for run in runs):
        return None
    return max(runs, key=lambda run: kept(run, given)["rows"][-1]["cells"])


def final(recipe: str, seed: int, given: argparse.Namespace) -> Run | None:
    """Return the run of a seed at the point that was found; None before it is."""
    best = chosen(recipe, given)
    return best and best._replace(seed=seed, seconds=given.seconds)


def study(given: argparse.Namespace) -> bool:
    """Train what is missing, first the runs that tune, then seed by seed; return whether nothing is missing now."""
    waiting: list[Run | tuple[str, int]] = [run for name in given.recipes for run in tunings(name, given)]
    waiting += [(name, seed) for seed in given.seeds for name in given.recipes]
    running: dict[int, BaseProcess] = {}
    whole = True
    try:
        while waiting or running:
            for item in list(waiting):
                run = item if isinstance(item, Run) else final(*item, given)
                if len(running) == given.jobs or run is None:
                    continue
                waiting.remove(item)
                if missing(run, given):
                    process = multiprocessing.get_context("spawn").Process(target=train, args=(run, given))
                    process.start()
                    running[process.sentinel] = process
            if not running:
                break
            for sentinel in wait(list(running)):
                process = running.pop(sentinel)  # type: ignore[call-overload]
                process.join()
                whole &= process.exitcode == 0
    finally:  # some are left when the study is asked to stop
        for process in running.values():
            process.kill()
    return whole and not waiting


def main(argv: list[str] | None = None) -> int:
    """Train what is missing; return 1 if a run failed, 130 if the study was stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sudoku", type=Path, required=True, help="folder with the train.csv of Sudoku-Extreme")
    parser.add_argument("--into", type=Path, default=Path("runs/tuned"), help="folder of the results")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--tune-seconds", type=float, default=90.0, help="CPU seconds of training for each point")
    parser.add_argument("--seconds", type=float, default=600.0, help="CPU seconds of training for each seed")
    parser.add_argument("--evaluations", type=int, default=8, help="of each run; their time does not count")
    parser.add_argument("--boards", type=int, default=300, help="validation boards, held out of the training file")
    parser.add_argument("--precision", choices=["32-true", "bf16-mixed"], default="32-true", help="of all runs")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, of one thread each")
    given = parser.parse_args(argv)
    for folder in ("tuning", "runs"):
        (given.into / folder).mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return 0 if study(given) else 1
    except KeyboardInterrupt:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # timeout sends it twice
        print("stopped; the same command goes on from here", flush=True)
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
