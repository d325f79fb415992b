"""Sources of Sudoku puzzles: the generator with its cache, or tables of puzzles that are checked when read.

Boards are digits, 0 for a blank, (N, size * size) uint8.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm.data.cache import Progress
from trm.data.splits import Counts, generated_split
from trm.data.sudoku.generator import generate
from trm.data.sudoku.solver import is_valid_grid, solve
from trm.data.tables import choose_rows, find_table, read_table
from trm.errors import InputError

SYMBOLS = "123456789ABCDEFG"
SUDOKU_EXTREME = "sapientinc/sudoku-extreme"
PROVEN_ROWS = 1000
"""Rows of each split of a table that are proven to have one solution; a proof takes milliseconds for a hard puzzle."""

Boards = NDArray[np.uint8]


def generated(
    split: str, first: int, size: int, counts: Mapping[str, int], clues: tuple[int, int] | None, seed: int, root: Path
) -> tuple[Boards, Boards]:
    """Return at least the ``first`` generated questions and answers, from the cache in ``root`` if they are there.

    Raises:
        InputError: if too few such puzzles are found.
    """
    arguments = {"size": size, "counts": dict(counts), "clues": clues, "seed": seed}

    def make(progress: Progress, only: Mapping[str, int] | None) -> dict[str, NDArray[Any]]:
        puzzles = generate(size, counts, clues, seed, progress, only)
        return {f"{part}_{name}": array for part in puzzles for name, array in puzzles[part]._asdict().items()}

    arrays = generated_split(root, f"sudoku-{size}x{size}", arguments, split, first, make)
    return arrays[f"{split}_questions"], arrays[f"{split}_answers"]


def tabled(
    split: str, size: int, counts: Counts, source: str, min_rating: int, seed: int, root: Path
) -> tuple[Boards, Boards]:
    """Return questions and answers of a seeded subset of a table; "val" is held out of the training file.

    The format and the answer of every row are checked. The first ``PROVEN_ROWS`` rows of the subset are proven to have
    no second solution.

    Raises:
        InputError: if the file is missing, a row is wrong, or there are too few.
    """
    path = find_table(split, source, SUDOKU_EXTREME, root)
    digits = SYMBOLS[:size]
    table = read_table(path, size * size, question_alphabet="." + digits, answer_alphabet=digits)
    questions, answers = to_digits(table.questions), to_digits(table.answers)
    _refuse(path, ~is_valid_grid(answers, size), "the answer breaks the rules of Sudoku")
    _refuse(path, ((questions != 0) & (questions != answers)).any(axis=1), "the question contradicts its answer")
    rows = choose_rows(path, split, np.flatnonzero(table.ratings >= min_rating), counts, seed)
    _prove(path, questions, rows[:PROVEN_ROWS], size)
    return questions[rows], answers[rows]


def to_digits(characters: NDArray[np.uint8]) -> Boards:
    """Return the digits of ASCII codes of ``SYMBOLS``, "." or "0"."""
    digit_of = np.zeros(128, dtype=np.uint8)
    digit_of[np.frombuffer(SYMBOLS.encode(), dtype=np.uint8)] = np.arange(1, len(SYMBOLS) + 1)
    return digit_of[characters]


def _prove(path: Path, questions: Boards, rows: NDArray[np.int64], size: int) -> None:
    several = np.zeros(len(questions), dtype=bool)
    several[rows] = solve(questions[rows], size).counts > 1
    _refuse(path, several, "the question has several solutions, but exactly one is needed")


def _refuse(path: Path, wrong: NDArray[np.bool_], why: str) -> None:
    """Raise for the first row that is wrong; data starts in line 2."""
    if wrong.any():
        raise InputError(f"{path}, line {int(wrong.argmax()) + 2}: {why}")
