"""A checkpoint to share: what is needed to use a model, without local folders."""

from typing import Any

from trm.arguments import defaults_of
from trm.checkpoints.schema import FACTS
from trm.checkpoints.summary import is_averaged
from trm.data import Mixture, PuzzleData
from trm.training import checkpoint_keys as keys


def shareable(content: dict[str, Any], data: PuzzleData) -> dict[str, Any]:
    """Return a checkpoint with what is needed to use a model, in float32; local folders become the family's defaults.

    Args:
        content: content of the checkpoint of a run.
        data: its family.

    Raises:
        InputError: if those defaults contradict other arguments of the family.
    """
    state = {
        name: (
            tensor.float() if tensor.is_floating_point() else tensor
        ).clone()  # torch would save the whole storage of a view
        for name, tensor in content[keys.STATE].items()
    }
    return {
        keys.STATE: state,
        keys.HYPER_PARAMETERS: content[keys.HYPER_PARAMETERS],
        keys.FAMILY: _without_folders(content.get(keys.FAMILY, data.family), data),  # plain data loaders name none
        keys.AVERAGED: is_averaged(content),
        **{name: content[name] for name in FACTS if name in content},
    }


def _without_folders(family: dict[str, Any], data: PuzzleData) -> dict[str, Any]:
    """Return what a checkpoint contains of a family, with its defaults in place of local folders."""
    arguments = dict(family["init_args"])
    if isinstance(data, Mixture):
        parts = zip(arguments["families"], data.families, strict=True)
        return {**family, "init_args": {**arguments, "families": [_without_folders(*part) for part in parts]}}
    defaults = defaults_of(type(data))
    for name, others in data.folders.items():
        if name in arguments and arguments[name] not in others:
            arguments[name] = defaults[name]
            everything = [size for size in arguments if size.endswith("_size") and arguments[size] is None]
            arguments.update({size: defaults[size] for size in everything})  # all samples of that folder
    type(data)(**arguments)  # raises if they contradict each other
    return {"class_path": family["class_path"], "init_args": arguments}
