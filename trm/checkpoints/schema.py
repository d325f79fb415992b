"""What the content of a checkpoint must be before anything is built from it.

It is examined nowhere else: kinds of the values, sizes, finite numbers, arguments that this version knows, and shapes,
which are compared with those of the network without allocating it.
"""

from collections.abc import Callable, Iterator, Mapping
from inspect import Parameter
from reprlib import Repr
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import torch
from packaging.version import Version
from torch import Tensor, nn

import trm
from trm.arguments import find_class, parameters_of
from trm.data import PuzzleData
from trm.errors import InputError
from trm.inference.choice import InferenceChoice
from trm.module import TRMModule
from trm.nn import NETWORKS, TRM
from trm.training import checkpoint_keys as keys
from trm.training.compatibility import misfits

OLDEST_LIGHTNING = Version("2.0")
DEEPEST, MOST_VALUES, LARGEST_INT = 50, 1_000_000, 10**100
"""Limits of nested values; checkpoints are far below them."""

CLASS = {"class_path": str, "init_args": dict[str, Any]}
ORIGIN = {
    "checkpoint": str,
    "weights": str,
    "step": int | None,
    keys.TRAINING_PUZZLES: int | None,
    "core_seconds": float | None,
    "device_seconds": float | None,
}
NEEDED: dict[str, Any] = {
    keys.STATE: dict[str, Tensor],
    keys.HYPER_PARAMETERS: dict[str, Any],
    keys.VERSION: str,
    keys.LIGHTNING_VERSION: str,
}
OPTIONAL: dict[str, Any] = {
    keys.LIVE_STATE: dict[str, Tensor],
    keys.AVERAGING: dict[str, Any],
    keys.OPTIMIZERS: list[dict[str, Any]],
    keys.CALLBACKS: dict[str, dict[Any, Any]],
    keys.STEP: int,
    keys.MODULE: CLASS,
    keys.FAMILY: CLASS,
    keys.TRAINING_PUZZLES: int,
    keys.TRAINING_HASH: str,
    keys.EARLIER_PUZZLES: int,
    keys.SETTINGS: dict[str, str | float | bool | None],
    keys.TABLE_HASH: str,
    keys.HELD_OUT: dict[str, Tensor],
    keys.TOKENS: list[str],
    keys.METRICS: dict[str, float],
    keys.SEED: int,
    keys.SLOTS: list[dict[str, Tensor]],
    keys.BATCH_METRICS: list[Tensor],
    keys.STARTED_FROM: ORIGIN,
    keys.AVERAGED: bool,
    keys.IMPORTED_FROM: str,
    keys.INFERENCE: dict(InferenceChoice.__annotations__),
}
"""Kinds of the values that the program reads, by key: a type, or a dictionary with a type for each of its keys."""
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
    keys.TOKENS,
    keys.SEED,
    keys.INFERENCE,
)
"""Keys that a shared checkpoint keeps: its version, class and origin."""
OF_CALLBACKS: dict[str, Any] = {
    "best_model_path": str,
    "best_k_models": dict[str, Tensor],
    "latest_update_step": int,
    "core_seconds": float,
    "device_seconds": float,
    "tflop": float,
}
"""Kinds of what callbacks of this package read of their own state."""

SHORT = Repr()
SHORT.maxstring = SHORT.maxother = 60


def check_size(content: Any, most: int, path: object) -> None:
    """Check that values are not nested without end, and that tensors are no larger than the file that they are from.

    Args:
        content: what ``torch.load`` returned.
        most: size of the file in bytes.
        path: name of the file.

    Raises:
        InputError: naming what is too large.
    """
    storages: set[int] = set()
    total = 0
    for count, value in enumerate(_values(content, 0)):
        if value is None or count > MOST_VALUES:
            raise InputError(f"{path} is damaged: its values are nested too deeply, or too many")
        if isinstance(value, int) and abs(value) > LARGEST_INT:
            raise InputError(f"{path} is damaged: it contains a number of {value.bit_length():,} bits")
        if isinstance(value, Tensor):
            if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
                raise InputError(f"{path} contains a {value.layout} tensor on {value.device}; accepted are dense ones")
            storage = value.untyped_storage()
            total += 0 if storage.data_ptr() in storages else storage.nbytes()
            storages.add(storage.data_ptr())
            if value.numel() * value.itemsize > storage.nbytes() or total > most:
                raise InputError(f"{path} is damaged: a tensor of shape {tuple(value.shape)} is larger than the file")


def check_kinds(checkpoint: Any, path: object) -> dict[str, Any]:
    """Check that the content of a file has the structure of a checkpoint, and return it; numbers are not looked at.

    Raises:
        InputError: naming what is missing or of another kind.
    """
    missing = [key for key in NEEDED if not (isinstance(checkpoint, dict) and key in checkpoint)]
    if missing:
        raise InputError(f"{path} is not a checkpoint written by trm: it lacks {', '.join(missing)}")
    for key, kind in {**NEEDED, **OPTIONAL}.items():
        if key in checkpoint:
            _check_kind(checkpoint[key], kind, key, path)
    for name, state in checkpoint.get(keys.CALLBACKS, {}).items():
        for field in OF_CALLBACKS.keys() & state.keys():
            _check_kind(state[field], OF_CALLBACKS[field], f"{name}, {field}", path)
    try:
        old = Version(checkpoint[keys.LIGHTNING_VERSION]) < OLDEST_LIGHTNING
    except ValueError:  # of its number, or of one of thousands of digits
        old = True
    if old:
        lightning = SHORT.repr(checkpoint[keys.LIGHTNING_VERSION])
        raise InputError(f"{path} was written by Lightning {lightning}, which trm never used")
    return checkpoint  # type: ignore[no-any-return]


