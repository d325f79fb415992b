"""A Lightning trainer for the tests: on the CPU, and silent."""

from typing import Any

from lightning.pytorch import Trainer


def quiet_trainer(**arguments: Any) -> Trainer:
    """Return a trainer that writes nothing unless ``arguments`` say so."""
    defaults = {
        "accelerator": "cpu",
        "max_epochs": -1,
        "use_distributed_sampler": False,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return Trainer(**{**defaults, **arguments})
