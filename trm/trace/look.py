"""How the puzzles of each family look: the grid, and a symbol and a colour for every token."""

import math
from typing import NamedTuple

from trm.data import ARC, Maze, PuzzleData, Sudoku
from trm.data.sudoku.sources import SYMBOLS

ARC_COLOURS = (
    "#000000",
    "#0074d9",
    "#ff4136",
    "#2ecc40",
    "#ffdc00",
    "#aaaaaa",
    "#f012be",
    "#ff851b",
    "#7fdbff",
    "#870c25",
)
"""Of the cells 0 to 9, as arcprize.org shows them."""
WALL, ENDS, WAY = "#4a5568", "#dd8a00", "#3b82f6"


class Look(NamedTuple):
    """What a board of a family looks like."""

    rows: int
    columns: int
    box: tuple[int, int]
    """Rows and columns of a box with a frame of its own."""
    symbols: list[str]
    """Of each token, (V,)."""
    colours: list[str]
    """Of each token, (V,), as #rrggbb; empty for none."""
    apart: bool
    """Whether the question is another grid than the answer, to be shown beside it."""


def look(data: PuzzleData) -> Look:
    """Return the look of a family; one that is not known here has the numbers of its tokens in a square or a row."""
    if isinstance(data, Sudoku):
        geometry = data.geometry
        symbols = ["", "", *SYMBOLS[: data.size]]
        return Look(data.size, data.size, (geometry.box_rows, geometry.box_cols), symbols, [""] * len(symbols), False)
    if isinstance(data, Maze):
        box = (data.size, data.size)
        return Look(*box, box, ["", "", "", "S", "G", ""], ["", WALL, "", ENDS, ENDS, WAY], False)
    if isinstance(data, ARC):
        size = math.isqrt(data.seq_len)
        return Look(size, size, (size, size), [""] * data.vocab_size, ["", "", *ARC_COLOURS], True)
    side = math.isqrt(data.seq_len)
    rows, columns = (side, side) if side**2 == data.seq_len else (1, data.seq_len)
    return Look(rows, columns, (rows, columns), [str(t) for t in range(data.vocab_size)], [""] * data.vocab_size, True)
