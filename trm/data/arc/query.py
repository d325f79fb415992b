"""Solving one task with a trained model: its test inputs under many symmetries, and the votes on the answers."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm.data.arc.augment import choose_augmentations
from trm.data.arc.datamodule import ARC
from trm.data.arc.examples import Examples
from trm.data.arc.grids import Grid
from trm.data.arc.tasks import Puzzle, Solutions, Task, refuse_larger
from trm.data.arc.votes import Votes
from trm.data.samples import Samples
from trm.errors import InputError, counted


class TaskQuery(NamedTuple):
    """Samples of one task, and the votes on their answers."""

    samples: Samples
    """Test inputs under each symmetry, with the puzzle ids that the model was trained on, (N, ...)."""
    ids: NDArray[np.int32]
    """Puzzle ids in ``votes``, (N,)."""
    votes: Votes
    known: bool
    """Whether the model was trained on this task; if not, the samples have the blank puzzle id 0."""


def refuse_changed_tasks(data: ARC, num_puzzles: int) -> None:
    """Check that the tasks still give the number of puzzle ids that a model was trained on.

    Raises:
        InputError: if not, since its puzzle embedding would belong to other puzzles.
    """
    if data.num_puzzles != num_puzzles:
        raise InputError(
            f"the tasks of {data.source} give {counted(data.num_puzzles, 'puzzle id')}, but the checkpoint was "
            f"trained on {num_puzzles}: the tasks have changed since"
        )


def refuse_unanswerable(data: ARC, task: Task) -> None:
    """Check that a task has a test input, and that its grids fit on the model's canvas.

    Raises:
        InputError: if not.
    """
    if not task.test:
        raise InputError(
            f"task {task.name} has {counted(len(task.train), 'pair')}, as in re-arc or BARC, but no test input to "
            "answer; accepted is an object with the lists 'train' and 'test'"
        )
    refuse_larger(task, data.side)


def query_task(data: ARC, task: Task, views: int) -> TaskQuery:
    """Return the samples of a task: every test input under at most ``views`` symmetries.

    A task is known if the model was trained on a task with its name or with its train pairs. Outputs of test pairs are
    only used to count right answers.

    Raises:
        InputError: if the task has no test input, or a grid of it is larger than the model's canvas.
    """
    refuse_unanswerable(data, task)
    inputs, outputs = [pair.input for pair in task.test], [pair.output for pair in task.test]
    index = find_known(data, task)
    if index is None:
        shown = [(pair.input, pair.output) for pair in task.train if pair.output is not None]
        puzzles = [Puzzle(task.name, shown, inputs)]
        symmetries = choose_augmentations(puzzles, views - 1, data.seed)
    else:
        puzzles = [Puzzle(puzzle.name, [], []) for puzzle in data.puzzles]
        puzzles[index] = Puzzle(task.name, [], inputs)
        symmetries = data.symmetries
    first, last = symmetries.first[(index or 0) : (index or 0) + 2]
    ids = np.arange(first, min(first + views, last))
    tests = np.repeat(np.arange(len(inputs)), len(ids))
    ids = np.tile(ids, len(inputs)).astype(np.int32)
    answers: list[tuple[Grid, Grid | None]] = list(zip(inputs, outputs, strict=True))
    samples = Examples.collect([answers]).samples(tests, ids, symmetries, data.side)
    if index is None:
        samples = samples._replace(puzzle_ids=np.zeros_like(ids))
    return TaskQuery(samples, ids, Votes(puzzles, Solutions({task.name: outputs}), symmetries), index is not None)


def find_known(data: ARC, task: Task) -> int | None:
    """Return the index of the task among the tasks trained on, by its name or its train pairs; None if not there."""
    for index, puzzle in enumerate(data.puzzles):
        if puzzle.name == task.name:
            return index
    return next((index for index, puzzle in enumerate(data.puzzles) if has_pairs(puzzle, task)), None)


def has_pairs(puzzle: Puzzle, task: Task) -> bool:
    """Return whether the train pairs of a task are among those of a puzzle."""

    def key(question: Grid, answer: Grid | None) -> tuple[object, ...]:
        return question.tobytes(), question.shape, None if answer is None else (answer.tobytes(), answer.shape)

    return {key(*pair) for pair in task.train} <= {key(*pair) for pair in puzzle.train_pairs}
