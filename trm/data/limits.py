"""Limits of the machine that settings of the data can exceed: memory and open files."""

import os
from types import ModuleType

from trm.errors import InputError

resource: ModuleType | None
try:
    import resource
except ImportError:  # Windows
    resource = None

FILES, FILES_PER_WORKER = 64, 16
"""Open files of a process with loaders, and more for each worker, whose tensors are passed as files."""


def check_memory(slots: int, steps: int, cells: int) -> None:
    """Check that a training batch of one device fits into the memory of the machine.

    Args:
        slots: puzzles in training at once.
        steps: supervision steps per batch.
        cells: grid cells of a puzzle.

    Raises:
        InputError: if questions and answers alone are larger.
    """
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    needed = 2 * 4 * cells * slots * steps  # 32-bit tokens
    if needed > memory:
        raise InputError(
            f"data.slots is {slots} and data.steps_per_batch {steps}, but the {slots * steps} puzzles of a batch take "
            f"{needed / 1e9:.3g} GB and this machine has {memory / 1e9:.3g} GB"
        )


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
            f"data.workers is {workers}, which takes about {needed} open files, but the limit is {hard} (ulimit -n): "
            "raise it, or pass data.workers 0"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
