"""Checkpoints: written whole, whenever a run may end; read safely, with one clear sentence about unusable ones."""

import pickle
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from trm.data.atomic import atomic_write
from trm.errors import InputError
from trm.training import checkpoint_keys as keys
from trm.zoo import find

NEEDED = (keys.STATE, keys.HYPER_PARAMETERS, keys.VERSION)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint of this project, a file or a model of the zoo; nothing in it is executed.

    Raises:
        InputError: if the file is missing, cut short, holds code, or is something else.
    """
    checkpoint = read_pickle(path)
    missing = [key for key in NEEDED if not (isinstance(checkpoint, dict) and key in checkpoint)]
    if missing:
        raise InputError(f"{path} is not a checkpoint written by trm: it has no {', '.join(missing)}")
    return _current(checkpoint)


def _current(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint with the names of this version; those of 0.1 had others for three things."""
    parts: dict[str, Any] = {
        key: {
            name.replace("core.puzzles.", "core.puzzle_embedding."): tensor for name, tensor in checkpoint[key].items()
        }
        for key in (keys.STATE, keys.LIVE_STATE)
        if key in checkpoint
    }
    parts[keys.HYPER_PARAMETERS] = {  # Lightning's command line adds two of its own, which no class accepts
        name: value for name, value in checkpoint[keys.HYPER_PARAMETERS].items() if name[0] != "_"
    }
    if keys.SLOTS in checkpoint:
        parts[keys.SLOTS] = [
            {"puzzle_ids" if name == "puzzles" else name: tensor for name, tensor in slots.items()}
            for slots in checkpoint[keys.SLOTS]
        ]
    if keys.FAMILY in checkpoint:
        class_path = checkpoint[keys.FAMILY]["class_path"]
        own, name = class_path.startswith("trm.data."), class_path.rpartition(".")[2]
        parts[keys.FAMILY] = {**checkpoint[keys.FAMILY], "class_path": f"trm.data.{name}" if own else class_path}
    return {**checkpoint, **parts}


def read_pickle(path: str | Path, mmap: bool = False) -> Any:
    """Read what ``torch.save`` wrote, if it is made of tensors and plain values; nothing in it is executed.

    Args:
        path: the file, or the name of a model of the zoo.
        mmap: leave the tensors on the disk until they are used, if the format of the file allows it.

    Raises:
        InputError: if the file is missing, cut short, holds code, or is something else.
    """
    file = find(path)
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=mmap and is_zipfile(file))
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} is not a checkpoint, or holds Python objects beyond tensors and plain values, which are not loaded"
        ) from error
    except (RuntimeError, EOFError, BadZipFile, OSError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} is not a whole checkpoint: {reason}") from error


def refuse_overwriting(path: str | Path, force: bool) -> None:
    """Refuse to write over a file unless ``force`` says so.

    Raises:
        InputError: if there is something already.
    """
    if not force and Path(path).exists():
        raise InputError(f"{path} exists already; --force overwrites it")


class CheckpointFiles(TorchCheckpointIO):
    """How Lightning's trainer writes and reads checkpoints in ``trm``: whole or not at all, and checked.

    Lightning's own way goes through the folder for temporary files: where that is another disk, a kill can leave half
    a checkpoint, and all of it is held in memory once more.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint beside the present one, then let it take its place.

        Raises:
            InputError: if it cannot be written; a file that was there before stays.
        """
        path = Path(path)
        for left_by_a_kill in path.parent.glob(f"{path.name}.*.part"):
            left_by_a_kill.unlink()
        with atomic_write(path, "wb", "what stood there before is untouched") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # torch closes its archive on the way out, and fails at that again
                raise error.__context__ if isinstance(error.__context__, OSError) else error from None

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: bool | None = True) -> Any:
        """Read a checkpoint to the CPU; nothing in it is executed."""
        return read_checkpoint(path)
