"""Boards of pairs as text: questions that are read, and boards that are written on one line or drawn.

Shapes: L cells of the canvas, V vocabulary.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from trm.data.boards import Board, one_a_line
from trm.data.drawing import highlight, side_by_side
from trm.data.pairs.cells import SHORTENED as SHORT
from trm.data.pairs.cells import by_size, read_cells, shaped
from trm.data.pairs.sources import Raw, is_pairs, split_pairs
from trm.data.pairs.table import OUTSIDE, Layout
from trm.data.samples import Tokens
from trm.errors import InputError


def split_questions(lines: Iterable[str]) -> Iterator[Board]:
    """Yield the questions in lines of text: of a file of pairs, or one per line."""
    lines = iter(lines)
    skipped: list[str] = []
    for line in lines:
        skipped.append(line)
        if line.strip():
            break
    whole = chain(skipped, lines)
    if skipped and is_pairs(skipped[-1]):
        yield from map(_as_board, split_pairs(whole))
    else:
        yield from one_a_line(whole)


def read_question(text: str, layout: Layout) -> Tokens:
    """Return the tokens of a question, (L,): as in a file of pairs, text of a row or of several, or a list in JSON.

    Raises:
        InputError: if a symbol or the size is not of the layout.
    """
    shown = SHORT.repr(text)
    try:
        cells = shaped(read_cells(text), layout.size)
    except InputError as error:
        raise InputError(f"the question {shown} {error}") from error
    (height, width), (rows, columns) = cells.shape, layout.size
    if cells.shape != layout.size and (not layout.outside or height > rows or width > columns):
        raise InputError(f"the question {shown} has {by_size(cells.shape)}; accepted are {layout.sizes}")
    tokens = {symbol: token for token, symbol in enumerate(layout.alphabet, 1) if symbol != OUTSIDE}
    for symbol in cells.symbols:
        if symbol not in tokens:
            raise InputError(f"the question {shown} has {symbol!r}; accepted are {' '.join(layout.known)}")
    canvas = np.full(layout.size, layout.outside, dtype=np.uint8)
    canvas[:height, :width] = np.reshape([tokens[symbol] for symbol in cells.symbols], cells.shape)
    return canvas.ravel()


def write_board(tokens: Tokens, layout: Layout) -> str:
    """Return a board, (L,), on one line: its characters if they alone can be read back, otherwise a list in JSON."""
    rows = symbol_rows(tokens, layout)
    if _compact(layout) and (len(rows) == 1 or not layout.outside):
        return "".join(symbol for row in rows for symbol in row)
    numbers = all(map(_is_number, layout.known))
    values = [[int(cell) if numbers and cell.isdecimal() else cell for cell in row] for row in rows]
    return json.dumps(values[0] if layout.size[0] == 1 else values, ensure_ascii=False, separators=(",", ":"))


def draw_grid(answer: Tokens, question: Tokens | None, layout: Layout, color: bool) -> str:
    """Return a grid, (L,), as rows, with the question on the left; with ``color``, cells that differ are green."""
    symbols = symbols_of_tokens(layout)
    width = max(map(len, symbols))
    given = [answer] if question is None else [question, answer]
    boards = [[symbols[token].rjust(width) for token in tokens] for tokens in given]
    if color and question is not None:
        boards[-1] = highlight(boards[-1], question != answer)
    return "\n".join(line.rstrip() for line in side_by_side(boards, layout.size[1])).rstrip()


def symbol_rows(tokens: Tokens, layout: Layout) -> list[list[str]]:
    """Return the symbols of the rows of a board, (L,), without the cells outside of it."""
    board, symbols = tokens.reshape(layout.size), symbols_of_tokens(layout)
    rows = [[symbols[token] for token in row] for row in board]
    if not layout.outside:
        return rows
    ends = [len(row) - int(np.argmax(row[::-1] != 1)) if (row != 1).any() else 0 for row in board]
    last = max((number for number, end in enumerate(ends, 1) if end), default=1)
    return [row[:end] for row, end in zip(rows[:last], ends, strict=False)]


def symbols_of_tokens(layout: Layout) -> tuple[str, ...]:
    """Return the symbol of each token, (V,); token 0, which stands for none, has one that no other token has."""
    unused = next(mark for mark in ("?", "¿", "\ufffd") if mark not in layout.alphabet)
    return (unused, *layout.alphabet)


def _compact(layout: Layout) -> bool:
    """Return whether characters alone can be read back: each symbol is one, and none has a meaning between cells."""
    return all(len(symbol) == 1 and not symbol.isspace() and symbol not in ",[{;" for symbol in layout.known)


def _is_number(symbol: str) -> bool:
    """Return whether a symbol is that of an integer: "7" is, but "07" is another symbol."""
    return symbol.isascii() and symbol.isdecimal() and symbol == str(int(symbol))


def _as_board(raw: Raw) -> Board:
    """Return the question of a pair as text for ``read_question``."""
    question = raw.question if isinstance(raw.question, str) else json.dumps(raw.question)
    return Board(raw.line, "" if raw.fault else question, fault=raw.fault)
