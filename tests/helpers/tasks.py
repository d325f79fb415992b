"""Small random ARC tasks, in a folder as the official repositories have them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

Files = dict[str, dict[str, Any]]


def random_task(seed: int, train: int, test: int) -> dict[str, Any]:
    """Return a task of so many pairs, with grids of at most 4x4."""
    rng = np.random.default_rng(seed)

    def grid() -> list[list[int]]:
        return rng.integers(0, 6, rng.integers(1, 5, 2)).tolist()

    def pairs(count: int) -> list[dict[str, Any]]:
        return [{"input": grid(), "output": grid()} for _ in range(count)]

    return {"train": pairs(train), "test": pairs(test)}


def random_tasks() -> Files:
    """Return tasks by subset and name: ten pairs to train on, three test inputs to answer."""
    return {
        "training": {"one": random_task(1, 2, 1), "two": random_task(2, 1, 1)},
        "evaluation": {"three": random_task(3, 2, 1), "four": random_task(4, 3, 2)},
    }


def write_tasks(files: Files, folder: Path) -> Path:
    """Write every task to a file of its own."""
    for subset, tasks in files.items():
        (folder / subset).mkdir(parents=True, exist_ok=True)
        for name, task in tasks.items():
            (folder / subset / f"{name}.json").write_text(json.dumps(task))
    return folder
