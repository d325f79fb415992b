"""Boards of Sudoku as text: how they are written, read, drawn, and what is wrong with them in words.

Boards are digits, 0 for a blank, (size * size,) uint8.
"""

import reprlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trm.data.boards import Notation, split_boards
from trm.data.samples import name_cell
from trm.data.sudoku.solver import BOX_SHAPES, Geometry, geometry, solve
from trm.errors import InputError, counted

SYMBOLS = "123456789ABCDEFG"
BLANKS = ".0_*"
SHORTENED = reprlib.Repr()
SHORTENED.maxstring = 120
"""Shows a board of 81 cells in full in a message."""


def notation(size: int) -> Notation:
    """Return how boards are written: digits, letters beyond 9, and ".", "0", "_" or "*" for a blank."""
    digits = {symbol: digit for digit, symbol in enumerate(SYMBOLS[:size], 1)}
    digits |= {symbol.lower(): digit for symbol, digit in digits.items()}
    return Notation(size, geometry(size).box_rows, dict.fromkeys(BLANKS, 0) | digits, digits, ("#", ";", "//", "%"))


def read_board(text: str, size: int) -> NDArray[np.uint8]:
    """Return the digits of the only board of a text.

    Raises:
        InputError: if there is not exactly one, or it is not solvable.
    """
    shown, cells = SHORTENED.repr(text), size * size
    found, known = list(split_boards(text.splitlines(), notation(size))), notation(size).question
    if len(found) > 1 and all(len(board.question) == cells for board in found):
        raise InputError(f"the text {shown} contains {counted(len(found), 'board')}, but one is accepted")
    whole = len(found) == 1 and len(found[0].question) == cells
    compact = "".join((found[0].question if whole else text).split()).upper()
    if len(compact) != cells:
        sizes = [f"{side}x{side}" for side in BOX_SHAPES]
        known_size = len(compact) in [side**2 for side in BOX_SHAPES]
        others = "" if known_size else f"; boards are {', '.join(sizes[:-1])} or {sizes[-1]}"
        raise InputError(
            f"the board {shown} has {counted(len(compact), 'cell')}, but {size}x{size} Sudoku has {cells}{others}"
        )
    for cell, symbol in enumerate(compact):
        if symbol not in known:
            raise InputError(
                f"the board {shown} has {symbol!r} in {name_cell(cell, size)}; accepted are {SYMBOLS[0]} to "
                f"{SYMBOLS[size - 1]}, and '.', '0', '_' or '*' for a blank"
            )
    if size > 9 and "0" in compact and set(compact) & set("._*"):
        raise InputError(f"the board {shown} has '0' besides another blank; digits are 1 to 9, then A to G")
    board = np.array([known[symbol] for symbol in compact], dtype=np.uint8)
    if broken := broken_rule(board, geometry(size)):
        raise InputError(f"the board {shown} is unsolvable: {broken}")
    if solve(board[None], size, limit=1).counts[0] == 0:
        raise InputError(f"the board {shown} is unsolvable: it has no solution")
    return board


def draw_board(cells: Sequence[str], geometry: Geometry) -> str:
    """Return a board as rows with its boxes, given the text of each cell."""
    size, rows, cols = geometry.size, geometry.box_rows, geometry.box_cols
    rule = "+".join(["-" * (2 * cols + 1)] * (size // cols))
    lines = []
    for row in range(size):
        if row % rows == 0:
            lines.append(f"+{rule}+")
        line = cells[row * size : (row + 1) * size]
        boxes = (" ".join(line[col : col + cols]) for col in range(0, size, cols))
        lines.append(f"| {' | '.join(boxes)} |")
    return "\n".join([*lines, f"+{rule}+"])


def broken_rule(board: NDArray[np.uint8], geometry: Geometry) -> str:
    """Return the first repeated digit of a row, column or box in words; "" if there is none."""
    for index, unit in enumerate(geometry.units):
        digits, counts = np.unique(board[unit], return_counts=True)
        twice = digits[(counts > 1) & (digits > 0)]
        if len(twice):
            kind = ("row", "column", "box")[index // geometry.size]
            return f"{kind} {index % geometry.size + 1} has {SYMBOLS[twice[0] - 1]} more than once"
    return ""
