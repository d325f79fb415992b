"""Sources of Sudoku puzzles: the generator with its cache, or tables of puzzles that are checked when read.

Boards are digits, 0 for a blank, (N, size * size) uint8.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm.data.progress import Progress
from trm.data.splits import Counts, Range, generated_split
from trm.data.sudoku.generator import generate
from trm.data.sudoku.solver import is_valid_grid, solve
from trm.data.sudoku.text import notation
from trm.data.tables import Table, choose_rows, find_table, read_table

SUDOKU_EXTREME = "sapientinc/sudoku-extreme"
PROVEN_ROWS = 1000
"""Rows of each split of a table that are proven to have one solution; a proof takes milliseconds for a hard puzzle."""

Boards = NDArray[np.uint8]


def generated(
    split: str,
    first: int,
    size: int,
    counts: Mapping[str, int],
    clues: Range | None,
    solutions: Range | None,
    seed: int,
    root: Path,
) -> tuple[Boards, Boards]:
    """Return at least the ``first`` generated questions and answers, from the cache in ``root`` if they are there.

    With a range of ``solutions`` [least, A] all solutions are returned, (N, A, cells), zeros where there are fewer.

    Raises:
        InputError: if too few such puzzles are found.
    """
    arguments = {"size": size, "counts": dict(counts), "clues": clues, "seed": seed}
    arguments |= {"solutions": solutions} if solutions else {}

    def make(progress: Progress, only: Mapping[str, int] | None) -> dict[str, NDArray[Any]]:
        puzzles = generate(size, counts, clues, seed, progress, only, solutions)
        return {f"{part}_{name}": array for part in puzzles for name, array in puzzles[part]._asdict().items()}

    arrays = generated_split(root, f"sudoku-{size}x{size}", arguments, split, first, make)
    return arrays[f"{split}_questions"], arrays[f"{split}_answers"]


def tabled(
    split: str, size: int, counts: Counts, source: str, min_rating: float, seed: int, root: Path
) -> tuple[Boards, Boards]:
    """Return questions and answers of a seeded subset of a table; "val" is held out of the training file.

    The format and the answer of every row are checked; of a row without an answer, it is the solution. The first
    ``PROVEN_ROWS`` rows of the subset, and all without an answer, are proven to have no second solution.

    Raises:
        InputError: if the file is missing, a row is wrong, or there are too few.
    """
    path = find_table(split, source, SUDOKU_EXTREME, root)
    table = read_table(path, notation(size), min_rating)
    given = (table.answers != 0).any(axis=1)
    table.refuse(given & ~is_valid_grid(table.answers, size), "the answer breaks the rules of Sudoku")
    contradicts = (table.questions != 0) & (table.questions != table.answers)
    table.refuse(given & contradicts.any(axis=1), "the question contradicts its answer")
    rows = choose_rows(
        path, split, np.flatnonzero(table.ratings >= min_rating), counts, seed, shared=path == Path(source)
    )
    _prove(table, rows[:PROVEN_ROWS][given[rows[:PROVEN_ROWS]]], size)
    if not given[rows].all():
        _answer(table, rows[~given[rows]], size)
    return table.questions[rows], table.answers[rows]


def _prove(table: Table, rows: NDArray[np.int64], size: int) -> None:
    several = np.zeros(len(table.questions), dtype=bool)
    several[rows] = solve(table.questions[rows], size).counts > 1
    table.refuse(several, "the question has several solutions, but exactly one is needed")


def _answer(table: Table, rows: NDArray[np.int64], size: int) -> None:
    """Fill in the answers of rows, which have none."""
    found = solve(table.questions[rows], size)
    for count, why in ((0, "no solution"), (2, "several solutions"), (-1, "no solution that is found in time")):
        wrong = np.zeros(len(table.questions), dtype=bool)
        wrong[rows] = found.counts == count
        table.refuse(wrong, f"the question has {why}, but exactly one is needed")
    table.answers[rows] = found.solutions
