"""Checks that a checkpoint matches the configured module, network and data."""

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule
from lightning_utilities.core.rank_zero import rank_zero_info

from trm.arguments import class_path, defaults_of, parameters_of
from trm.data import PuzzleData
from trm.errors import InputError
from trm.nn import TRM, find_network
from trm.training import checkpoint_keys as keys

FORMER = {"eval_batch_size": 0, "tasks_per_subset": 0, "concept": "", "puzzle_size": 0, "gradient_steps": 0}
"""Values that stood for null in earlier versions: all, none, or as many as something else."""


def current(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a module or family that a checkpoint contains, in the spelling of this version."""
    former = dict(FORMER)
    if arguments.get("source", "generate") != "generate":
        former |= {"train_size": 0, "test_size": 0}  # all of a table
    return {name: None if value == former.get(name) else value for name, value in arguments.items()}


def architecture(network: type[TRM]) -> list[str]:
    """Return the names of the hyper-parameters that must equal those of a checkpoint to use its parameters."""
    return ["network", "network_args", *(name for name in parameters_of(TRM) if name not in network.free)]


def refuse_other_network(
    module: LightningModule, theirs: dict[str, Any], path: str | Path = "the checkpoint", but: tuple[str, ...] = ()
) -> None:
    """Check that a checkpoint has the network of a module.

    Args:
        module: the configured module.
        theirs: hyper-parameters of the checkpoint.
        path: name of the checkpoint.
        but: names of hyper-parameters that may differ nevertheless.

    Raises:
        InputError: if a hyper-parameter of the network differs; the message names the first.
    """
    ours = current(dict(module.hparams))
    theirs = {"network": "trm", "network_args": {}} | defaults_of(TRM) | current(theirs)  # absent in older checkpoints
    for name in architecture(find_network(ours["network"])):
        if theirs.get(name) != ours[name] and name not in but:
            raise InputError(
                f"{path} was trained with {name} {theirs.get(name)!r}, but the configuration has "
                f"{ours[name]!r}; both must be the same network on the same family of puzzles"
            )


def report_differences(module: LightningModule, theirs: dict[str, Any]) -> None:
    """Print the hyper-parameters in which a checkpoint and a module differ."""
    theirs = current(theirs)
    for name, value in current(dict(module.hparams)).items():
        if name in theirs and theirs[name] != value:
            rank_zero_info(f"The checkpoint was trained with {name} {theirs[name]!r}, this run has {value!r}.")


def refuse_other_puzzles(data: PuzzleData, checkpoint: dict[str, Any]) -> None:
    """Check that a checkpoint was trained on the family of the data, with the same puzzle ids.

    Raises:
        InputError: if it was not; the message names the difference.
    """
    if difference := _difference(data, checkpoint):
        raise InputError(difference)


def same_puzzles(data: PuzzleData, checkpoint: dict[str, Any]) -> bool:
    """Return whether the puzzle ids of a checkpoint denote the same puzzles as those of ``data``."""
    return not _difference(data, checkpoint)


def _difference(data: PuzzleData, checkpoint: dict[str, Any]) -> str:
    """Return the first difference between the puzzles of a checkpoint and of the data as a clause; "" if none."""
    theirs, ours = checkpoint.get(keys.FAMILY, {}), data.family
    if theirs.get("class_path") != ours["class_path"]:
        return f"the checkpoint was trained on {theirs.get('class_path')}, but the data is {ours['class_path']}"
    for name in data.numbered_by:
        default = defaults_of(type(data))[name]  # for older checkpoints
        value, mine = (family["init_args"].get(name, default) for family in (theirs, ours))
        if value != mine:
            return (
                f"the puzzle ids of the checkpoint are those of data.{name} {value!r}, but data.{name} is {mine!r}: "
                "the same ids would denote other puzzles"
            )
    if checkpoint.get(keys.TABLE_HASH, data.table_hash) != data.table_hash:
        return (
            f"the puzzle embedding of the checkpoint is of other puzzles than those of the data: the hashes are "
            f"{checkpoint[keys.TABLE_HASH]} and {data.table_hash}"
        )
    return ""


def refuse_other_module(module: LightningModule, checkpoint: dict[str, Any], default: type) -> None:
    """Check that a checkpoint was trained by the class of a module; another class may compute something else.

    Args:
        module: the configured module.
        checkpoint: the checkpoint, which contains the class unless it is ``default``.
        default: the class of this package.

    Raises:
        InputError: if the classes differ; the message names both.
    """
    theirs = checkpoint.get(keys.MODULE, {}).get("class_path", class_path(default))
    if theirs != class_path(type(module)):
        raise InputError(
            f"the checkpoint was trained as {theirs}, but the configuration has {class_path(type(module))}: pass "
            f"--model {theirs}"
        )


def refuse_other_origin(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Check that a run resumes with the initial parameters that it started with.

    Args:
        ours: origin of the module's initial parameters (``TRMModule.started_from``); empty if random.
        theirs: origin of those of the run to resume; empty if random.

    Raises:
        InputError: if they differ and the module's are not random.
    """
    if ours and ours["weights"] != theirs.get("weights"):
        other, own = (
            f"{start['checkpoint']} (weights {start['weights']})" if start else "random weights"
            for start in (theirs, ours)
        )
        raise InputError(
            f"the run to resume started from {other}, not from {own}: choose another folder, or omit --weights"
        )


def refuse_other_sizes(data: PuzzleData, theirs: dict[str, Any], path: str | Path) -> None:
    """Check that a trained network accepts the puzzles of a family.

    Args:
        data: the family.
        theirs: hyper-parameters of the checkpoint.
        path: name of the checkpoint.

    Raises:
        InputError: if ``vocab_size`` or ``seq_len`` differs; the message names the first.
    """
    for name in ("vocab_size", "seq_len"):
        if getattr(data, name) != theirs[name]:
            raise InputError(
                f"{path} was trained with {name} {theirs[name]}, but {class_path(type(data))} has {getattr(data, name)}"
            )
