"""What a checkpoint is: facts, training puzzles and costs, without building anything."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from trm.checkpoints.files import read_checkpoint
from trm.zoo import find

COSTS = ("core_seconds", "device_seconds")  # of training, which the callback Speed counts


def training_puzzles(checkpoint: dict[str, Any]) -> int | None:
    """Return how many puzzles a checkpoint has been trained on, by all runs that led to it; None where one is unknown.

    Those of a run are told apart, those of several runs are added up.
    """
    if "imported_from" in checkpoint:
        return None
    earlier: int | None = checkpoint.get("started_from", {"training_puzzles": 0})["training_puzzles"]
    own = checkpoint.get("training_puzzles") or checkpoint.get("family", {}).get("init_args", {}).get("train_size")
    return int(own) + earlier if own and earlier is not None else None


def cost(checkpoint: dict[str, Any], kind: str) -> float | None:
    """Return the seconds that all runs which led to a checkpoint have cost; None where one of them was not counted.

    Args:
        checkpoint: of a run that had the callback ``Speed``, which counts them; of an exported one what it last logged.
        kind: one of ``COSTS``.
    """
    logged = {name.removeprefix("cost/"): value for name, value in checkpoint.get("metrics", {}).items()}
    counted = next((state for state in checkpoint.get("callbacks", {}).values() if kind in state), logged)
    earlier = checkpoint.get("started_from", {kind: 0.0}).get(kind)
    if earlier is None or not any(name in counted for name in COSTS):
        return None
    return float(counted.get(kind, 0.0) + earlier)


TABLE = "core.puzzle_embedding.weights"


PARTS = {
    "state_dict": "weights",
    "current_model_state": "live weights",
    "optimizer_states": "optimizer",
    "slots": "slots",
}


def describe(path: str | Path) -> dict[str, Any]:
    """Return the facts about a checkpoint, as plain values; ``bytes`` are of tensors, each counted once.

    Raises:
        InputError: if it cannot be read.
    """
    checkpoint = read_checkpoint(path)
    family = checkpoint.get("family", {})
    weights = {name: tensor for name, tensor in checkpoint["state_dict"].items() if name != TABLE}
    buffers = ("core.y_init", "core.z_init")
    return {
        "file": str(path),
        "file_bytes": find(path).stat().st_size,
        "written_by": f"trm {checkpoint['trm_version']}",
        "family": family.get("class_path"),
        "step": checkpoint.get("global_step"),
        "parameters": sum(tensor.numel() for name, tensor in weights.items() if name not in buffers),
        "averaged": checkpoint.get("averaged", "current_model_state" in checkpoint),
        "imported_from": checkpoint.get("imported_from"),
        "started_from": checkpoint.get("started_from"),
        "metrics": checkpoint.get("metrics", {}),
        "model": checkpoint["hyper_parameters"],
        "data": family.get("init_args", {}),
        "bytes": _bytes(checkpoint),
    }


def _bytes(checkpoint: dict[str, Any]) -> dict[str, int]:
    """Add up the tensors of each part; the puzzle embedding, which two parts share, is a part of its own."""
    table = checkpoint["state_dict"].get(TABLE)
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
