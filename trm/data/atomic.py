"""Atomic writes: a file appears complete or not at all."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from trm.errors import InputError


def check_writable(path: Path, what: str = "") -> None:
    """Check that a file can be written, before its contents are computed.

    Args:
        path: the file; its folder need not exist yet.
        what: words before the path in the message, with a space at the end.

    Raises:
        InputError: if its folder cannot be created or written to.
    """
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise InputError(f"cannot write {what}{path}: {folder} is not a folder that can be written to")


@contextlib.contextmanager
def atomic_write(path: Path, mode: str, hint: str = "") -> Iterator[IO[Any]]:
    """Open a file for writing; it gets its name when the block ends, so a reader never sees a partial file.

    Args:
        path: the file; its folder is created.
        mode: "w" or "wb".
        hint: words after the reason in the message.

    Raises:
        InputError: if it cannot be written; no partial file remains.
    """
    if not path.name:
        raise InputError(f"cannot write {str(path)!r}: it names no file")
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")  # two nodes may have the same process ids
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open(mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # a machine that goes down now must not find the name without the content
        part.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}{hint and '; ' + hint}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
