"""Train each recipe and the plain one to the same cost, and compare what they solve: ``make bench-recipes``.

Every run is a ``trm fit`` that goes on from its last checkpoint, so the study can be stopped at any time and goes on by
the same command. The budgets of a task are what the plain recipe costs by a given step: CPU seconds (mean over the
seeds) and floating-point operations. The other recipes train until they have reached both. All of it takes hours on 2
cores; choose with --tasks, --recipes and --seeds. --redraw draws the committed results again.
"""

import argparse
import itertools
import math
import os
import signal
import sys
import traceback
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import answers
import torch
import transfer
import tuned_report
import tuning
from recipes import OPTIONS, RECIPES, TASKS, Task
from report import by_clues, comparison, curves, draw, merged, read
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from verdicts import UNITS, Evaluation, Run, verdicts

from trm.analysis.report import table
from trm.checkpoints.load import load_checkpoint
from trm.cli.main import main as trm
from trm.data.samples import to_batch
from trm.nn import solved as is_solved

HERE = Path(__file__).parent


def tables(folder: Path = HERE) -> dict[str, str]:
    """Return a table for each task and round, 9x9 boards solved by number of clues, and the tables of other studies."""
    about = {name: (recipe.source, recipe.claim) for name, recipe in RECIPES.items()}
    found = {}
    for (number, task), rows in itertools.groupby(
        read(folder / "verdicts.csv"), lambda row: (row["round"], row["task"])
    ):
        found[task if number == 1 else f"{task}-round-{number}"] = comparison(list(rows), about)
    if clues := read(folder / "clues.csv"):
        found["clues"] = by_clues(clues)
    if (folder / "answers.json").exists():
        found |= answers.tables(folder)
    if (folder / "transfer.json").exists():
        found |= transfer.tables(folder)
    if (folder / "tuning.json").exists():
        found["tuning"] = table(tuning.HEAD, tuning.rows())
    if (folder / "tuned.csv").exists():
        found |= tuned_report.tables(folder)
    return found


class Job(NamedTuple):
    """A run of the study, and where it is kept."""

    task: Task
    recipe: str
    seed: int
    folder: Path
    round: int = 1

    @property
    def run(self) -> Run:
        """What has been measured so far."""
        return Run(self.task.name, self.recipe, self.seed, evaluations(self.folder), self.round)


def evaluations(folder: Path) -> list[Evaluation]:
    """Read the evaluations of a run from its TensorBoard log; of a step that was repeated, the last one."""
    if not folder.exists():
        return []
    log = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    log.Reload()
    if "val/solved" not in log.Tags()["scalars"]:
        return []
    names = ["cost/core_seconds", "cost/tflop", "val/solved", "val/cells", "val/answer_loss"]
    series = [{event.step: event.value for event in log.Scalars(name)} for name in names]
    steps = sorted(set.intersection(*map(set, series)))
    return [Evaluation(step, *(values[step] for values in series)) for step in steps]


def last_step(job: Job) -> int:
    """Return the step of the last evaluation of a run, 0 before the first."""
    return max((row.step for row in evaluations(job.folder)), default=0)


def arguments(job: Job, steps: int) -> list[str]:
    """Return the options of ``trm fit`` for a run up to a step."""
    recipe = RECIPES[job.recipe]
    return [
        *OPTIONS,
        *job.task.options,
        f"--seed_everything={job.seed + 1000 * recipe.other_weights}",
        f"--data.seed={job.seed}",
        f"--data.root={job.folder.parents[3] / 'data'}",
        f"--model.explore_seed={job.seed}",
        f"--trainer.max_steps={steps}",
        f"--trainer.val_check_interval={job.task.every // 16}",
        f"--trainer.logger.save_dir={job.folder}",
        *recipe.options,
    ]


