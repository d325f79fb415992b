"""Small random tasks, in a folder as the official repositories have them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training import quiet_trainer

from trm.data.arc import ARC
from trm.module import TRMModule

Files = dict[str, dict[str, Any]]


def random_task(seed: int, train: int, test: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)

    def grid() -> list[list[int]]:
        return rng.integers(0, 6, rng.integers(1, 5, 2)).tolist()

    def pairs(count: int) -> list[dict[str, Any]]:
        return [{"input": grid(), "output": grid()} for _ in range(count)]

    return {"train": pairs(train), "test": pairs(test)}


@pytest.fixture
def files() -> Files:
    """Tasks by subset and name: ten pairs to train on, three test inputs to answer."""
    return {
        "training": {"one": random_task(1, 2, 1), "two": random_task(2, 1, 1)},
        "evaluation": {"three": random_task(3, 2, 1), "four": random_task(4, 3, 2)},
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Files], Path]:
    def write_files(files: Files) -> Path:
        for subset, tasks in files.items():
            (tmp_path / subset).mkdir(exist_ok=True)
            for name, task in tasks.items():
                (tmp_path / subset / f"{name}.json").write_text(json.dumps(task))
        return tmp_path

    return write_files


@pytest.fixture
def small(files: Files, write: Callable[[Files], Path]) -> Callable[..., ARC]:
    """The data module of these tasks."""
    source = write(files)

    def build(**arguments: Any) -> ARC:
        defaults = {"augmentations": 5, "slots": 4, "steps_per_batch": 2, "workers": 0}
        return ARC(subsets=("training", "evaluation"), source=str(source), **{**defaults, **arguments})

    return build


@pytest.fixture
def checkpoint(small: Callable[..., ARC], tmp_path: Path) -> Path:
    """A model that has been trained on them for two steps."""
    data = small(val_size=0)
    module = TRMModule(
        12,
        900,
        data.num_puzzles,
        16,
        num_heads=2,
        multiple_of=8,
        cycles=1,
        latent_steps=1,
        supervision_steps=1,
        puzzle_tokens=1,
    )
    trainer = quiet_trainer(max_steps=2, max_epochs=1, limit_train_batches=1)
    trainer.fit(module, data)
    trainer.save_checkpoint(tmp_path / "arc.ckpt")
    return tmp_path / "arc.ckpt"
