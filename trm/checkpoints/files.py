"""Checkpoint files: atomic writes, and reads that execute nothing and refuse unusable files in one sentence."""

import copy
import pickle
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile, is_zipfile

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from trm.checkpoints.hub import read_folder
from trm.checkpoints.schema import check_content, check_kinds, check_size
from trm.data.atomic import atomic_write
from trm.errors import InputError
from trm.training import checkpoint_keys as keys
from trm.training.compatibility import current, renamed
from trm.zoo import find

CODE = "only tensors and plain values are loaded"


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Return the content of a checkpoint in names of this version: of a file, a hub folder, or a model by its name.

    This is the only reader of checkpoints, and everything is checked here, before anything is built: the checksums of
    the file, and what ``trm.checkpoints.schema`` checks. Nothing in the file is executed.

    Raises:
        InputError: if the file is missing or corrupt, contains code, or is not a checkpoint.
    """
    checkpoint = _current(check_kinds(_read_archive(path), path))
    check_content(checkpoint, path)
    return copy.deepcopy(checkpoint)  # into memory: the file may change


def read_facts(path: str | Path) -> dict[str, Any]:
    """Return the content of a checkpoint for its facts alone: its tensors stay on disk and are not examined.

    Raises:
        InputError: if the file is missing or corrupt, contains code, or is not a checkpoint.
    """
    return _current(check_kinds(_read_archive(path, checksums=False), path))


def _current(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint with the names and values of this version, which differ from earlier ones in a few places."""
    parts: dict[str, Any] = {
        key: {
            name.replace("core.puzzles.", "core.puzzle_embedding."): tensor.detach()
            for name, tensor in checkpoint[key].items()
        }
        for key in (keys.STATE, keys.LIVE_STATE)
        if key in checkpoint
    }
    hyper_parameters = renamed(current(checkpoint[keys.HYPER_PARAMETERS]))  # two that Lightning adds are of no class
    parts[keys.HYPER_PARAMETERS] = {name: value for name, value in hyper_parameters.items() if not name.startswith("_")}
    if keys.SLOTS in checkpoint:
        parts[keys.SLOTS] = [
            {"puzzle_ids" if name == "puzzles" else name: tensor for name, tensor in slots.items()}
            for slots in checkpoint[keys.SLOTS]
        ]
    for key in (keys.FAMILY, keys.MODULE):
        if key in checkpoint:
            path, arguments = checkpoint[key]["class_path"], current(checkpoint[key]["init_args"])
            path = f"trm.data.{path.rpartition('.')[2]}" if path.startswith("trm.data.") else path
            if key == keys.MODULE and hyper_parameters.keys() != checkpoint[keys.HYPER_PARAMETERS].keys():
                arguments = renamed(arguments)  # else a name of before may be that of an argument of the user's own
            parts[key] = {"class_path": path, "init_args": arguments}
    return {**checkpoint, **parts}


def read_pickle(path: str | Path) -> Any:
    """Return what ``torch.save`` wrote, if it consists of tensors and plain values; nothing in it is executed.

    Raises:
        InputError: if the file is missing or corrupt, contains code, or was not written by ``torch.save``.
    """
    file = find(path)
    if file.is_dir() or is_zipfile(file):
        return _read_archive(path)
    return _load(path, mmap=False)  # of torch before 1.6, without checksums


def _read_archive(path: str | Path, checksums: bool = True) -> Any:
    """Return what ``torch.save`` wrote to an archive, or a hub folder contains.

    The tensors of an archive are read from disk when they are used.

    Args:
        path: the file, the hub folder, or the name of a model.
        checksums: compare the checksums of the archive, which ``torch.load`` does not.
    """
    file = find(path)
    if file.is_dir():
        content = read_folder(file, path)
        check_size(content, sum(part.stat().st_size for part in file.iterdir() if part.is_file()), path)
        return content
    try:
        if not is_zipfile(file):
            with file.open("rb") as stream:
                if stream.read(2) == b"PK":
                    raise InputError(f"{path} is truncated or corrupt: the end of its zip archive is missing")
            raise InputError(f"{path} is not a checkpoint: torch.save writes a zip archive, and this is none")
        with ZipFile(file) as archive:
            members = archive.infolist()
            names = {member.filename for member in members}
            plain = all(member.compress_type == ZIP_STORED for member in members) and len(names) == len(members)
            if not plain or sum(member.file_size for member in members) > file.stat().st_size:
                raise InputError(f"{path} is not a checkpoint: torch.save neither compresses nor repeats a member")
            if not any(name.endswith("/data.pkl") for name in names):
                raise InputError(f"{path} is not a checkpoint: it is a zip archive, but not one of torch.save")
            if checksums and (bad := archive.testzip()):
                raise InputError(f"{path} is truncated or corrupt: the checksum of {bad} in it is wrong")
    except InputError:
        raise
    except Exception as error:  # a damaged archive raises whatever zipfile stumbles over
        raise InputError(f"{path} is truncated or corrupt: {_reason(error)}") from error
    content = _load(path, mmap=True)
    check_size(content, file.stat().st_size, path)
    return content


def _load(path: str | Path, mmap: bool) -> Any:
    """Call ``torch.load``; with ``mmap``, it accepts no tensor beyond the end of the file."""
    try:
        return torch.load(find(path), map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        raise InputError(f"{path} is not a checkpoint, or contains Python objects; {CODE}") from error
    except Exception as error:  # a damaged pickle raises whatever its instructions stumble over
        raise InputError(f"{path} is truncated or corrupt: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


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
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        with atomic_write(Path(path), "wb", "what stood there before is untouched") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # torch closes its archive on the way out, and fails at that again
                raise error.__context__ if isinstance(error.__context__, OSError) else error from None

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: bool | None = True) -> Any:
        """Return the content of a checkpoint, on the CPU; nothing in it is executed.

        Raises:
            InputError: if it is not what ``read_checkpoint`` accepts. A remote file is read unchecked.
        """
        if "://" in str(path):
            return super().load_checkpoint(path, map_location, weights_only)
        return read_checkpoint(path)
