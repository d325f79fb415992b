"""What a checkpoint is: facts, training puzzles and costs, without building anything."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from trm.checkpoints.files import read_checkpoint
from trm.provenance import digest
from trm.training import checkpoint_keys as keys
from trm.zoo import find

COSTS = ("core_seconds", "device_seconds")  # of training, which the callback Speed counts
PARTS = {
    keys.STATE: "weights",
    keys.LIVE_STATE: "live weights",
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
    """Return how many puzzles a checkpoint has been trained on, by all runs that led to it; None where one is unknown.

    Those of a run are told apart, those of several runs are added up.
    """
    if keys.IMPORTED_FROM in checkpoint:
        return None
    earlier: int | None = checkpoint.get(keys.STARTED_FROM, {keys.TRAINING_PUZZLES: 0})[keys.TRAINING_PUZZLES]
    own = checkpoint.get(keys.TRAINING_PUZZLES) or checkpoint.get(keys.FAMILY, {}).get("init_args", {}).get(
        "train_size"
    )
    return int(own) + earlier if own and earlier is not None else None


def cost(checkpoint: dict[str, Any], kind: str) -> float | None:
    """Return the seconds that all runs which led to a checkpoint have cost; None where one of them was not counted.

    Args:
        checkpoint: of a run that had the callback ``Speed``, which counts them; of an exported one what it last logged.
        kind: one of ``COSTS``.
    """
    logged = {name.removeprefix("cost/"): value for name, value in checkpoint.get(keys.METRICS, {}).items()}
    counted = next((state for state in checkpoint.get(keys.CALLBACKS, {}).values() if kind in state), logged)
    earlier = checkpoint.get(keys.STARTED_FROM, {kind: 0.0}).get(kind)
    if earlier is None or not any(name in counted for name in COSTS):
        return None
    return float(counted.get(kind, 0.0) + earlier)


def describe(path: str | Path) -> dict[str, Any]:
    """Return the facts about a checkpoint, as plain values; ``bytes`` are of tensors, each counted once.

    Raises:
        InputError: if it cannot be read.
    """
    checkpoint = read_checkpoint(path)
    family = checkpoint.get(keys.FAMILY, {})
    weights = {name: tensor for name, tensor in checkpoint[keys.STATE].items() if name != keys.PUZZLE_EMBEDDING}
    buffers = ("core.y_init", "core.z_init")
    return {
        "file": str(path),
        "file_bytes": find(path).stat().st_size,
        "written_by": f"trm {checkpoint[keys.VERSION]}",
        "family": family.get("class_path"),
        "step": checkpoint.get(keys.STEP),
        "parameters": sum(tensor.numel() for name, tensor in weights.items() if name not in buffers),
        "averaged": is_averaged(checkpoint),
        "imported_from": checkpoint.get(keys.IMPORTED_FROM),
        "started_from": checkpoint.get(keys.STARTED_FROM),
        "metrics": checkpoint.get(keys.METRICS, {}),
        "model": checkpoint[keys.HYPER_PARAMETERS],
        "data": family.get("init_args", {}),
        "bytes": _bytes(checkpoint),
    }


def _bytes(checkpoint: dict[str, Any]) -> dict[str, int]:
    """Add up the tensors of each part; the puzzle embedding, which two parts share, is a part of its own."""
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
