"""Checks that a checkpoint matches the configured module, network and data."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule
from torch import Tensor

from trm.arguments import RENAMED, class_path, defaults_of, listed, parameters_of
from trm.data import PuzzleData
from trm.errors import InputError, counted
from trm.nn import TRM, find_network
from trm.training import checkpoint_keys as keys

FORMER = {"eval_batch_size": 0, "tasks_per_subset": 0, "concept": "", "puzzle_size": 0, "gradient_steps": 0}
"""Values that stood for null in earlier versions: all, none, or as many as something else."""


def current(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a module or family that a checkpoint contains, in the spelling of this version."""
    former = dict(FORMER)
    if arguments.get("source", "generate") != "generate":
        former |= {"train_size": 0, "test_size": 0}  # all of a table
    return {
        name: None if isinstance(value, int | str) and former.get(name) == value else value
        for name, value in arguments.items()
    }


def renamed(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a module, those of an earlier version under the names of this one."""
    names = {before: now for before, now in RENAMED.items() if now not in arguments}
    return {names.get(name, name): value for name, value in arguments.items()}


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
    for name in data.read_off:
        value, mine = (listed(family["init_args"].get(name)) for family in (theirs, ours))
        if value != mine:
            return (
                f"the checkpoint was trained with data.{name} {value}, but that of the data is {mine}, so its tokens "
                "mean something else: pass --ckpt_path FILE, which also gives the data its tokens"
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


SIZES = ("vocab_size", "seq_len", "num_symbols", "grid")
"""Arguments of the network that the data determines, beside the number of puzzle ids."""
OF_DATA = (*SIZES, "num_puzzles")
"""Arguments of the network that the data determines."""


def free_to_start(theirs: Mapping[str, Any]) -> tuple[str, ...]:
    """Return which hyper-parameters may differ when training starts from a checkpoint's parameters.

    These are ``OF_DATA``, and ``grid_conv`` if the checkpoint has none, because its weights begin at zero.
    """
    return OF_DATA if theirs.get("grid_conv") else (*OF_DATA, "grid_conv")


def fixed_sizes(hyper_parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return which of ``SIZES`` must be those of training, because parameters depend on them, and why, in a phrase.

    With attention and without learned positions the number of cells is free; in the network symmetric, where symbols
    share their parameters, the number of symbols is free, too.
    """
    model = defaults_of(TRM) | {"network": "trm"} | dict(hyper_parameters)
    fixed = {}
    if model["mixer"] != "attention":
        fixed["seq_len"] = f"model.mixer is {model['mixer']}"
    elif model["positions"] == "learned":
        fixed["seq_len"] = "model.positions is learned"
    if model["network"] != "symmetric":
        fixed["vocab_size"] = f"model.network is {model['network']}, not symmetric"
    return fixed


def free_sizes(hyper_parameters: Mapping[str, Any]) -> set[str]:
    """Return which of ``SIZES`` may differ from those of training, because no parameter depends on them."""
    return set(SIZES) - fixed_sizes(hyper_parameters).keys()


def size_in_words(cells: int) -> str:
    """Return the size of puzzles of so many cells, such as "9x9", for a message."""
    side = math.isqrt(cells)
    return f"{side}x{side}" if side**2 == cells else counted(cells, "cell")


def refuse_fixed_size(data: PuzzleData, theirs: Mapping[str, Any]) -> None:
    """Check that a trained network accepts puzzles of its family that may be of another size.

    Raises:
        InputError: if not; the message names both sizes.
    """
    for name, reason in fixed_sizes(theirs).items():
        if getattr(data, name) != theirs[name]:
            ours, their = (size_in_words(cells) for cells in (data.seq_len, theirs["seq_len"]))
            raise InputError(
                f"the puzzle is {ours}, but the model was trained on {their} and accepts no other size: {reason}"
            )


def refuse_other_sizes(
    data: PuzzleData, theirs: Mapping[str, Any], path: str | Path, free: Collection[str] = ()
) -> None:
    """Check that a trained network accepts the puzzles of a family.

    Args:
        data: the family.
        theirs: hyper-parameters of the checkpoint.
        path: name of the checkpoint.
        free: sizes that may differ; see ``free_sizes``.

    Raises:
        InputError: if another size differs; the message names the first.
    """
    others = "vocab_size - num_symbols"  # tokens that are no symbols, which have parameters of their own
    given = {**theirs, others: theirs["vocab_size"] - theirs.get("num_symbols", 0)}
    wanted = {name: getattr(data, name) for name in SIZES}
    wanted[others] = wanted["vocab_size"] - wanted["num_symbols"]
    for name in ("vocab_size", "seq_len") if "vocab_size" not in free else ("seq_len", others):
        if name not in free and wanted[name] != given[name]:
            raise InputError(
                f"{path} was trained with {name} {given[name]}, but {class_path(type(data))} has {wanted[name]}"
            )


def misfits(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], shown: Callable[[str], str] = str) -> str:
    """Return the differences between a state dict and the one expected as a clause, such as "lacks a, b"; "" if none.

    Args:
        state: the state dict.
        expected: the state dict of the network; only its shapes and the kind of its numbers are used.
        shown: returns the name of a tensor in the message.
    """
    both = [(name, tensor, expected[name]) for name, tensor in state.items() if name in expected]
    changed = [
        f"{shown(name)} of shape {tuple(tensor.shape)} in place of {tuple(other.shape)}"
        for name, tensor, other in both
        if tensor.shape != other.shape
    ] + [
        f"{shown(name)} of {tensor.dtype} in place of {other.dtype}"
        for name, tensor, other in both
        if tensor.is_floating_point() != other.is_floating_point()
    ]
    found = {
        "lacks": [shown(name) for name in expected if name not in state],
        "has no use for": [shown(name) for name in state if name not in expected],
        "has": changed,
    }
    return " and ".join(f"{verb} {some(names)}" for verb, names in found.items() if names)


def some(names: Iterable[str]) -> str:
    """Return a list of the first three names, and the number of others."""
    first, *others = names
    shown = [first, *others[:2]]
    return ", ".join(shown) + (f" and {len(others) - 2} more" if len(others) > 2 else "")
