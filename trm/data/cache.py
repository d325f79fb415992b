"""The folder for downloads and generated puzzles, and arrays on disk that are made once, then read back."""

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from lightning_utilities.core.rank_zero import rank_zero_info
from numpy.typing import NDArray

from trm.data.atomic import atomic_write, check_writable
from trm.data.lock import one_at_a_time
from trm.data.progress import Progress, show_progress
from trm.errors import InputError

CACHE_VARIABLE = "TRM_CACHE"
"""Environment variable that names the folder for downloads and generated puzzles of every data module."""


def cache_folder(root: str | None = None) -> Path:
    """Return the folder for downloads and generated puzzles; it need not exist yet.

    It is ``root`` if that is given; else the folder named by the environment variable ``TRM_CACHE``; else the user's
    cache folder, such as ``~/.cache/trm`` on Linux. It is never inside the project, so that a clone stays as it was
    and checkpoints store no folder of one machine.
    """
    if root is not None:
        return Path(root).expanduser()
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("trm", appauthor=False)).expanduser()


def cache_file(root: Path, name: str, arguments: Mapping[str, Any]) -> Path:
    """Return the file of ``cached_arrays`` with these arguments; it need not exist yet."""
    digest = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()
    return root / f"{name}-{digest[:12]}.npz"


def cached_arrays(
    root: Path,
    name: str,
    arguments: Mapping[str, Any],
    make: Callable[[Progress], Mapping[str, Any]],
    least: int = 0,
) -> dict[str, NDArray[Any]]:
    """Return arrays from the cache in ``root``; if they are not there or too short, generate and store them.

    Args:
        root: folder of the file.
        name: name of the arrays, for the file and for messages.
        arguments: everything that the arrays depend on, in values that JSON can represent.
        make: generates the arrays. Its argument is a function that reports progress, given the numbers of items done
            and wanted. It raises ValueError if it fails.
        least: length that every array must have.

    Raises:
        InputError: if ``make`` fails, or the file cannot be written or read.
    """
    path = cache_file(root, name, arguments)
    if (arrays := _found(path, least)) is not None:
        return arrays
    check_writable(path, f"the cache (data.root or {CACHE_VARIABLE}) ")
    with one_at_a_time(path):
        if (arrays := _found(path, least)) is not None:  # another process has generated them
            return arrays
        rank_zero_info(f"Generating {path}, once")
        try:
            with show_progress(path.stem) as progress:
                made = make(progress)
        except ValueError as error:
            raise InputError(f"cannot generate {name}: {error}") from error
        with atomic_write(path, "wb", f"data.root or {CACHE_VARIABLE} must name a writable folder") as file:
            np.savez_compressed(file, **made)
    return _read(path)


def _found(path: Path, least: int) -> dict[str, NDArray[Any]] | None:
    """Return the arrays of a file; None if there is none or they have less than ``least`` items."""
    if not path.exists():
        return None
    arrays = _read(path)
    return arrays if min(map(len, arrays.values()), default=0) >= least else None


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as stream, np.load(stream) as file:
            return dict(file)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"cannot read {path}: {error}; delete it to have it generated again") from error
