"""Progress of long work that is no training: a bar in a terminal, else a line for each tenth, on standard error."""

import contextlib
from collections.abc import Callable, Iterator

from lightning_utilities.core.rank_zero import rank_zero_info
from tqdm import tqdm

from trm.errors import counted

Progress = Callable[[int, int], None]
"""Reports progress; it is called with the numbers of items done and wanted."""
DELAY = 1.0
"""Seconds before a bar appears, so that short work shows none."""


def unwatched(done: int, wanted: int) -> None:
    """Report nothing."""


@contextlib.contextmanager
def show_progress(name: str, noun: str = "sample") -> Iterator[Progress]:
    """Show progress with the time left: as a bar if standard error is a terminal, otherwise as a line for each tenth.

    Args:
        name: what is done.
        noun: an item, in the singular. Their number may grow while they are done.
    """
    unit = counted(0, noun).removeprefix("0")
    with tqdm(desc=name, unit=unit, unit_scale=True, disable=None, leave=False, delay=DELAY) as bar:
        last = (0, 0)

        def show(done: int, wanted: int) -> None:
            nonlocal last
            bar.total = wanted
            bar.update(done - bar.n)
            tenth = (wanted, 10 * done // max(wanted, 1))
            if bar.disable and tenth != last and tenth[1]:
                last = tenth
                rank_zero_info(f"{name}: {done:,} of {counted(wanted, noun)}")

        yield show
