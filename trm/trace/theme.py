"""The look of pictures: their colours, and the grid and symbols of each family."""

import math
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm.data import ARC, Maze, Pairs, PuzzleData, Sudoku
from trm.data.maze.paths import PATH
from trm.data.pairs.text import symbols_of_tokens
from trm.data.samples import Tokens
from trm.data.sudoku.text import SYMBOLS

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
"""Colours of ARC's cells 0 to 9, as on arcprize.org."""
PAPER, INK, SOFT, LINE, GIVEN = "#ffffff", "#1c2330", "#5b6472", "#d9dbe0", "#eceef2"
BLUE, VERMILLION, ORANGE, GREEN, PURPLE, SKY = "#0072b2", "#d55e00", "#e69f00", "#009e73", "#cc79a7", "#56b4e9"
"""Distinguishable with any colour vision (Okabe and Ito, jfly.uni-koeln.de/color)."""
ANSWER, WRONG, CHANGED = BLUE, VERMILLION, ORANGE
"""Colours of predicted cells, of wrong cells, and of cells that changed since the frame before."""
WALL, ENDS, WAY = "#4a5568", ORANGE, BLUE


class Theme(NamedTuple):
    """The look of a board of a family."""

    rows: int
    columns: int
    box: tuple[int, int]
    """Rows and columns of a framed box."""
    symbols: list[str]
    """Symbol of each token, (V,)."""
    colours: list[str]
    """Colour of each token, (V,), as #rrggbb; empty for none."""
    apart: bool
    """Whether the question is a grid of its own, shown beside the answer."""


def look(data: PuzzleData) -> Theme:
    """Return the look of a family; by default the grid that is closest to a square."""
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
    if isinstance(data, Pairs):
        box, symbols = data.layout.size, list(symbols_of_tokens(data.layout))
        return Theme(*box, box, symbols, [""] * len(symbols), True)
    rows = next(rows for rows in range(math.isqrt(data.seq_len), 0, -1) if data.seq_len % rows == 0)
    box = (rows, data.seq_len // rows)
    return Theme(*box, box, _symbols(data), [""] * data.vocab_size, True)


def stylesheet() -> str:
    """Return the CSS of pages with boards and charts, in the colours of pictures."""
    text = files("trm.trace").joinpath("look.css").read_text(encoding="utf-8")
    for name, colour in {"ANSWER": ANSWER, "WRONG": WRONG, "CHANGED": CHANGED, "SKY": SKY}.items():
        text = text.replace(f"__{name}__", colour)
    return text


def scripts() -> str:
    """Return the JavaScript of such pages, which draws boards and charts."""
    folder = files("trm.trace")
    return "".join(folder.joinpath(name).read_text(encoding="utf-8") for name in ("board.js", "chart.js"))


def broken(data: PuzzleData, question: Tokens, answer: Tokens) -> NDArray[np.bool_]:
    """Return which cells of an answer break a rule, (L,); none if the family's rules are only about the whole board."""
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
    """Return the character that a family writes for each token; the token's number if it writes more than one."""
    boards = [data.write(np.full(data.seq_len, token, dtype=np.uint8)) for token in range(data.vocab_size)]
    alone = all(len(board) == data.seq_len for board in boards)
    return [board[0] if alone else str(token) for token, board in enumerate(boards)]
