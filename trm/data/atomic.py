"""Atomic writes: a file, or a folder of files, appears complete or not at all."""

import contextlib
import ctypes
import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from trm.errors import InputError

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

PART = re.compile(r".+\.[0-9a-f]{8}\.part", re.DOTALL)
"""Names of files that are being written, or that a kill has left behind."""
CHECKPOINT = ("a checkpoint", ".ckpt", ".pt", ".pth")
"""The format of a checkpoint and its endings, for ``check_ending``."""
FORMATS = dict.fromkeys(CHECKPOINT[1:], CHECKPOINT[0])
FORMATS |= {".safetensors": "safetensors", ".onnx": "an ONNX model", ".pt2": "a program of torch.export"}
FORMATS |= dict.fromkeys((".yaml", ".yml"), "a configuration")
FORMATS |= {".csv": "a table", ".json": "JSON", ".jsonl": "lines of JSON", ".html": "a page"}
FORMATS |= {".svg": "a picture", ".png": "a PNG", ".gif": "a GIF"}
FORMATS |= {".tsv": "a table", ".ndjson": "lines of JSON", ".npy": "an array of numpy", ".npz": "arrays of numpy"}
FORMATS |= {".txt": "text", ".md": "text", ".py": "a program", ".gz": "a compressed file", ".zip": "an archive"}
"""Endings of names of files, and what they stand for."""
LONGEST_NAME = 200
"""Bytes of a file's name that the name of its partial file repeats; file systems accept 255."""


def check_writable(path: Path, what: str = "") -> None:
    """Check that a file can be written, before its contents are computed.

    Args:
        path: the file; its folder need not exist yet.
        what: words before the path in the message, with a space at the end.

    Raises:
        InputError: if its folder cannot be created or written to, or there is something that cannot be overwritten: a
            folder, a socket, a block device, or a file without permission to write.
    """
    try:
        is_stream, target = _is_stream(path), Path(os.path.realpath(path))
        if path.exists() and not os.access(path, os.W_OK):
            raise InputError(f"cannot write {what}{path}: Permission denied")
        if is_stream:
            return
        folder = next(folder for folder in target.parents if folder.exists())
    except OSError as error:
        raise InputError(f"cannot write {what}{path}: {error.strerror}") from error
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise InputError(f"cannot write {what}{path}: {folder} is not a folder that can be written to")


def refuse_overwriting(path: str | Path, force: bool, *sources: str | Path) -> None:
    """Check that a file can be written, and that it does not exist, unless ``force`` is true.

    A pipe or character device, such as /dev/stdout, is written to and needs no ``force``. The files ``sources``, from
    which the contents are computed, are never overwritten: they contain more than what is written.

    Raises:
        InputError: if it exists or cannot be written.
    """
    check_writable(Path(path))
    if Path(path).is_file() and any(_is_same(Path(path), Path(source)) for source in sources):
        raise InputError(f"{path} is the file that is read; choose another one to write to")
    if not force and os.path.lexists(path) and not _is_stream(Path(path)):
        raise InputError(f"{path} exists already; --force overwrites it")


def _is_same(file: Path, source: Path) -> bool:
    """Return whether a file is that of a source."""
    try:
        return source.samefile(file)
    except (OSError, ValueError):  # there is none: the source is the name of a model, or the text of a puzzle
        return False


def check_ending(path: str | Path, what: str, *accepted: str) -> None:
    """Check that the name of a file to write does not end as that of another format.

    Args:
        path: the file; a name without an ending, or with one of no format, is accepted.
        what: what is written, such as "a checkpoint".
        accepted: endings of its format.

    Raises:
        InputError: if the ending is that of another format.
    """
    name = Path(path)
    if (ending := name.suffix.lower()) in FORMATS and ending not in accepted:
        raise InputError(
            f"output is {str(path)!r}, but {what} is written, not {FORMATS[ending]}; accepted is a name such as "
            f"{name.with_suffix(accepted[0]).name}"
        )


@contextlib.contextmanager
def atomic_write(path: Path, mode: str, hint: str = "") -> Iterator[IO[Any]]:
    """Open a file for writing; it gets its name when the block ends, so a reader never sees a partial file.

    An existing file keeps its permissions, and a symbolic link stays and leads to the new file. A pipe or character
    device is written to directly. Files that killed processes have left behind in the folder are removed.

    Args:
        path: the file; its folder is created.
        mode: "w", which writes UTF-8, or "wb".
        hint: words after the reason in the message.

    Raises:
        InputError: if it cannot be written; no partial file remains.
    """
    encoding = None if "b" in mode else "utf-8"
    try:
        if not path.name:
            raise InputError(f"cannot write {str(path)!r}: it names no file")
        if _is_stream(path):
            with open(_open_stream(path), mode, encoding=encoding) as stream:
                yield stream
            return
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(target.parent)
        part, descriptor = _create_part(target)
        try:
            with open(descriptor, mode, encoding=encoding) as file:  # noqa: PTH123 - a descriptor
                if target.exists():
                    shutil.copymode(target, part)
                yield file
                file.flush()
                os.fsync(file.fileno())  # a machine that goes down now must not find the name without the content
                part.replace(target)
        finally:
            with contextlib.suppress(OSError):
                part.unlink()
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}{hint and '; ' + hint}") from error


