"""Boards as text for people: colour on a terminal, and boards beside each other.

Shapes: L grid cells.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

GREEN, PLAIN = "\033[1;32m", "\033[0m"  # escape codes of a terminal


def highlight(cells: Iterable[str], added: NDArray[np.bool_]) -> list[str]:
    """Return the text of cells, (L,), with those that an answer adds in green on a terminal."""
    return [f"{GREEN}{cell}{PLAIN}" if new else cell for cell, new in zip(cells, added, strict=True)]


def side_by_side(boards: Sequence[Sequence[str]], columns: int) -> Iterator[str]:
    """Yield the lines of boards beside each other, given the text of the cells of each, (L,)."""
    for start in range(0, len(boards[0]), columns):
        yield "   ".join(" ".join(cells[start : start + columns]) for cells in boards)
