"""Cells of a question or an answer as people write them: text, lists, grids of lists, or arrays.

A cell contains a symbol, which is text: "7" and the integer 7 are the same symbol.
"""

import json
import reprlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from trm.errors import InputError, counted
from trm.text import parse_json

MOST_CELLS = 4096
"""Most cells of a grid, 64 x 64 as of the mazes."""
LONGEST_SYMBOL = 32
"""Most characters of a symbol."""
SHORTENED = reprlib.Repr()
SHORTENED.maxstring = SHORTENED.maxother = 60

Shape = tuple[int, int]
"""Rows and columns."""


class Cells(NamedTuple):
    """The symbols of a question or an answer, row by row."""

    symbols: Sequence[str]
    shape: Shape
    kind: str
    """How it was written: "text", "a list" or "a grid"."""


def read_cells(value: Any) -> Cells:
    """Return the cells of a value of JSON, or of text.

    Text is one row, or a line per row. Its cells are its characters, or what white space and commas separate where
    there are any. Text that begins with "[" is a list in JSON. A list of symbols is one row, a list of lists a grid.

    Raises:
        InputError: if it is anything else; the message is a clause whose subject is the value, such as "is empty".
    """
    if isinstance(value, str):
        return _of_text(value)
    if not isinstance(value, list):
        kind = "null" if value is None else f"{SHORTENED.repr(value)}, {_name(value)}"
        raise InputError(f"is {kind}; accepted are text, lists of symbols and lists of lists")
    nested = [isinstance(row, list) for row in value]
    if any(nested) and not all(nested):
        raise InputError("mixes lists and symbols; accepted are lists of symbols and lists of lists")
    rows = value if any(nested) else [value]
    widths = [len(row) for row in rows]
    _check_shape(widths)
    return Cells(_symbols([cell for row in rows for cell in row]), (len(rows), widths[0]), _kind(any(nested)))


def read_array(array: NDArray[Any], row: int) -> Cells:
    """Return the cells of an item of an array of integers or text, (N, L), (N, h, w), or (N,) of text.

    Raises:
        InputError: as ``read_cells``.
    """
    item = array[row]
    return read_cells(str(item) if item.ndim == 0 and item.dtype.kind == "U" else item.tolist())


def shaped(cells: Cells, size: Shape | None) -> Cells:
    """Return cells as a grid of ``size``, if they are one row of as many cells."""
    if size is None or cells.shape[0] > 1 or cells.shape[1] != size[0] * size[1]:
        return cells
    return cells._replace(shape=size)


def by_size(shape: Shape) -> str:
    """Return a shape for people: "9x9", or "12 cells" for one row."""
    rows, columns = shape
    return f"{rows}x{columns}" if rows > 1 else counted(columns, "cell")


def _of_text(text: str) -> Cells:
    stripped = text.strip()
    if stripped.startswith("["):
        try:
            value = parse_json(stripped, "it")
        except InputError as error:
            raise InputError(f"begins with '[', but {error}") from error
        return read_cells(value)._replace(kind="text")
    lines = [line.strip(" \t,") for line in stripped.splitlines()]
    rows: list[list[str]] = [line.replace(",", " ").split() for line in lines]
    if all(len(row) == 1 for row in rows):
        rows = [list(row[0]) for row in rows]
    widths = [len(row) for row in rows]
    _check_shape(widths)
    return Cells(_symbols([cell for row in rows for cell in row]), (len(rows), widths[0]), "text")


def _check_shape(widths: Sequence[int]) -> None:
    """Refuse rows of no cells, of different lengths, or of too many cells."""
    if not sum(widths):
        raise InputError("is empty, but needs at least one cell")
    other = next((row for row, width in enumerate(widths) if width != widths[0]), None)
    if other is not None:
        raise InputError(
            f"is ragged: row 1 has {counted(widths[0], 'cell')}, but row {other + 1} has {widths[other]}; all rows "
            f"need as many"
        )
    if len(widths) * widths[0] > MOST_CELLS:
        shape = by_size((len(widths), widths[0]))
        raise InputError(f"is a grid of {shape}, but at most {MOST_CELLS:,} cells are accepted")


def _symbols(cells: Sequence[Any]) -> Sequence[str]:
    """Return the symbols of cells, each text or an integer from 0."""
    kinds = {type(cell) for cell in cells}
    if kinds == {str}:
        for cell in set(cells):
            if not cell or len(cell) > LONGEST_SYMBOL or not cell.isprintable():
                raise InputError(
                    f"has the cell {SHORTENED.repr(cell)}; accepted are 1 to {LONGEST_SYMBOL} printable characters"
                )
        return cells
    if kinds == {int}:
        if (least := min(cells)) < 0 or max(cells) >= 10**LONGEST_SYMBOL:
            wrong = least if least < 0 else max(cells)
            raise InputError(f"has the cell {SHORTENED.repr(wrong)}; accepted are integers from 0, or text")
        return [str(cell) for cell in cells]
    others = [cell for cell in cells if type(cell) not in (str, int)]
    if others:
        cell = json.dumps(others[0]) if isinstance(others[0], bool | None) else SHORTENED.repr(others[0])
        raise InputError(f"has the cell {cell}, {_name(others[0])}; accepted are integers from 0, or text")
    raise InputError("mixes integers and text; accepted is one of them in all cells")


def _kind(nested: bool) -> str:
    return "a grid" if nested else "a list"


def _name(value: Any) -> str:
    names = {int: "an integer", float: "a floating-point number", bool: "a truth value"}
    names |= {list: "a list", dict: "an object"}
    return names.get(type(value), "which is no symbol" if value is None else type(value).__name__)
