"""Whether a run can go on from a checkpoint: the same network, on the same puzzles."""

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule
from lightning_utilities.core.rank_zero import rank_zero_info

from trm.classes import class_path, defaults_of, parameters_of
from trm.data import PuzzleData
from trm.errors import InputError
from trm.nn import TRM, find_network


def architecture(network: type[TRM]) -> list[str]:
    """Return the hyper-parameters that must agree with a checkpoint's for its parameters to mean the same."""
    return ["network", "network_args", *(name for name in parameters_of(TRM) if name not in network.free)]


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
    ours = module.hparams
    theirs = {"network": "trm", "network_args": {}} | defaults_of(TRM) | theirs  # an older checkpoint's were these
    for name in architecture(find_network(ours["network"])):
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
        default = defaults_of(type(data))[name]  # an older checkpoint's
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


def refuse_other_module(module: LightningModule, checkpoint: dict[str, Any], default: type) -> None:
    """Refuse to go on from, or to evaluate, the checkpoint of another class of module, which may compute other things.

    Args:
        module: the configured one.
        checkpoint: names its class where that is not ``default``.
        default: the class of this package.

    Raises:
        InputError: naming both classes.
    """
    theirs = checkpoint.get("module", {}).get("class_path", class_path(default))
    if theirs != class_path(type(module)):
        raise InputError(
            f"the checkpoint was trained as {theirs}, but the configuration has {class_path(type(module))}: pass "
            f"--model {theirs}"
        )


def refuse_other_sizes(data: PuzzleData, theirs: dict[str, Any], path: str | Path) -> None:
    """Refuse data that a trained network cannot read.

    Args:
        data: the family.
        theirs: hyper-parameters of the checkpoint.
        path: its name.

    Raises:
        InputError: naming the first size that differs.
    """
    for name in ("vocab_size", "seq_len"):
        if getattr(data, name) != theirs[name]:
            raise InputError(
                f"{path} was trained with {name} {theirs[name]}, but {class_path(type(data))} has {getattr(data, name)}"
            )
