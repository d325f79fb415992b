"""Whether a run can go on from a checkpoint: the same network, on the same puzzles."""

import inspect
from pathlib import Path
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


def refuse_other_network(
    module: LightningModule, theirs: dict[str, Any], path: str | Path = "the checkpoint", but: tuple[str, ...] = ()
) -> None:
    """Refuse the hyper-parameters of another network.

    Args:
        module: the configured one.
        theirs: hyper-parameters of a checkpoint.
        path: its name.
        but: those of the network that may differ all the same.

    Raises:
        InputError: naming the first that must agree and does not.
    """
    ours, kind = module.hparams, type(module)
    theirs = {name: default_of(kind, name) for name in ARCHITECTURE} | theirs  # an older checkpoint's were these
    latents = ("latent_steps",) if ours["network"] == "multi_scale" else ()
    for name in (*ARCHITECTURE, *latents):
        if theirs.get(name) != ours[name] and name not in but:
            raise InputError(
                f"{path} was trained with {name} {theirs.get(name)!r}, but the configuration has "
                f"{ours[name]!r}; both must be the same network on the same family of puzzles"
            )


def report_differences(module: LightningModule, theirs: dict[str, Any]) -> None:
    """Name the hyper-parameters of a checkpoint that differ from the configured ones, and may."""
    for name, value in module.hparams.items():
        if name in theirs and theirs[name] != value:
            rank_zero_info(f"The checkpoint was trained with {name} {theirs[name]!r}, this run has {value!r}.")


def refuse_other_puzzles(data: PuzzleData, checkpoint: dict[str, Any]) -> None:
    """Refuse a checkpoint of another family of puzzles than the data's, or whose puzzle embedding is of other puzzles.

    Raises:
        InputError: naming what differs.
    """
    if difference := _difference(data, checkpoint):
        raise InputError(difference)


def same_puzzles(data: PuzzleData, checkpoint: dict[str, Any]) -> bool:
    """Return whether the puzzle ids of a checkpoint stand for the same puzzles as those of ``data``."""
    return not _difference(data, checkpoint)


def _difference(data: PuzzleData, checkpoint: dict[str, Any]) -> str:
    theirs, ours = checkpoint.get("family", {}), data.family
    if theirs.get("class_path") != ours["class_path"]:
        return f"the checkpoint was trained on {theirs.get('class_path')}, but the data is {ours['class_path']}"
    for name in data.numbered_by:
        default = default_of(type(data), name)  # an older checkpoint's
        value, mine = (family["init_args"].get(name, default) for family in (theirs, ours))
        if value != mine:
            return (
                f"the puzzle embedding of the checkpoint has the rows of data.{name} {value!r}, but data.{name} is "
                f"{mine!r}: the same rows would stand for other puzzles"
            )
    if checkpoint.get("table_hash", data.table_hash) != data.table_hash:
        return (
            f"the puzzle embedding of the checkpoint is of other puzzles than the data's: their hashes are "
            f"{checkpoint['table_hash']} and {data.table_hash}"
        )
    return ""


def default_of(kind: type, name: str) -> Any:
    """Return the default of an argument of a class, or of the base that the class hands it on to."""
    signatures = (
        inspect.signature(vars(base)["__init__"]).parameters for base in kind.__mro__ if "__init__" in vars(base)
    )
    return next(parameters[name].default for parameters in signatures if name in parameters)
