"""Measure adaptation to unseen ARC tasks at equal CPU time: ``make bench-test-time-scaling ARGS=--adaptation``.

Ten of the tasks of the model arc-toy are held out, and a base model is trained on the others. Each held-out task is
then answered by the base itself, and after training on its demonstration pairs: of a network from scratch, of the
embeddings alone, and of all parameters. What is measured is written after each task, and a run that was stopped goes on
there.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.append(str(Path(__file__).parents[1]))

from trm.adapt import adapt
from trm.analysis.report import table
from trm.checkpoints.load import load_checkpoint
from trm.cli.main import main as trm
from trm.data import ARC
from trm.data.arc.query import query_task
from trm.data.arc.tasks import Task
from trm.module import TRMModule
from trm.provenance import PROJECT, commit, environment
from trm.reproduce.ledger import wilson
from trm.solver import Solver
from trm.task_solver import TASK_VIEWS, solve_queries

HERE = Path(__file__).parent
HELD_OUT = 10
SLOTS = 8
"""Pairs in training at once: a task has two to ten, under eight augmentations."""
CLOCK = time.process_time
ARMS = {
    "base": "the base model, without adaptation",
    "scratch": "a new network, trained on the task",
    "embeddings": "the base model, embeddings trained",
    "all": "the base model, all parameters trained",
}


def tables() -> dict[str, str]:
    """Return the committed results: tasks solved in two attempts by what is trained."""
    facts = json.loads((HERE / "adaptation.json").read_text())
    lines = []
    for arm, name in ARMS.items():
        rows = [row for row in facts["rows"] if row["arm"] == arm]
        if not rows:
            continue
        share = sum(row["pass@2"] for row in rows) / len(rows)
        low, high = wilson(share, len({row["task"] for row in rows}))
        steps, loss = (np.mean([row[name] for row in rows]) if arm != "base" else None for name in ("steps", "loss"))
        lines.append(
            [
                name,
                f"{len({row['seed'] for row in rows})}",
                f"{share:.1%} ({low:.1%} to {high:.1%})",
                "" if steps is None else f"{steps:.0f}",
                "" if loss is None else f"{loss:.2f}",
            ]
        )
    return {"adaptation": table(["answered by", "seeds", "pass@2", "steps", "loss of the last step"], lines)}


def split(data: ARC) -> tuple[list[Task], list[Task]]:
    """Return the tasks of a model, and those that are held out."""
    tasks = [task for puzzle in data.puzzles if (task := data.task(puzzle.name))]
    held = set(np.random.default_rng(0).permutation(len(tasks))[:HELD_OUT].tolist())
    return [tasks[i] for i in range(len(tasks)) if i not in held], [tasks[i] for i in sorted(held)]


def train_base(tasks: list[Task], steps: int, folder: Path) -> str:
    """Train the base model on tasks and return its checkpoint.

    Raises:
        SystemExit: if training fails.
    """
    (folder / "tasks").mkdir(parents=True, exist_ok=True)
    parts = ("train", "test")
    shown = {
        task.name: {
            part: [{name: np.asarray(grid).tolist() for name, grid in pair._asdict().items()} for pair in pairs]
            for part, pairs in zip(parts, (task.train, task.test), strict=True)
        }
        for task in tasks
    }
    (folder / "tasks" / "base.json").write_text(json.dumps(shown))
    options = ["--data.subsets=[base]", "--data.test_subset=base", f"--data.source={folder / 'tasks'}"]
    options += [f"--trainer.max_steps={steps}", "--trainer.limit_val_batches=0", f"--trainer.logger.save_dir={folder}"]
    if status := trm(["fit", f"--config={PROJECT / 'configs/arc-small.yaml'}", *options]):
        raise SystemExit(status)
    return str(folder / "checkpoints" / "last.ckpt")


def measure(base: str, arm: str, task: Task, seed: int, seconds: float) -> dict[str, Any]:
    """Return what one way to answer a held-out task achieves within some CPU seconds of training."""
    module, data = load_checkpoint(base)
    assert isinstance(data, ARC)
    row: dict[str, Any] = {"arm": arm, "seed": seed, "task": task.name}
    if arm == "scratch":
        torch.manual_seed(seed)
        module = TRMModule(**module.hparams)
    if arm != "base":
        parameters: Any = "embeddings" if arm == "embeddings" else "all"
        options: dict[str, Any] = {"parameters": parameters, "slots": SLOTS, "seed": seed, "clock": CLOCK}
        adapted = adapt(module, data, [task], seconds=seconds, **options)
        module, data = adapted.module, adapted.data
        row |= {"steps": adapted.steps, "seconds": round(adapted.seconds, 2), "loss": round(adapted.loss, 4)}
    (solution,) = solve_queries(Solver(module, data), [(task, query_task(data, task, TASK_VIEWS))])
    scores = solution.query.votes.compute()
    return row | {name: float(scores[name]) for name in ("pass@1", "pass@2")}


def plan(tasks: list[Task], seeds: int) -> Iterator[tuple[str, Task, int]]:
    """Yield the arms, tasks and seeds to measure; the base is not trained, so it has one seed."""
    yield from (("base", task, 0) for task in tasks)
    yield from ((arm, task, seed) for seed in range(seeds) for task in tasks for arm in list(ARMS)[1:])


def main(argv: list[str] | None = None) -> int:
    """Measure and write a JSON file."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--base", help="checkpoint to adapt, instead of training one")
    options.add_argument("--steps", type=int, default=2000, help="steps of the base model (default: 2,000)")
    options.add_argument("--seconds", type=float, default=30, help="CPU seconds of adaptation a task (default: 30)")
    options.add_argument("--seeds", type=int, default=3, help="seeds of adaptation (default: 3)")
    options.add_argument("--tasks", type=int, default=HELD_OUT, help="held-out tasks to answer (default: all ten)")
    options.add_argument("--into", type=Path, default=HERE, help="folder of the results (default: this one)")
    arguments = options.parse_args(argv)
    torch.set_num_threads(1)
    data = load_checkpoint("arc-toy")[1]
    assert isinstance(data, ARC)
    others, held = split(data)
    base = arguments.base or train_base(others, arguments.steps, Path("runs/arc-toy-held-out"))
    path = arguments.into / "adaptation.json"
    facts: dict[str, Any] = {"seconds": arguments.seconds, "slots": SLOTS, "rows": []}
    if path.exists() and json.loads(path.read_text())["seconds"] == arguments.seconds:
        facts["rows"] = json.loads(path.read_text())["rows"]
    facts |= {"machine": environment(), "commit": commit(PROJECT)}
    done = {(row["arm"], row["task"], row["seed"]) for row in facts["rows"]}
    for arm, task, seed in plan(held[: arguments.tasks], arguments.seeds):
        if (arm, task.name, seed) not in done:
            facts["rows"].append(measure(base, arm, task, seed, arguments.seconds))
            path.write_text(json.dumps(facts, indent=1) + "\n")
            print(facts["rows"][-1], file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
