"""Successive halving (arXiv 1502.07943): many candidates for a short time, the best third for three times as long.

The budget is wall time, and the rungs share it evenly. The first candidate of a rung gets its share of it; the time of
the process that it gets for that, which is less on a busy machine, is what the others get too.
"""

import math
import time
from collections.abc import Callable

from trm.tune.trial import Allotment, Row

KEPT = 3
"""One in this many candidates goes on to the next rung, with this many times the time."""
SIZES = (27, 9, 3)
"""Numbers of candidates of the first rung, the most that the budget allows."""

Run = Callable[[int, int, Allotment], Row]
"""Trains a candidate, by its number, in a rung for its time."""


def size_for(seconds: float, least: float) -> int:
    """Return the number of candidates of the first rung; 0 if the time is too short for any.

    Args:
        seconds: wall time for all rungs.
        least: least wall time of a candidate in the first rung.
    """
    return next((size for size in SIZES if least * size * rungs_of(size) <= seconds), 0)


def rungs_of(candidates: int) -> int:
    """Return the number of rungs: until at most ``KEPT`` candidates are left, which the last rung compares."""
    return 1 + max(0, math.ceil(math.log(candidates / KEPT, KEPT) - 1e-9))


def halve(candidates: int, run: Run, seconds: float, watch: Callable[[Row], None]) -> Row | None:
    """Run the rungs within a time, and return the latest row of the best candidate; None if all failed.

    A candidate that the last rung does not reach in time is compared by its row of the rung before.

    Args:
        candidates: number of candidates; ties go to the first.
        run: trains a candidate and returns its row.
        seconds: wall time.
        watch: called with every row.
    """
    end, alive = time.monotonic() + seconds, list(range(candidates))
    latest: dict[int, Row] = {}
    best: Row | None = None
    for rung in range(rungs_of(candidates)):
        share = (end - time.monotonic()) / (rungs_of(candidates) - rung) / max(1, len(alive))
        paid: float | None = None
        for candidate in alive:
            now = time.monotonic()
            if now >= end and latest:
                break
            seconds_before = latest[candidate].seconds if candidate in latest else 0.0
            allotment = Allotment(share, min(end, now + share)) if paid is None else Allotment(paid, end)
            row = run(candidate, rung, allotment)
            if not row.failure and paid is None:
                paid = row.seconds - seconds_before
            latest[candidate] = row
            watch(row)
        good = [c for c in alive if c in latest and not latest[c].failure]
        good.sort(key=lambda candidate: -latest[candidate].score)  # stable
        best = latest[good[0]] if good else best
        alive = good[: math.ceil(len(alive) / KEPT)]
        if not good or time.monotonic() >= end:
            break
    return best
