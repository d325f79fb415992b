"""How pictures look: the colours of all of them, and the grid and the symbols of each family's puzzles."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm.data import ARC, Maze, PuzzleData, Sudoku
from trm.data.maze.paths import PATH
from trm.data.samples import Tokens
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
PAPER, INK, SOFT, LINE, GIVEN = "#ffffff", "#1c2330", "#5b6472", "#d9dbe0", "#eceef2"
BLUE, VERMILLION, ORANGE, GREEN, PURPLE, SKY = "#0072b2", "#d55e00", "#e69f00", "#009e73", "#cc79a7", "#56b4e9"
"""Told apart with any colour vision (Okabe and Ito, jfly.uni-koeln.de/color)."""
ANSWER, WRONG, CHANGED = BLUE, VERMILLION, ORANGE
"""Of what a model predicts, of what is wrong in it, and of what changed since the frame before."""
WALL, ENDS, WAY = "#4a5568", ORANGE, BLUE


class Theme(NamedTuple):
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


def look(data: PuzzleData) -> Theme:
    """Return the look of a family; one that has none here is a grid as close to a square as there is."""
    if isinstance(data, Sudoku):
        geometry = data.geometry
        symbols = ["", "", *SYMBOLS[: data.size]]
        return Theme(data.size, data.size, (geometry.box_rows, geometry.box_cols), symbols, [""] * len(symbols), False)
    if isinstance(data, Maze):
        box = (data.size, data.size)
        return Theme(*box, box, ["", "", "", "S", "G", ""], ["", WALL, "", ENDS, ENDS, WAY], False)
    if isinstance(data, ARC):
        size = math.isqrt(data.seq_len)
        return Theme(size, size, (size, size), [""] * data.vocab_size, ["", "", *ARC_COLOURS], True)
    rows = next(rows for rows in range(math.isqrt(data.seq_len), 0, -1) if data.seq_len % rows == 0)
    box = (rows, data.seq_len // rows)
    return Theme(*box, box, _symbols(data), [""] * data.vocab_size, True)


def broken(data: PuzzleData, question: Tokens, answer: Tokens) -> NDArray[np.bool_]:
    """Return which cells of an answer break a rule, (L,); none where a family has rules for the whole board alone."""
    given = data.givens(question)
    marked = given & (question != answer)
    if isinstance(data, Sudoku):
        units = data.geometry.units
        digits = answer[units]  # (units, size)
        twice = (digits[:, :, None] == digits[:, None, :]).sum(-1) > 1
        marked |= answer < 2
        marked[units[twice]] = True
    if isinstance(data, Maze):
        marked |= ~given & (question != answer) & (answer != PATH)
    return np.asarray(marked)


def _symbols(data: PuzzleData) -> list[str]:
    """Return what a family writes for each token, if it writes a character per cell; else the tokens' numbers."""
    boards = [data.write(np.full(data.seq_len, token, dtype=np.uint8)) for token in range(data.vocab_size)]
    alone = all(len(board) == data.seq_len for board in boards)
    return [board[0] if alone else str(token) for token, board in enumerate(boards)]
