"""For the tests: a trainer on the CPU, and silent; what must agree of two checkpoints; the dtype of new tensors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Trainer

SMALL = [
    "--data.slots=4",
    "--data.steps_per_batch=2",
    "--data.workers=0",
    "--model.hidden_size=16",
    "--model.num_heads=2",
    "--model.multiple_of=8",
    "--model.cycles=2",
    "--model.latent_steps=1",
    "--model.supervision_steps=2",
    "--model.min_lr_ratio=1.0",
]
"""Options of ``trm`` for a network and batches that train in no time, at a learning rate that no change of the run's
length changes."""
BOARDS = ["--data.train_size=40", "--data.val_size=8", "--data.test_size=10", "--data.clues=[8,8]"]
"""Options for a few 4x4 Sudoku boards."""

STATE = ("global_step", "state_dict", "current_model_state", "optimizer_states", "lr_schedulers", "slots")
"""The parts of a checkpoint that training goes on from."""


def quiet_trainer(**arguments: Any) -> Trainer:
    """Return a trainer that writes nothing unless ``arguments`` say so."""
    defaults = {
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return Trainer(**{**defaults, **arguments})


def assert_same(one: Any, other: Any, path: str = "") -> None:
    """Compare two trees of values exactly."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            assert_same(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), path
        for index, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{path}[{index}]")
    else:
        assert one == other, path


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Make new tensors of this dtype, as Lightning does during a step of a run in bf16-true or 64-true."""
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
