"""``FolderLock``: one run at a time writes to a folder."""

import contextlib
import os
import socket
from pathlib import Path

from trm.data.lock import open_locked
from trm.errors import InputError

NAME = "run.lock"


class FolderLock:
    """Lock of a folder that only one process at a time may write to.

    The operating system's lock is on a file ``run.lock`` that names its owner, see ``open_locked``. It ends with the
    process, so a file left behind locks nothing. On file systems without locks nothing is locked.
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
        if self._descriptor >= 0:
            return
        self._path, owner = folder / NAME, "another process"
        self._made = [parent for parent in self._path.absolute().parents if not parent.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = open_locked(self._path)
        except BlockingIOError as error:
            with contextlib.suppress(OSError):
                owner = self._path.read_text(encoding="utf-8", errors="replace") or "another process"
            raise InputError(
                f"{self._path.parent} is in use by {owner}: wait for its end, or choose another folder"
            ) from error
        except OSError:  # a file system without locks, or read-only, which the first checkpoint will report
            return
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)

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
