"""Kaggle's ``submission.json``: two attempts for each test input of each task."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trm.data.arc.grids import Grid
from trm.data.arc.tasks import Puzzle, to_grid
from trm.data.atomic import atomic_write
from trm.errors import InputError, counted

ATTEMPTS = 2
Attempts = dict[str, list[list[int]]]
Submission = dict[str, list[Attempts]]
"""From task names to the attempts for each of their test inputs, in order."""


def to_attempts(answers: Sequence[Grid]) -> Attempts:
    """Return two attempts from up to two answers, the best first, since Kaggle requires both and none empty.

    A missing second attempt repeats the best answer. A missing answer or an empty grid becomes [[0]].
    """
    grids = [answer.tolist() for answer in answers[:ATTEMPTS]]
    grids += grids[:1] * (ATTEMPTS - len(grids)) or [[[0]]] * ATTEMPTS
    return {f"attempt_{number}": grid or [[0]] for number, grid in enumerate(grids[:ATTEMPTS], 1)}


def check_submission(submission: Any, puzzles: Sequence[Puzzle]) -> None:
    """Check that a submission has exactly the entries that Kaggle requires.

    Args:
        submission: the decoded JSON.
        puzzles: the tasks; those with test inputs must be answered.

    Raises:
        InputError: if an entry is missing, superfluous or malformed; the message names the first.
    """
    wanted = {puzzle.name: len(puzzle.test_inputs) for puzzle in puzzles if puzzle.test_inputs}
    if not isinstance(submission, dict):
        raise InputError(f"the submission is a {type(submission).__name__}, but must be an object from tasks to lists")
    for name in wanted.keys() ^ submission.keys():
        has, lacks = ("tests", "submission") if name in wanted else ("submission", "tests")
        raise InputError(f"task {name} is in the {has}, but not in the {lacks}")
    names = {f"attempt_{number}" for number in range(1, ATTEMPTS + 1)}
    for name, count in wanted.items():
        entries = submission[name]
        if not isinstance(entries, list) or len(entries) != count:
            found = len(entries) if isinstance(entries, list) else 0
            raise InputError(f"the submission answers {counted(found, 'test input')} of task {name}, which has {count}")
        for number, entry in enumerate(entries, 1):
            where = f"the submission, task {name}, test input {number}"
            if not isinstance(entry, dict) or entry.keys() != names:
                raise InputError(f"{where} must have exactly {' and '.join(sorted(names))}")
            for attempt in sorted(names):
                to_grid(entry[attempt], f"{where}: {attempt}")


def write_submission(path: Path, submission: Submission, puzzles: Sequence[Puzzle]) -> None:
    """Check a submission and write it by an atomic write.

    Raises:
        InputError: if the submission is not complete or the file cannot be written.
    """
    check_submission(submission, puzzles)
    with atomic_write(path, "w") as file:
        json.dump(submission, file)
