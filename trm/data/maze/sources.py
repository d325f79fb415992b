"""Sources of mazes: the generator with its cache, or tables of mazes that are checked when read."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from trm.data.maze.generator import generate
from trm.data.maze.paths import LABEL_RULES, Mazes, find_errors, find_faults
from trm.data.maze.text import inversion, mixed_letters, notation, note_digits
from trm.data.progress import Progress
from trm.data.splits import Counts, Range, generated_split
from trm.data.tables import Table, choose_rows, find_table, read_table
from trm.errors import InputError

MAZE_HARD = "sapientinc/maze-30x30-hard-1k"


def generated(
    split: str,
    first: int,
    size: int,
    counts: Mapping[str, int],
    kind: str,
    min_moves: int,
    solutions: Range | None,
    seed: int,
    root: Path,
) -> Mazes:
    """Return at least the ``first`` generated questions of a split, from the cache in ``root`` if they are there.

    Raises:
        InputError: if too few such mazes are found.
    """
    arguments = {"size": size, "counts": dict(counts), "kind": kind, "min_moves": min_moves, "seed": seed}
    arguments |= {"solutions": solutions} if solutions else {}

    def make(progress: Progress, only: Mapping[str, int] | None) -> dict[str, Mazes]:
        return generate(size, counts, kind, min_moves, seed, progress, only, solutions)

    return generated_split(root, f"maze-{kind}-{size}x{size}", arguments, split, first, make)[split]


def tabled(
    split: str, size: int, counts: Counts, source: str, label_rule: str | None, seed: int, root: Path
) -> tuple[Mazes, Mazes]:
    """Return questions and answers of a seeded subset of a table; "val" is held out of the training file.

    Every row of the file is checked: its maze is solvable, and its answer is the shortest path of the label rule, by
    which rows without an answer are answered.

    Raises:
        InputError: if the file is missing, a row is wrong, or there are too few.
    """
    path = find_table(split, source, MAZE_HARD, root)
    table = read_table(path, notation(size))
    questions, answers = (part.reshape(-1, size, size) for part in (table.questions, table.answers))
    _refuse(table, "question", mixed_letters(table.characters))
    digits = (table.characters == ord("1")).any(axis=1)
    if digits.any():
        if fault := inversion(questions[digits], answers[digits]):
            raise InputError(f"{table.where(int(digits.argmax()))}: {fault}")
        note_digits()
    _refuse(table, "question", find_faults(questions))
    missing = (answers == 0).all(axis=(1, 2))
    if label_rule is None:
        table.refuse(missing, "there is no answer, which data.label_rule null requires")
    elif missing.any():
        answers[missing] = LABEL_RULES[label_rule](questions[missing])
    _refuse(table, "answer", find_errors(questions, answers))
    if label_rule is not None:
        others = (LABEL_RULES[label_rule](questions) != answers).any(axis=(1, 2))
        why = f"a shortest path, but not that of data.label_rule {label_rule}; null accepts any shortest path"
        _refuse(table, "answer", [why if other else "" for other in others])
    rows = choose_rows(path, split, np.arange(len(questions)), counts, seed, shared=path == Path(source))
    return questions[rows], answers[rows]


def _refuse(table: Table, column: str, faults: list[str]) -> None:
    """Raise for the first row that has a fault."""
    for row, fault in enumerate(faults):
        if fault:
            raise InputError(f"{table.where(row)}: the {column} is wrong: {fault}")
