"""Mazes as text: how they are written and read."""

import functools
import reprlib

import numpy as np
from lightning_utilities.core.rank_zero import rank_zero_info
from numpy.typing import NDArray

from trm.data.boards import Notation, split_boards
from trm.data.maze.paths import FREE, GOAL, PATH, START, WALL, find_faults
from trm.data.samples import Tokens, name_cell
from trm.errors import InputError


def notation(size: int) -> Notation:
    """Return how mazes are written: "#" or "1" is a wall; " ", "." or "0" is free; S, and G or E; "o" is the path."""
    letters = {"#": WALL, " ": FREE, ".": FREE, "S": START, "G": GOAL}
    letters |= {"1": WALL, "0": FREE, "s": START, "g": GOAL, "E": GOAL, "e": GOAL}
    return Notation(size, size, letters, letters | {"o": PATH, "O": PATH}, (";", "//", "%"))


def mixed_letters(characters: NDArray[np.uint8]) -> list[str]:
    """Return why the ASCII codes of each maze, (N, L), have no clear meaning; "" if they have."""
    marks = (characters == ord("#")).any(axis=1)
    digits = np.isin(characters, [ord("0"), ord("1")]).any(axis=1)
    return ["it has both '#' and the digits 0 and 1" if mixed else "" for mixed in marks & digits]


@functools.cache
def note_digits() -> None:
    """Log how digits are understood, once in a process."""
    rank_zero_info("A maze of digits: 1 is read as a wall, 0 as a free cell.")


def read_maze(text: str, size: int) -> Tokens:
    """Return the tokens of the only maze of a text, (size * size,); the path of an answer is read as free.

    Raises:
        InputError: if there is not exactly one, or it is not solvable.
    """
    maze, known = f"the maze {reprlib.repr(text)}", notation(size).answer
    found = list(split_boards(text.splitlines(), notation(size)))
    whole = [board.question for board in found if len(board.question) == size * size]
    if len(whole) != 1 or len(found) > 1:
        raise InputError(f"{maze} {_wrong_shape(text, size, len(whole))}")
    for cell, symbol in enumerate(whole[0]):
        if symbol not in known:
            where = name_cell(cell, size)
            raise InputError(
                f"{maze} has {symbol!r} in {where}; accepted are '#' or '1', '.', ' ' or '0', 'S', and 'G' or 'E'"
            )
    characters = np.frombuffer(whole[0].encode("ascii"), dtype=np.uint8)
    if fault := mixed_letters(characters[None])[0]:
        raise InputError(f"{maze} is ambiguous: {fault}")
    tokens = np.array([known[symbol] for symbol in whole[0]], dtype=np.uint8)
    tokens[tokens == PATH] = FREE
    if fault := find_faults(tokens.reshape(1, size, size))[0]:
        raise InputError(f"{maze} cannot be solved: {fault}")
    if "1" in whole[0]:
        note_digits()
    return tokens


def _wrong_shape(text: str, size: int, count: int) -> str:
    """Return what is wrong with a text that has ``count`` mazes and is not one maze, in a phrase."""
    if count > 1:
        return f"contains {count} mazes, but one is accepted"
    lines = text.replace("\r\n", "\n").strip("\n").split("\n")
    if len(lines) not in (1, size):
        return f"has {len(lines)} lines; accepted are 1 and {size}"
    needed = size * size // len(lines)
    number, line = next(((n, line) for n, line in enumerate(lines, 1) if len(line) != needed), (1, lines[0]))
    return (
        f"has {len(line)} cells in line {number}, but {size}x{size} needs {needed}; write free cells at "
        "the end of a line as '.'"
    )
