"""Limits of the machine that settings of the data can exceed: open files."""

from types import ModuleType

from trm.errors import InputError, counted

resource: ModuleType | None
try:
    import resource
except ImportError:  # Windows
    resource = None

FILES, FILES_PER_WORKER = 64, 16
"""Open files of a process with loaders, and more for each worker, whose tensors are passed as files."""


def check_open_files(workers: int) -> None:
    """Check that the limit of open files, raised as far as it may be, allows so many workers of a loader.

    With too few, torch does not fail: process and workers wait for each other for ever.

    Raises:
        InputError: if it does not.
    """
    if resource is None or not workers:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = FILES + FILES_PER_WORKER * workers
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise InputError(
            f"data.workers is {workers}, which takes about {counted(needed, 'open file')}, but the limit is {hard} "
            "(ulimit -n): raise it, or pass data.workers 0"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
