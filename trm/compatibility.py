"""Whether a run can go on from a checkpoint: the same network, on the same puzzles."""

import inspect
from typing import Any

from lightning.pytorch import LightningModule
from lightning_utilities.core.rank_zero import rank_zero_info

from trm.data import PuzzleData
from trm.errors import InputError

ARCHITECTURE = (
    "network",
    "vocab_size",
    "seq_len",
    "num_puzzles",
    "hidden_size",
    "num_layers",
    "num_heads",
    "expansion",
    "multiple_of",
    "mixer",
    "positions",
    "puzzle_tokens",
    "puzzle_size",
    "continue_loss",
    "conv",
)
"""Hyper-parameters that must agree with those of a checkpoint for its weights to mean the same."""


def refuse_other_network(module: LightningModule, theirs: dict[str, Any], but: tuple[str, ...] = ()) -> None:
    """Refuse the hyper-parameters of another network, and name the others that differ.

    Args:
        module: the configured one.
        theirs: hyper-parameters of a checkpoint.
        but: those of the network that may differ all the same.

    Raises:
        InputError: naming the first that must agree and does not.
    """
    ours, parameters = module.hparams, inspect.signature(type(module)).parameters
    theirs = {name: parameters[name].default for name in ARCHITECTURE} | theirs  # an older checkpoint's were these
    latents = ("latent_steps",) if ours["network"] == "multi_scale" else ()
    for name in (*ARCHITECTURE, *latents):
        if theirs.get(name) != ours[name] and name not in but:
            raise InputError(
                f"the checkpoint was trained with {name} {theirs.get(name)!r}, but the configuration has "
                f"{ours[name]!r}; both must be the same network on the same family of puzzles"
            )
    for name in ours:
        if name in theirs and theirs[name] != ours[name]:
            rank_zero_info(f"The checkpoint was trained with {name} {theirs[name]!r}, this run has {ours[name]!r}.")


def refuse_other_puzzles(data: PuzzleData, theirs: dict[str, Any]) -> None:
    """Refuse a family of puzzles (``PuzzleData.family``) that is another, or numbers its puzzles otherwise.

    Raises:
        InputError: naming what differs.
    """
    ours = data.family
    if theirs.get("class_path") != ours["class_path"]:
        raise InputError(
            f"the checkpoint was trained on {theirs.get('class_path')}, but the data is {ours['class_path']}"
        )
    for name, (value, mine) in _numbering(data, theirs).items():
        if value != mine:
            raise InputError(
                f"the puzzle table of the checkpoint has the rows of data.{name} {value!r}, but data.{name} is "
                f"{mine!r}: the same rows would stand for other puzzles"
            )


def same_puzzles(data: PuzzleData, theirs: dict[str, Any]) -> bool:
    """Tell whether a family of puzzles, of a checkpoint, numbers the rows of the puzzle table as ``data`` does."""
    if theirs.get("class_path") != data.family["class_path"]:
        return False
    return all(value == mine for value, mine in _numbering(data, theirs).values())


def _numbering(data: PuzzleData, theirs: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what the numbers of puzzles depend on, theirs and ours; an older checkpoint has the defaults."""
    parameters = inspect.signature(type(data).__init__).parameters
    return {
        name: (theirs["init_args"].get(name, parameters[name].default), data.family["init_args"][name])
        for name in data.numbered_by
    }
