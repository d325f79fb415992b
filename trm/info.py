"""The command ``trm info``: what a checkpoint is, without building anything."""

import json as json_format
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from trm.checkpoint import read_checkpoint
from trm.zoo import find

TABLE = "core.puzzles.weights"
PARTS = {
    "state_dict": "weights",
    "current_model_state": "live weights",
    "optimizer_states": "optimizer",
    "slots": "slots",
}


def info(checkpoint: str, json: bool = False) -> int:
    """Tell what a checkpoint is: family, step, metrics, configuration and sizes.

    Args:
        checkpoint: a file written by ``trm fit``, or the name of a model of the zoo.
        json: print one JSON object.
    """
    facts = describe(checkpoint)
    print(json_format.dumps(facts) if json else _for_people(facts))
    return 0


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
        "model": {name: value for name, value in checkpoint["hyper_parameters"].items() if name[0] != "_"},
        "data": family.get("init_args", {}),
        "bytes": _bytes(checkpoint),
    }


def _bytes(checkpoint: dict[str, Any]) -> dict[str, int]:
    """Add up the tensors of each part; the puzzle table, which two parts share, is a part of its own."""
    table = checkpoint["state_dict"].get(TABLE)
    counted = set() if table is None else {table.data_ptr()}
    sizes = {} if table is None else {"puzzle table": table.nbytes}
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


def _for_people(facts: dict[str, Any]) -> str:
    kind = "averaged" if facts["averaged"] else "not averaged"
    if facts["imported_from"]:
        kind = f"imported from {facts['imported_from']}"
    lines = [
        f"{facts['file']}, {facts['file_bytes']:,} bytes, written by {facts['written_by']}",
        f"family      {facts['family']}",
        f"step        {facts['step']}",
        f"parameters  {facts['parameters']:,} ({kind})",
    ]
    if start := facts["started_from"]:
        step, puzzles = (start[name] or "unknown" for name in ("step", "training_puzzles"))
        lines.append(f"started     from {start['checkpoint']}, step {step}, puzzles {puzzles}")
    for title in ("metrics", "model", "data"):
        lines += ["", title, *(f"  {name} {_short(value)}" for name, value in facts[title].items())]
    return "\n".join([*lines, "", "bytes", *(f"  {name} {size:,}" for name, size in facts["bytes"].items())])


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