def start(job: Job, steps: int) -> int:
    """Train up to a step in a process of its own, which has everything imported already, and return its number."""
    if child := os.fork():
        return child
    status = 1
    try:
        os.setpgid(0, 0)  # Ctrl-C is for the study, which ends its runs
        job.folder.mkdir(parents=True, exist_ok=True)
        with (job.folder / "log.txt").open("a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            status = trm(["fit", *arguments(job, steps)])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # what follows is for the study alone


def train(jobs: list[Job], parallel: int, goal: Callable[[Job], int]) -> list[Job]:
    """Train every run up to its goal, which is asked for again when a run has got there; return those that failed."""
    waiting, running, failed = deque(jobs), dict[int, tuple[Job, int]](), list[Job]()
    try:
        while waiting or running:
            while waiting and len(running) < parallel:
                job = waiting.popleft()
                if (steps := goal(job)) > last_step(job):
                    running[start(job, steps)] = job, steps
            if not running:
                break
            child, status = os.wait()
            job, steps = running.pop(child)
            name = f"{job.task.name}, {job.recipe}, seed {job.seed}"
            if status or last_step(job) < steps:
                failed.append(job)
                print(f"{name}: failed, see {job.folder}/log.txt", flush=True)
            else:
                print(f"{name}: step {steps}", flush=True)
                waiting.appendleft(job)
    finally:  # some are left when the study is asked to stop
        for child in running:
            os.kill(
                child, signal.SIGKILL
            )  # it goes on from its last evaluation, and the coming ones stay where they are
            os.waitpid(child, 0)
    return failed


def budgets(plain: list[Run], steps: int) -> dict[str, float]:
    """Return what the plain runs of a task have cost by a step, on average, by unit."""
    return {unit: mean(run.cost(unit, steps) for run in plain) for unit in UNITS}


def probe(job: Job) -> Job:
    """Return a short run of a scheduled recipe, which tells what its steps cost on average."""
    return job._replace(seed=0, folder=job.folder.with_name("probe"))


def needed(job: Job, budget: dict[str, float]) -> int:
    """Return the step by which a run reaches its budgets, as far as can be told from its evaluations."""
    every, scheduled = job.task.every, RECIPES[job.recipe].scheduled
    rows = evaluations(probe(job).folder if scheduled else job.folder)
    if not rows:
        return every
    units = ["tflop"] if scheduled else UNITS  # the length of a schedule must not depend on the speed of the machine
    share = max(budget[unit] / getattr(rows[-1], unit) for unit in units)
    return math.ceil(rows[-1].step * share / every) * every


def study(jobs: list[Job], parallel: int) -> list[Job]:
    """Train the plain runs, which set the budgets, then all others; return those that failed."""
    plain = [job for job in jobs if job.recipe == "plain"]
    failed = train(plain, parallel, lambda job: job.task.steps)
    probes = list(dict.fromkeys(probe(job) for job in jobs if RECIPES[job.recipe].scheduled))
    failed += train(probes, parallel, lambda job: 2 * job.task.every)
    budget = {
        task: budgets(done, task.steps)
        for task in dict.fromkeys(job.task for job in jobs)
        if (done := [job.run for job in plain if job.task == task and job not in failed])
    }
    rest = [job for job in jobs if job.task in budget and not {job, probe(job)} & set(failed)]
    return failed + train(rest, parallel, lambda job: needed(job, budget[job.task]))


def report(jobs: list[Job], folder: Path) -> bool:
    """Write tables and pictures of the runs that have reached their operations; those of other tasks stay.

    Returns:
        Whether there is anything to report.
    """
    rows: list[dict[str, Any]] = []
    comparisons: list[dict[str, Any]] = []
    clues: list[dict[str, Any]] = []
    for task in dict.fromkeys(job.task for job in jobs):
        runs = {job: job.run for job in jobs if job.task == task and last_step(job) >= task.every}
        plain = [run for run in runs.values() if run.recipe == "plain" and run.rows[-1].step >= task.steps]
        if not plain:
            continue
        budget = budgets(plain, task.steps)
        runs = {job: run for job, run in runs.items() if run.rows[-1].tflop > 0.999 * budget["tflop"]}
        rows += curves(list(runs.values()))
        comparisons += verdicts(list(runs.values()), budget)
        clues += solved_by_clues(list(runs)) if task.by_clues else []
    if not comparisons:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    merged(folder / "curves.csv", rows, list(TASKS))
    merged(folder / "clues.csv", clues, list(TASKS))
    merged(folder / "verdicts.csv", comparisons, list(TASKS))
    redraw(folder)
    return True


def redraw(folder: Path) -> None:
    """Draw a picture for each task from the files of a folder."""
    found, rows = read(folder / "verdicts.csv"), read(folder / "curves.csv")
    for task in dict.fromkeys(row["task"] for row in found):
        mine = ([row for row in part if row["task"] == task] for part in (found, rows))
        draw(folder / f"{task}.png", *mine)


def solved_by_clues(jobs: list[Job]) -> list[dict[str, Any]]:
    """Ask finished runs for their validation boards again, and count the solved ones by number of clues, in fives."""
    found: dict[tuple[str, str, int], list[bool]] = defaultdict(list)
    for job in jobs:
        module, data = load_checkpoint(job.folder / "checkpoints" / "last.ckpt")
        boards = to_batch(data.samples("val"))
        with torch.inference_mode():
            logits = module.solve(boards.inputs, boards.puzzle_ids, None).logits
        for clues, right in zip((boards.inputs > 1).sum(-1).tolist(), is_solved(logits, boards.labels), strict=True):
            found[job.task.name, job.recipe, clues // 5 * 5].append(bool(right))
    return [
        {
            "round": jobs[0].round,
            "task": task,
            "recipe": recipe,
            "fewest_clues": clues,
            "boards": len(right),
            "solved": round(mean(right), 4),
        }
        for (task, recipe, clues), right in sorted(found.items())
    ]


def options() -> argparse.ArgumentParser:
    """Return the options of the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, help="default: all but sudoku-9x9-real")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=[*RECIPES], help="plain is always one of them")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--sudoku", help="folder of train.csv and test.csv: sudoku-9x9-real in place of sudoku-9x9")
    parser.add_argument("--length", type=float, default=1, help="factor on the plain recipe's steps, with other --runs")
    parser.add_argument("--round", type=int, default=1, help="number of a group of runs with plain runs of its own")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, of one thread each")
    parser.add_argument("--report", action="store_true", help="train nothing, report what is finished")
    parser.add_argument("--redraw", action="store_true", help="draw the pictures again from the CSV files, no more")
    parser.add_argument("--runs", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--into", type=Path, default=HERE, help="folder of the results (default: this one)")
    return parser


def chosen(given: argparse.Namespace, names: list[str]) -> list[Job]:
    """Return the runs that the options ask for."""
    jobs = []
    for seed, task in itertools.product(given.seeds, (TASKS[name] for name in names)):
        source = (f"--data.source={Path(given.sudoku).resolve()}",) if task.name == "sudoku-9x9-real" else ()
        steps = max(1, round(task.steps * given.length / task.every)) * task.every
        task = task._replace(steps=steps, options=(*task.options, *source))
        place = given.runs.resolve() / f"round-{given.round}" / task.name
        for name, recipe in RECIPES.items():
            if name in ("plain", *given.recipes) and not (recipe.sudoku_only and "sudoku" not in task.name):
                folder = place / name.replace(" ", "-").replace(",", "") / str(seed)
                jobs.append(Job(task, name, seed, folder, given.round))
    return jobs


def main(argv: list[str] | None = None) -> int:
    """Train what is missing and report; return 1 if a run failed, 130 if the study was stopped."""
    parser = options()
    given = parser.parse_args(argv)
    if given.redraw:
        redraw(given.into)
        return 0
    names = given.tasks or [name for name in TASKS if name != ("sudoku-9x9" if given.sudoku else "sudoku-9x9-real")]
    if "sudoku-9x9-real" in names and not given.sudoku:
        parser.error("the task sudoku-9x9-real needs --sudoku FOLDER")
    jobs = chosen(given, names)
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        failed = [] if given.report else study(jobs, given.jobs)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", flush=True)
        return 128 + signal.SIGINT
    if not report(jobs, given.into):
        print(f"no plain run in {given.runs} has reached its steps: there is nothing to report", file=sys.stderr)
        return 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
