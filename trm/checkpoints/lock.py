"""``FolderLock``: one run at a time writes to a folder."""

import contextlib
import os
import socket
from pathlib import Path
from types import ModuleType

from trm.errors import InputError

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

NAME = "run.lock"


class FolderLock:
    """Lock of a folder that only one process at a time may write to.

    The operating system's lock (``fcntl``) is on a file ``run.lock`` that names its owner. It ends with the process,
    even after a kill, so a file left behind locks nothing. It works across the nodes of a network file system that
    implements such locks; on other file systems nothing is locked.
    """

    def __init__(self) -> None:
        self._descriptor = -1
        self._path = Path()
        self._made: list[Path] = []

    def acquire(self, folder: Path) -> None:
        """Lock a folder, and create it if it is missing; locking it twice does nothing.

        Raises:
            InputError: if another process has locked it; the message names that process.
        """
        if fcntl is None or self._descriptor >= 0:
            return
        self._path = folder / NAME
        self._made = [parent for parent in self._path.absolute().parents if not parent.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = self._locked(fcntl)
        except OSError:  # a file system without locks, or read-only, which the first checkpoint will report
            return
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)

    def _locked(self, fcntl: ModuleType) -> int:
        """Return the descriptor of the locked file, which its former owner may remove at any moment."""
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(descriptor), self._path.stat()):
                    return descriptor
            except FileNotFoundError:
                pass
            except (BlockingIOError, PermissionError) as error:
                owner = os.pread(descriptor, 200, 0).decode("utf-8", "replace") or "another process"
                os.close(descriptor)
                raise InputError(
                    f"{self._path.parent} is in use by {owner}: wait for its end, or choose another folder"
                ) from error
            except OSError:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def release(self) -> None:
        """Unlock the folder, and remove the file and the folders created for the lock, if they are empty."""
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)
        self._descriptor = -1
        for folder in self._made:
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()
