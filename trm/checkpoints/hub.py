"""Hub folders: a checkpoint as the Hugging Face hub has it, parameters in safetensors and all else in JSON.

``config.json`` contains what a shared checkpoint contains, by the same keys: the hyper-parameters and the arguments of
the family, each flat. A folder may be anybody's: what is not plain, not needed, or names a local folder is refused.
Classes are named in it, never imported.
"""

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import trm.data
from trm.arguments import defaults_of, listed
from trm.checkpoints.schema import FACTS
from trm.data import Mixture, PuzzleData
from trm.data.hub import CONFIG, MODEL_TYPE, OURS, WEIGHTS, read_config
from trm.errors import InputError
from trm.training import checkpoint_keys as keys
from trm.training.compatibility import some

KNOWN = {MODEL_TYPE, keys.HYPER_PARAMETERS, keys.FAMILY, keys.AVERAGED, *FACTS}
LARGEST_HEADER = 1 << 20
"""Bytes of the largest header of a safetensors file; it lists the tensors, of which a network has dozens."""


def read_folder(folder: Path, name: object) -> dict[str, Any]:
    """Return the content of a hub folder by the keys of a checkpoint; its values are not examined any further.

    Args:
        folder: the folder.
        name: its name, for messages.

    Raises:
        InputError: if a file cannot be read, is not of this format, or contains what no export writes.
    """
    config = _read_config(folder / CONFIG, f"{CONFIG} of {name}")
    state = read_safetensors(folder / WEIGHTS, f"{WEIGHTS} of {name}")
    for key, tensor in state.items():
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise InputError(f"{WEIGHTS} of {name} has {key} in {tensor.dtype}; accepted is torch.float32")
    return {**config, keys.STATE: state}


def _read_config(path: Path, where: str) -> dict[str, Any]:
    config = read_config(path, where)
    if unknown := [key for key in config if key not in KNOWN]:
        raise InputError(f"{where} has {some(unknown)}, which this version does not know; it may be of a newer one")
    del config[MODEL_TYPE]
    if keys.FAMILY in config:
        config[keys.FAMILY] = _family(config[keys.FAMILY], where)
    return config


def _family(family: Any, where: str) -> Any:
    """Return what a configuration has of a family, with the arguments of one of the package as they were."""
    if not (isinstance(family, dict) and isinstance(family.get("init_args"), dict)):
        return family
    named = str(family.get("class_path"))
    kind = getattr(trm.data, named.rpartition(".")[2], None) if named.startswith("trm.data.") else None
    if not (isinstance(kind, type) and issubclass(kind, PuzzleData)):
        return family
    return {**family, "init_args": _arguments(kind, family["init_args"], where)}


def _arguments(kind: type[PuzzleData], given: dict[str, Any], where: str) -> dict[str, Any]:
    """Return arguments of a family of the package as they were before they became JSON, which has no tuples.

    Raises:
        InputError: if one, or one of a family in a mixture, names a file or folder of the reader's machine.
    """
    defaults = defaults_of(kind)
    for name, others in kind.folders.items():
        accepted = tuple(dict.fromkeys((*others, defaults[name], None)))
        if (value := given.get(name)) not in accepted:
            shown = ", ".join(map(repr, accepted))
            raise InputError(f"{where} names a local folder: {name} is {str(value)[:60]!r}; accepted are {shown}")
    found = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    if issubclass(kind, Mixture) and isinstance(given.get("families"), list):
        found["families"] = [_family(family, where) for family in given["families"]]
    return found


def read_safetensors(path: Path, where: str) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, which contains nothing else.

    Raises:
        InputError: if the file is truncated or corrupt, its header is too large, or safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ModuleNotFoundError as error:
        raise InputError(f"reading {where} needs the package safetensors: pip install 'trm[hub]'") from error
    try:
        with path.open("rb") as file:
            header = int.from_bytes(file.read(8), "little")
        if header > LARGEST_HEADER:
            raise InputError(
                f"{where} is truncated or corrupt: its header of {header:,} bytes exceeds the accepted "
                f"{LARGEST_HEADER:,}"
            )
        return load_file(path)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:  # KeyError: of an unknown dtype
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where} is truncated or corrupt: {' '.join(str(error).split())}") from error


def folder_files(model: dict[str, Any], name: str) -> dict[str, bytes]:
    """Return configuration and parameters of a shared checkpoint as the files of a hub folder, by name.

    Args:
        model: the content of ``trm.checkpoints.sharing.shareable``.
        name: name of the checkpoint, for the message.

    Raises:
        InputError: if a value cannot be written as JSON, or safetensors is not installed.
    """
    try:
        from safetensors.torch import save
    except ModuleNotFoundError as error:
        raise InputError("--format hub needs the package safetensors: pip install 'trm[hub]'") from error
    config = {MODEL_TYPE: OURS, **{key: value for key, value in model.items() if key != keys.STATE}}
    metrics = config.get(keys.METRICS, {})  # one that was never finite, such as an undefined AUROC, is left out
    if metrics:
        config[keys.METRICS] = {metric: value for metric, value in metrics.items() if math.isfinite(value)}
    state = {key: tensor.contiguous() for key, tensor in model[keys.STATE].items()}
    return {WEIGHTS: save(state, metadata={"format": "pt"}), CONFIG: _as_json(config, name)}


def _as_json(config: dict[str, Any], name: str) -> bytes:
    """Return a configuration as JSON from which the same values are read; tuples become lists."""
    for key, value in config.items():
        try:
            same = json.loads(json.dumps(value, allow_nan=False)) == listed(value)
        except (TypeError, ValueError):
            same = False
        if not same:
            raise InputError(f"{name} cannot be written for the hub: its {key} has values that JSON does not have")
    return (json.dumps(config, indent=2) + "\n").encode()