def check_content(checkpoint: dict[str, Any], path: object) -> None:
    """Check arguments, shapes and numbers of a checkpoint, in names of this version.

    Shapes are compared if the classes of network and module are of this package, so that nothing has to be imported.

    Raises:
        InputError: naming what this version does not know, what does not fit, or what is not a finite number.
    """
    hyper_parameters, version = checkpoint[keys.HYPER_PARAMETERS], checkpoint[keys.VERSION]
    family = checkpoint.get(keys.FAMILY, {"class_path": ""})
    if family["class_path"].startswith("trm.data."):
        kind = find_class(family["class_path"], PuzzleData, f"{path}, written by trm {version}, was trained on")
        check_arguments(kind, family["init_args"], version, path)
    if keys.MODULE not in checkpoint:
        check_arguments(TRMModule, hyper_parameters, version, path)
        if hyper_parameters.get("network", "trm") in NETWORKS:
            check_shapes(lambda: TRMModule(**hyper_parameters), checkpoint, path)
    if hyper_parameters.get("check_finite") != "never":
        _check_finite(checkpoint, path)


def check_arguments(kind: type, arguments: Mapping[str, Any], version: str, path: object) -> None:
    """Check that this version of a class accepts the arguments that a checkpoint has for it.

    Args:
        kind: the class.
        arguments: its arguments by name.
        version: the version that wrote the checkpoint.
        path: name of the checkpoint.

    Raises:
        InputError: naming an argument that does not exist, with both versions, or that has a value of another kind.
    """
    known = parameters_of(kind) | (parameters_of(TRM) if issubclass(kind, TRMModule) else {})
    for name, value in arguments.items():
        if name not in known:
            raise InputError(
                f"{path}, written by trm {version}, does not fit this version, {trm.__version__}: {kind.__name__} has "
                f"no argument {name!r}"
            )
        annotation = known[name].annotation
        if annotation is not Parameter.empty and not _fits(value, annotation):
            wanted = annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")
            raise InputError(f"{path} is damaged: {name} is {SHORT.repr(value)}, but must be {wanted}")


def check_shapes(build: Callable[[], nn.Module], checkpoint: dict[str, Any], path: object) -> None:
    """Compare the tensors of a checkpoint with those of the module that its arguments describe, without memory.

    Raises:
        InputError: if the module cannot be built, or a tensor is missing, superfluous or of another shape.
    """
    try:
        with torch.device("meta"):
            expected = build().state_dict()
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:  # RuntimeError: sizes beyond 64 bits
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}, written by trm {checkpoint[keys.VERSION]}, cannot be built here: {reason}"
        ) from error
    for key in (keys.STATE, keys.LIVE_STATE):
        if faults := misfits(checkpoint.get(key, expected), expected):
            raise InputError(f"{path} does not fit the network that it describes: its {key} {faults}")


def _check_finite(checkpoint: dict[str, Any], path: object) -> None:
    for key in (keys.STATE, keys.LIVE_STATE):
        for name, tensor in checkpoint.get(key, {}).items():
            if tensor.is_floating_point() and not tensor.sum(dtype=torch.float64).isfinite():
                raise InputError(f"{path} is damaged: {name} contains numbers that are not finite")


def _values(tree: Any, depth: int) -> Iterator[Any]:
    """Yield the numbers and tensors of nested values; None where they are too deep."""
    if isinstance(tree, (dict, list, tuple)):
        yield 0  # counts, though it is empty
        if depth == DEEPEST:
            yield None
            return
        for branch in (*tree.keys(), *tree.values()) if isinstance(tree, dict) else tree:
            yield from _values(branch, depth + 1)
    else:
        yield tree if isinstance(tree, (int, Tensor)) else 0


def _check_kind(value: Any, kind: Any, name: str, path: object) -> None:
    if isinstance(kind, dict):
        _check_kind(value, dict[str, Any], name, path)
        for key, part in kind.items():
            if key not in value:
                raise InputError(f"{path} is damaged: its {name} lacks {key}")
            _check_kind(value[key], part, f"{name}, {key},", path)
    elif not _fits(value, kind):
        wanted = kind.__name__ if isinstance(kind, type) else str(kind).replace("torch.", "").replace("typing.", "")
        raise InputError(f"{path} is damaged: its {name} is {SHORT.repr(value)}, but must be {wanted}")


def _fits(value: Any, kind: Any) -> bool:
    """Return whether a value is of a kind, as annotations of this package name kinds."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if kind is PuzzleData and isinstance(value, dict):  # a family of a mixture, which is not built here
        return value.keys() == CLASS.keys() and all(_fits(value[key], part) for key, part in CLASS.items())
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Literal:
        return isinstance(value, (str, int, NoneType)) and value in parts
    if origin is dict:
        return isinstance(value, dict) and all(_fits(k, parts[0]) and _fits(v, parts[1]) for k, v in value.items())
    if origin is list or (origin is tuple and parts[1:] == (Ellipsis,)):
        return isinstance(value, (list, tuple)) and all(_fits(part, parts[0]) for part in value)
    if origin is tuple:
        return isinstance(value, (list, tuple)) and len(value) == len(parts) and all(map(_fits, value, parts))
    return isinstance(value, origin or kind or NoneType)