def check_folder(folder: Path, names: Collection[str], force: bool, what: str, source: str | Path = "") -> None:
    """Check that ``atomic_folder`` may write to a folder: a new or empty one, or with ``force`` an earlier one.

    Args:
        folder: the folder.
        names: names of all files that such a folder may have.
        force: whether an earlier one may be replaced.
        what: what the folder is, such as "page", for the message.
        source: file or folder from which the contents are computed, which is never overwritten.

    Raises:
        InputError: if there is anything else in the folder, a file without ``force``, or it cannot be replaced.
    """
    check_writable(folder / next(iter(names)))
    target = Path(os.path.realpath(folder))
    try:
        present = sorted(path.name for path in target.iterdir()) if target.exists() else []
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror}") from error
    strange = [name for name in present if name not in names and not PART.fullmatch(name)]
    if strange:
        raise InputError(
            f"{folder} contains {strange[0]}, which is no file of a {what}; accepted is a new or empty folder, or with "
            f"--force that of an earlier {what}"
        )
    for name in names:
        refuse_overwriting(folder / name, force, Path(source, name) if source and Path(source).is_dir() else source)
    if target.exists() and Path.cwd().is_relative_to(target):
        raise InputError(f"{folder} is the folder that the command runs in, which cannot be replaced; name another one")
    if target.exists() and not os.access(target.parent, os.W_OK):
        raise InputError(f"cannot write {folder}: {target.parent} is not a folder that can be written to")


def atomic_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder with these files; it gets its name when all are written, so nobody sees a part of them.

    A folder of that name is replaced whole, in one step where the system can exchange two names (Linux); elsewhere a
    kill between two steps leaves it beside, with the ending .old. It keeps its permissions and those of its files.

    Raises:
        InputError: if it cannot be written; no partial folder remains, and one that was there is as before.
    """
    target = Path(os.path.realpath(folder))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(target.parent)
        part, descriptor = _create_part(target, is_folder=True)
        try:
            for name, content in files.items():
                with (part / name).open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                if (target / name).exists():
                    shutil.copymode(target / name, part / name)
            _replace_folder(part, target)
        finally:
            shutil.rmtree(part, ignore_errors=True)  # what was there before, or what could not be written
            os.close(descriptor)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}") from error


def _replace_folder(part: Path, target: Path) -> None:
    """Give a folder the name of another, if there is one, which gets its name in turn or is removed."""
    if not target.exists():
        part.rename(target)
        return
    shutil.copymode(target, part)
    if _exchange(part, target):
        return
    old = part.with_suffix(".old")
    target.rename(old)
    try:
        part.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders in one step, and return whether the system could (Linux)."""
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None), "renameat2", None)  # not in every library of C
    if rename is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of its headers
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def _is_stream(path: Path) -> bool:
    """Return whether a path is that of a pipe or a character device, which is written to and never replaced.

    Raises:
        InputError: if it is anything else than a file that can be replaced, or nothing.
    """
    try:
        kind = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except ValueError as error:  # a NUL in its name
        raise InputError(f"cannot write {str(path)!r}: {error}") from error
    for name, found in (("folder", stat.S_ISDIR), ("socket", stat.S_ISSOCK), ("block device", stat.S_ISBLK)):
        if found(kind):
            raise InputError(f"cannot write {path}: it is a {name}; accepted are files, pipes and character devices")
    return not stat.S_ISREG(kind)


def _open_stream(path: Path) -> int:
    """Return a descriptor of a pipe or character device; a pipe that nobody reads is refused instead of waited for."""
    descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
    os.set_blocking(descriptor, True)
    return descriptor


def _create_part(target: Path, is_folder: bool = False) -> tuple[Path, int]:
    """Create a file or folder beside ``target``, locked as long as its descriptor is open; return both."""
    name = os.fsdecode(os.fsencode(target.name)[:LONGEST_NAME])
    while True:
        part = target.with_name(f"{name}.{secrets.token_hex(4)}.part")  # two nodes may have the same process ids
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        if is_folder:
            part.mkdir()
            flags = os.O_RDONLY
        held = os.devnull if is_folder and fcntl is None else part  # Windows opens no folders
        descriptor = os.open(held, flags | getattr(os, "O_CLOEXEC", 0), 0o666)
        locked = _lock(descriptor)
        if locked is None or (locked and part.exists()):
            return part, descriptor
        os.close(descriptor)  # another process has taken it for a leftover


def _remove_leftovers(folder: Path) -> None:
    """Remove the partial files and folders whose process has died, which is no longer there to hold their locks."""
    for part in folder.iterdir():
        if not PART.fullmatch(part.name):
            continue
        with contextlib.suppress(OSError):  # another process removes it, or it is not ours
            is_folder = part.is_dir() and not part.is_symlink()
            flags = (os.O_RDONLY if is_folder else os.O_WRONLY) | getattr(os, "O_CLOEXEC", 0)
            descriptor = os.open(part, flags | getattr(os, "O_NOFOLLOW", 0))
            try:
                if _lock(descriptor):
                    shutil.rmtree(part) if is_folder else part.unlink()
            finally:
                os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Lock an open file until it is closed; return whether that succeeded, None on a file system without locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
