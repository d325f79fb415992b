"""The data module and a trained model of a few small random tasks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tasks import Files, random_tasks, write_tasks
from training import quiet_trainer

from trm.data.arc import ARC
from trm.module import TRMModule


@pytest.fixture
def files() -> Files:
    """Tasks by subset and name: ten pairs to train on, three test inputs to answer."""
    return random_tasks()


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Files], Path]:
    return lambda files: write_tasks(files, tmp_path)


@pytest.fixture
def small(files: Files, write: Callable[[Files], Path]) -> Callable[..., ARC]:
    """The data module of these tasks."""
    source = write(files)

    def build(**arguments: Any) -> ARC:
        defaults = {"augmentations": 5, "slots": 4, "steps_per_batch": 2, "workers": 0}
        return ARC(subsets=("training", "evaluation"), source=str(source), **{**defaults, **arguments})

    return build


@pytest.fixture
def trained(small: Callable[..., ARC], tmp_path: Path) -> Callable[..., Path]:
    """A model that has been trained on them for two steps."""

    def train(**arguments: Any) -> Path:
        data = small(val_size=0, **arguments)
        module = TRMModule(
            12,
            data.seq_len,
            data.num_puzzles,
            hidden_size=16,
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

    return train


@pytest.fixture
def checkpoint(trained: Callable[..., Path]) -> Path:
    """The same on the official canvas."""
    return trained()
