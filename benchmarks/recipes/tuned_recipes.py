"""Tune each recipe on real 9x9 boards, then train it with three seeds, all at equal CPU seconds of training.

Every recipe is first trained at each point of its grid (learning rate x slots) with a seed of its own. The point with
the most validation cells right is then trained for longer with each seed. The averaged parameters are evaluated at
geometrically spaced CPU seconds, which count training alone. Every evaluation is written at once, one file a run, so
the study can be stopped at any time; the same command goes on from the last evaluations, and --report writes tuned.csv
and the picture of what is there.

    python benchmarks/recipes/tuned_recipes.py --sudoku FOLDER --jobs 8
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
from recipes import COMMON, SLOTS, TUNED
from transfer import module_of, trainer_of
from tuned_report import HERE, PARTS, report

from trm import PuzzleData, Sudoku, TRMModule
from trm.callbacks import Speed, StepEMA
from trm.data.atomic import atomic_write
from trm.provenance import PROJECT, commit, environment

TUNING_SEED = 100
SPACING = 1.5
"""Ratio of the CPU seconds at one evaluation to those at the one before."""
DEPTH = 16
"""Supervision steps of an evaluation."""
MEASURES = ("solved", "cells", "answer_loss")


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
        folder: Path = given.runs / PARTS[self.seed != TUNING_SEED]
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
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it introduces itself to every trainer
    recipe, facts, path = TUNED[run.recipe], kept(run, given), run.file(given)
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
    points = itertools.product(TUNED[recipe].rates, SLOTS)
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
    """Train what is missing and report; return 1 if a run failed, 130 if the study was stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sudoku", type=Path, help="folder with a train.csv in the format of Sudoku-Extreme")
    parser.add_argument("--recipes", nargs="+", choices=TUNED, default=list(TUNED))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--tune-seconds", type=float, default=60.0, help="CPU seconds of training for each point")
    parser.add_argument("--seconds", type=float, default=600.0, help="CPU seconds of training for each seed")
    parser.add_argument("--evaluations", type=int, default=6, help="of each run; their time does not count")
    parser.add_argument("--boards", type=int, default=300, help="validation boards, held out of the training file")
    parser.add_argument("--precision", choices=["32-true", "bf16-mixed"], default="32-true", help="of all runs")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, of one thread each")
    parser.add_argument("--report", action="store_true", help="train nothing, report what is there")
    parser.add_argument("--runs", type=Path, default=Path("runs/tuned"))
    parser.add_argument("--into", type=Path, default=HERE, help="folder of the results (default: this one)")
    given = parser.parse_args(argv)
    if not (given.report or given.sudoku):
        parser.error("training needs --sudoku FOLDER")
    for part in PARTS:
        (given.runs / part).mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        whole = given.report or study(given)
    except KeyboardInterrupt:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # timeout sends it twice
        print("stopped; the same command goes on from here", flush=True)
        return 128 + signal.SIGINT
    if not report(given.runs, given.into):
        print(f"no recipe in {given.runs} has been trained at its point: there is nothing to report", file=sys.stderr)
        return 1
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
