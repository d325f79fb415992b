"""Checkpoint files: atomic writes, and reads that execute nothing and refuse unusable files in one sentence."""

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
    """Return the content of a checkpoint, a file or a model of the zoo; nothing in it is executed.

    Raises:
        InputError: if the file is missing or corrupt, contains code, or is not a checkpoint.
    """
    checkpoint = read_pickle(path)
    missing = [key for key in NEEDED if not (isinstance(checkpoint, dict) and key in checkpoint)]
    if missing:
        raise InputError(f"{path} is not a checkpoint written by trm: it lacks {', '.join(missing)}")
    return _current(checkpoint)


def _current(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint with the names of this version, which differ from those of 0.1 in three places."""
    parts: dict[str, Any] = {
        key: {
            name.replace("core.puzzles.", "core.puzzle_embedding."): tensor for name, tensor in checkpoint[key].items()
        }
        for key in (keys.STATE, keys.LIVE_STATE)
        if key in checkpoint
    }
    parts[keys.HYPER_PARAMETERS] = {  # without two that Lightning's command line adds and no class accepts
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
    """Return what ``torch.save`` wrote, if it consists of tensors and plain values; nothing in it is executed.

    Args:
        path: the file, or the name of a model of the zoo.
        mmap: read the tensors from disk only when they are used, if the format of the file allows it.

    Raises:
        InputError: if the file is missing or corrupt, contains code, or is not a checkpoint.
    """
    file = find(path)
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=mmap and is_zipfile(file))
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} is not a checkpoint, or contains Python objects; only tensors and plain values are loaded"
        ) from error
    except (RuntimeError, EOFError, BadZipFile, OSError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} is truncated or corrupt: {reason}") from error


def refuse_overwriting(path: str | Path, force: bool) -> None:
    """Refuse to overwrite a file, unless ``force`` is true.

    Raises:
        InputError: if the path exists.
    """
    if not force and Path(path).exists():
        raise InputError(f"{path} exists already; --force overwrites it")


class CheckpointFiles(TorchCheckpointIO):
    """Lightning plugin that writes checkpoints atomically and checks them when it reads them.

    Lightning itself writes to the folder for temporary files first. If that is on another disk, a kill can leave a
    truncated checkpoint, and a copy of the checkpoint is held in memory.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint to a temporary file beside ``path``, then rename it to ``path``.

        Raises:
            InputError: if it cannot be written; an existing file is left untouched.
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
        """Return the content of a checkpoint, on the CPU; nothing in it is executed."""
        return read_checkpoint(path)
