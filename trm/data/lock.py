"""Locks on files: one process at a time generates a file, or changes it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from lightning_utilities.core.rank_zero import rank_zero_info

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def open_locked(path: Path, wait: bool = False) -> int:
    """Create a file if it is missing, lock it for this process, and return its descriptor.

    The lock of the operating system (``fcntl``) ends with the process, even after a kill. It works across the nodes of
    a network file system that implements such locks.

    Args:
        path: the file; nothing else may be in it.
        wait: wait for another process that has locked it.

    Raises:
        BlockingIOError: if another process has locked it and ``wait`` is false.
        OSError: if the file cannot be created, or the file system has no locks.
    """
    if fcntl is None:
        raise OSError("this system has no file locks")
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if os.path.samestat(os.fstat(descriptor), path.stat()):  # its former owner may have removed it
                return descriptor
        except FileNotFoundError:
            pass
        except PermissionError as error:  # what some systems raise in place of BlockingIOError
            os.close(descriptor)
            raise BlockingIOError(*error.args) from error
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


@contextlib.contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Let one process at a time enter the block for a file, whose folder is created; others wait.

    Partial files that a killed process has left are deleted. Where nothing can be locked, on some file systems and on
    Windows, nobody waits.
    """
    lock = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = open_locked(lock)
        except BlockingIOError:
            rank_zero_info(f"Waiting for another process that writes {path}")
            descriptor = open_locked(lock, wait=True)
    except OSError:
        yield
        return
    try:
        for left in path.parent.glob(f"{path.name}.*.part"):
            left.unlink(missing_ok=True)
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)
