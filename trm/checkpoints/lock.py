"""``FolderLock``: two runs that write into one folder refuse each other."""

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
    """A folder that one process at a time may write to.

    The lock is the operating system's (``fcntl``), on a file ``run.lock`` that names its owner: it ends with the
    process, however that ends, so a file that a kill left behind locks nothing. It works across the nodes of a
    network file system that implements such locks; on one that does not, nothing is locked.
    """

    def __init__(self) -> None:
        self._descriptor = -1
        self._path = Path()
        self._made: list[Path] = []

    def acquire(self, folder: Path) -> None:
        """Lock a folder, which is made if need be; a process may lock its own once more.

        Raises:
            InputError: naming the process that has locked it.
        """
        if fcntl is None or self._descriptor >= 0:
            return
        self._path = folder / NAME
        self._made = [parent for parent in self._path.absolute().parents if not parent.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = self._locked(fcntl)
        except OSError:  # a file system without locks, or one that is read-only, of which checkpoints tell
            return
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)

    def _locked(self, fcntl: ModuleType) -> int:
        """Return the descriptor of the locked file, which may be removed by its former owner at any moment."""
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
                    f"{self._path.parent} is in use by a run of {owner}: wait for its end, or choose another folder"
                ) from error
            except OSError:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def release(self) -> None:
        """Unlock the folder; what was made for the lock alone is removed."""
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)
        self._descriptor = -1
        for folder in self._made:
            with contextlib.suppress(OSError):  # it has files by now
                folder.rmdir()
