"""Facts about a checkpoint, its training puzzles and its costs, from its content alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from trm.checkpoints.files import read_checkpoint
from trm.provenance import digest
from trm.training import checkpoint_keys as keys
from trm.zoo import find

COSTS = ("core_seconds", "device_seconds")  # costs of training, counted by the callback Speed
PARTS = {
    keys.STATE: "parameters",
    keys.LIVE_STATE: "live parameters",
    keys.OPTIMIZERS: "optimizer",
    keys.SLOTS: "slots",
}
"""Parts of a checkpoint that contain tensors."""


def is_averaged(checkpoint: dict[str, Any]) -> bool:
    """Return whether the parameters that evaluation uses are an average."""
    return bool(checkpoint.get(keys.AVERAGED, keys.LIVE_STATE in checkpoint))


def weights_digest(checkpoint: dict[str, Any]) -> str:
    """Return the digest of the parameters and buffers of a checkpoint that evaluation uses."""
    return digest(checkpoint[keys.STATE][name] for name in sorted(checkpoint[keys.STATE]))


def training_puzzles(checkpoint: dict[str, Any]) -> int | None:
    """Return the number of puzzles that all runs behind a checkpoint were trained on; None if one is unknown.

    The puzzles of one run are counted once each; the counts of several runs are added.
    """
    if keys.IMPORTED_FROM in checkpoint:
        return None
    earlier: int | None = checkpoint.get(keys.STARTED_FROM, {keys.TRAINING_PUZZLES: 0})[keys.TRAINING_PUZZLES]
    own = checkpoint.get(keys.TRAINING_PUZZLES) or checkpoint.get(keys.FAMILY, {}).get("init_args", {}).get(
        "train_size"
    )
    return int(own) + earlier if own and earlier is not None else None


def cost(checkpoint: dict[str, Any], kind: str) -> float | None:
    """Return the seconds of training of all runs behind a checkpoint; None if one of them was not counted.

    Args:
        checkpoint: content of a checkpoint. The callback ``Speed`` counts the seconds; an exported checkpoint has those
            that it last logged.
        kind: one of ``COSTS``.
    """
    logged = {name.removeprefix("cost/"): value for name, value in checkpoint.get(keys.METRICS, {}).items()}
    counted = next((state for state in checkpoint.get(keys.CALLBACKS, {}).values() if kind in state), logged)
    earlier = checkpoint.get(keys.STARTED_FROM, {kind: 0.0}).get(kind)
    if earlier is None or not any(name in counted for name in COSTS):
        return None
    return float(counted.get(kind, 0.0) + earlier)


def describe(path: str | Path) -> dict[str, Any]:
    """Return facts about a checkpoint in plain values; ``bytes`` are those of its tensors, each counted once.

    Raises:
        InputError: if it cannot be read.
    """
    checkpoint = read_checkpoint(path)
    family = checkpoint.get(keys.FAMILY, {})
    weights = {name: tensor for name, tensor in checkpoint[keys.STATE].items() if name != keys.PUZZLE_EMBEDDING}
    buffers = ("core.y_init", "core.z_init")
    return {
        "file": str(path),
        "file_bytes": sum(file.stat().st_size for file in _files(find(path))),
        "written_by": f"trm {checkpoint[keys.VERSION]}",
        "family": family.get("class_path"),
        "step": checkpoint.get(keys.STEP),
        "parameters": sum(tensor.numel() for name, tensor in weights.items() if name not in buffers),
        "averaged": is_averaged(checkpoint),
        "imported_from": checkpoint.get(keys.IMPORTED_FROM),
        "started_from": checkpoint.get(keys.STARTED_FROM),
        "inference": checkpoint.get(keys.INFERENCE),
        "metrics": checkpoint.get(keys.METRICS, {}),
        "model": checkpoint[keys.HYPER_PARAMETERS],
        "data": family.get("init_args", {}),
        "bytes": _bytes(checkpoint),
    }


def _files(path: Path) -> list[Path]:
    """Return the files of a checkpoint: itself, or those in a hub folder."""
    return [file for file in path.iterdir() if file.is_file()] if path.is_dir() else [path]


def _bytes(checkpoint: dict[str, Any]) -> dict[str, int]:
    """Return the bytes of each part; the puzzle embedding, which two parts share, is a part of its own."""
    table = checkpoint[keys.STATE].get(keys.PUZZLE_EMBEDDING)
    counted = set() if table is None else {table.data_ptr()}
    sizes = {} if table is None else {"puzzle embedding": table.nbytes}
    for key, name in PARTS.items():
        fresh = [tensor for tensor in _tensors(checkpoint.get(key)) if tensor.data_ptr() not in counted]
        counted |= {tensor.data_ptr() for tensor in fresh}
        sizes[name] = sum(tensor.nbytes for tensor in fresh)
    return {name: size for name, size in sizes.items() if size}


def _tensors(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, (dict, list, tuple)):
        for branch in tree.values() if isinstance(tree, dict) else tree:
            yield from _tensors(branch)
