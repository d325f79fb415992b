"""A checkpoint to give away: what using a model needs, and no folder of this machine."""

from typing import Any

from trm.classes import defaults_of
from trm.data import PuzzleData

FACTS = (
    "trm_version",
    "pytorch-lightning_version",
    "imported_from",
    "started_from",
    "global_step",
    "metrics",
    "training_puzzles",
    "table_hash",
    "seed",
)
"""Of a checkpoint, what a model that is given away says of its origin."""


def to_give_away(content: dict[str, Any], data: PuzzleData) -> dict[str, Any]:
    """Return a checkpoint of what is needed to use a model, in float32; folders become the family's defaults.

    Args:
        content: of the checkpoint of a run.
        data: its family.

    Raises:
        InputError: if the family's arguments do not go with those defaults.
    """
    state = {
        name: (tensor.float() if tensor.is_floating_point() else tensor).clone()  # torch saves all a view is of
        for name, tensor in content["state_dict"].items()
    }
    arguments = dict(content["family"]["init_args"])
    for name, others in data.folders.items():
        if name in arguments and arguments[name] not in others:
            arguments[name] = defaults_of(type(data))[name]
    type(data)(**arguments)  # refuses what does not go together
    return {
        "state_dict": state,
        "hyper_parameters": content["hyper_parameters"],
        **{name: content[name] for name in ("module",) if name in content},
        "family": {"class_path": content["family"]["class_path"], "init_args": arguments},
        "averaged": content.get("averaged", "current_model_state" in content),
        **{name: content[name] for name in FACTS if name in content},
    }
