"""A checkpoint to give away: what using a model needs, and no folder of this machine."""

from typing import Any

from trm.checkpoints.summary import is_averaged
from trm.classes import defaults_of
from trm.data import PuzzleData
from trm.training import checkpoint_keys as keys

FACTS = (
    keys.VERSION,
    keys.MODULE,
    keys.LIGHTNING_VERSION,
    keys.IMPORTED_FROM,
    keys.STARTED_FROM,
    keys.STEP,
    keys.METRICS,
    keys.TRAINING_PUZZLES,
    keys.TABLE_HASH,
    keys.SEED,
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
        for name, tensor in content[keys.STATE].items()
    }
    arguments = dict(content[keys.FAMILY]["init_args"])
    for name, others in data.folders.items():
        if name in arguments and arguments[name] not in others:
            arguments[name] = defaults_of(type(data))[name]
    type(data)(**arguments)  # refuses what does not go together
    return {
        keys.STATE: state,
        keys.HYPER_PARAMETERS: content[keys.HYPER_PARAMETERS],
        keys.FAMILY: {"class_path": content[keys.FAMILY]["class_path"], "init_args": arguments},
        keys.AVERAGED: is_averaged(content),
        **{name: content[name] for name in FACTS if name in content},
    }
