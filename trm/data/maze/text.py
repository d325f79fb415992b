"""Mazes as text: how they are written and read."""

import functools
import math
import reprlib
from collections.abc import Sequence

import numpy as np
from lightning_utilities.core.rank_zero import rank_zero_info
from numpy.typing import NDArray

from trm.data.boards import Notation, split_boards
from trm.data.maze.paths import FREE, GOAL, PATH, SIZES, START, WALL, Mazes, find_errors, find_faults
from trm.data.samples import Tokens, name_cell
from trm.errors import InputError, counted


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


def inversion(questions: Mazes, answers: Mazes | None = None) -> str:
    """Return why mazes of digits make sense only if 0 is a wall and 1 a free cell; "" if they do not.

    All of them, and their answers, must then be right; and with 1 as a wall either one is wrong, or there is neither an
    answer nor a wall on any border. Mazes that make sense in both ways are read with 1 as a wall.

    Args:
        questions: as read, with 1 as a wall, (N, size, size).
        answers: as read; zeros where there is none.
    """
    answered = answers is not None and bool(answers.any())
    read = _are_right(questions, answers)
    exchanged = _are_right(_exchanged(questions), None if answers is None else _exchanged(answers))
    border = np.pad(np.zeros((questions.shape[1] - 2,) * 2, dtype=np.bool_), 1, constant_values=True)
    open_border = not answered and bool((questions[:, border] == FREE).all())
    if not exchanged or (read and not open_border):
        return ""
    reason = "no maze has a wall on its border" if read else "a maze has no path from S to G"
    reason = "a maze or its answer is wrong" if answered else reason
    return (
        f"if 1 is a wall, as it is read, {reason}; if 0 is one, all are right: write walls as '#' and free cells as "
        "'.', or exchange 0 and 1"
    )


def _are_right(questions: Mazes, answers: Mazes | None) -> bool:
    """Return whether all mazes can be solved, and those with an answer have a right one."""
    if any(find_faults(questions)):
        return False
    if answers is None:
        return True
    given = answers.any(axis=(1, 2))
    return not any(find_errors(questions[given], answers[given]))


def _exchanged(mazes: Mazes) -> Mazes:
    """Return mazes with walls and free cells exchanged."""
    exchange = np.arange(PATH + 1, dtype=np.uint8)
    exchange[[WALL, FREE]] = FREE, WALL
    return exchange[mazes]


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
    board = tokens.reshape(1, size, size)
    if "1" in whole[0] and (fault := inversion(board)):
        raise InputError(f"{maze} makes no sense: {fault}")
    if fault := find_faults(board)[0]:
        raise InputError(f"{maze} cannot be solved: {fault}")
    if "1" in whole[0]:
        note_digits()
    return tokens


def _wrong_shape(text: str, size: int, count: int) -> str:
    """Return what is wrong with a text that has ``count`` mazes and is not one maze, in a phrase."""
    if count > 1:
        return f"contains {counted(count, 'maze')}, but one is accepted"
    lines = text.replace("\r\n", "\n").strip("\n").split("\n")
    if len(lines) not in (1, size):
        return f"has {counted(len(lines), 'line')}; accepted are 1 and {size}{_no_size(lines)}"
    needed = size * size // len(lines)
    number, line = next(((n, line) for n, line in enumerate(lines, 1) if len(line) != needed), (1, lines[0]))
    return (
        f"has {counted(len(line), 'cell')} in line {number}, but {size}x{size} needs {needed}; write free cells at "
        f"the end of a line as '.'{_no_size(lines)}"
    )


def _no_size(lines: Sequence[str]) -> str:
    """Return which sizes mazes have, in a phrase, if lines are a maze of none of them; "" if of one."""
    side = math.isqrt(sum(map(len, lines)))
    widths = {len(line) for line in lines}
    is_square = widths == {side**2} or (widths == {side} and len(lines) == side)
    return "" if is_square and side in SIZES else f"; mazes are squares of {SIZES[0]} to {SIZES[-1]} cells a side"
