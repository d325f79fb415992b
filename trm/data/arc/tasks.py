"""ARC tasks: their types, the check of decoded JSON, and the withholding of test outputs."""

import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from lightning_utilities.core.rank_zero import rank_zero_info

from trm.data.arc.grids import COLOURS, SIDE, Grid
from trm.errors import InputError, counted
from trm.text import parse_json

PUBLISHED_TWICE = {"40853293", "070dd51e"}
"""One task under two names, in ARC-AGI-1's training and evaluation subsets; the official recipe trains on both."""


class Pair(NamedTuple):
    """An example of a task; an output that is not public is None."""

    input: Grid
    output: Grid | None


class Task(NamedTuple):
    """A task as published."""

    name: str
    train: list[Pair]
    test: list[Pair]

    @property
    def side(self) -> int:
        """The largest height or width of its grids."""
        pairs = [*self.train, *self.test]
        return int(max(max(grid.shape) for pair in pairs for grid in pair if grid is not None))


class Puzzle(NamedTuple):
    """A task without its withheld outputs; training, augmentation and puzzle ids depend on nothing else."""

    name: str
    train_pairs: list[tuple[Grid, Grid]]
    """Inputs and outputs to train on."""
    test_inputs: list[Grid]
    """Test inputs to answer; empty if the task is only trained on."""


class Solutions(dict[str, list[Grid | None]]):
    """The withheld outputs by task, in the order of ``Puzzle.test_inputs``; for evaluation only."""


def withhold(subsets: Mapping[str, Sequence[Task]], test_subset: str) -> tuple[list[Puzzle], Solutions]:
    """Separate the test outputs of the test subset from the tasks; other subsets keep all pairs.

    Raises:
        InputError: if another subset would leak them, or lacks the outputs of its own test pairs.
    """
    _refuse_overlap(subsets, test_subset)
    puzzles, solutions = [], Solutions()
    for subset, tasks in subsets.items():
        for name, train, test in tasks:
            if subset == test_subset:
                if not test:
                    raise InputError(f"task {name} of the test subset {subset} has no test pairs; others may lack them")
                puzzles.append(Puzzle(name, _solved(subset, name, train), [pair.input for pair in test]))
                solutions[name] = [pair.output for pair in test]
            else:
                puzzles.append(Puzzle(name, _solved(subset, name, [*train, *test]), []))
    _refuse_leaks(puzzles, solutions, test_subset)
    return puzzles, solutions


def is_task(value: Any) -> bool:
    """Return whether decoded JSON has the form of a task; its parts are not checked."""
    return isinstance(value, Mapping) and not value.keys().isdisjoint(("train", "test", "examples"))


def is_pairs(value: Any) -> bool:
    """Return whether decoded JSON is a list of pairs, as in re-arc; its parts are not checked."""
    return isinstance(value, list) and bool(value) and all(map(_is_pair, value))


def to_task(name: str, value: Any, where: str) -> Task:
    """Return a task from its decoded JSON, ``{"train": [{"input", "output"}, ...], "test": [...]}``.

    Pairs that are not divided into train and test pairs are train pairs: a list of them, as in re-arc, or
    ``{"examples": [...]}``, as in BARC. A task without test pairs can only be trained on.

    Args:
        name: name of the task.
        value: the decoded JSON.
        where: the file, for messages.

    Raises:
        InputError: if a part is missing or malformed.
    """
    where = f"{where}, task {name}"
    if isinstance(value, Mapping) and "train" not in value and isinstance(value.get("examples"), list):
        value = value["examples"]
    if is_pairs(value):
        value = {"train": value}
    elif not (
        isinstance(value, Mapping) and isinstance(value.get("train"), list) and isinstance(value.get("test"), list)
    ):
        raise InputError(f"{where} is not a task: an object with the lists 'train' and 'test' is needed")
    for part in value.keys() & {"train", "test"}:
        if not value[part]:
            raise InputError(f"{where} has no {part} pair, but at least one is needed")
    pairs = {
        part: [
            _to_pair(pair, f"{part} pair {number}", where, part == "train")
            for number, pair in enumerate(value.get(part, []), 1)
        ]
        for part in ("train", "test")
    }
    return Task(name, **pairs)


def checked(task: Task) -> Task:
    """Return a task that somebody may have built by hand, with its grids as arrays.

    Raises:
        InputError: if it is no task, or a part of it is malformed.
    """
    if not isinstance(task, Task):
        raise InputError(
            f"tasks has {_short(task)}, a {type(task).__name__}; accepted are tasks, as trm.data.arc.files.read_task "
            "returns"
        )
    parts = {"train": task.train, "test": task.test}
    pairs = {part: [pair._asdict() if isinstance(pair, Pair) else pair for pair in parts[part]] for part in parts}
    return to_task(task.name, pairs, "tasks")


def write_demonstrations(task: Task) -> str:
    """Return the name and the train pairs of a task as JSON; its test pairs are left out."""
    pairs = [{name: grid.tolist() for name, grid in pair._asdict().items()} for pair in task.train]
    return json.dumps({"name": task.name, "train": pairs})


def read_demonstrations(text: str, side: int) -> Puzzle:
    """Return the task that ``write_demonstrations`` wrote, for training only.

    Args:
        text: the JSON.
        side: rows and columns of the canvas.

    Raises:
        InputError: if it is malformed, or has a larger grid than the canvas.
    """
    value = parse_json(text, "data.added")
    name = value.get("name") if isinstance(value, Mapping) else None
    if not isinstance(name, str):
        raise InputError(f"data.added contains {_short(value)}, but needs tasks as objects with a name and train pairs")
    task = to_task(name, value.get("train"), "data.added")
    refuse_larger(task, side)
    return Puzzle(name, [(pair.input, pair.output) for pair in task.train if pair.output is not None], [])


def refuse_larger(task: Task, side: int) -> None:
    """Check that the grids of a task fit on a canvas of so many rows and columns.

    Raises:
        InputError: if one does not.
    """
    if task.side > side:
        raise InputError(
            f"task {task.name} has a grid of {task.side} rows or columns, but the model's canvas (data.side) has {side}"
        )


def to_grid(value: Any, what: str) -> Grid:
    """Return a grid from rows of colours.

    Args:
        value: lists of lists, or an array.
        what: name of the value, for messages.

    Raises:
        InputError: if the rows differ in length, or a size or colour is out of range.
    """
    rows = value.tolist() if isinstance(value, np.ndarray) else value
    if not (isinstance(rows, list) and rows and all(isinstance(row, list) and row for row in rows)):
        raise InputError(f"{what} is {_short(rows)}, but a grid is a list of rows, each a list of colours")
    lengths = {len(row) for row in rows}
    if len(lengths) > 1:
        raise InputError(f"{what} has rows of {min(lengths)} and of {max(lengths)} cells, but all must be equally long")
    if max(len(rows), *lengths) > SIDE:
        raise InputError(f"{what} is {len(rows)}x{lengths.pop()}, but grids have at most {SIDE} rows and columns")
    for row, cells in enumerate(rows, 1):
        for column, colour in enumerate(cells, 1):
            if type(colour) is not int or not 0 <= colour < COLOURS:
                raise InputError(
                    f"{what} has {_short(colour)} in row {row}, column {column}; colours are the numbers 0 to 9"
                )
    return np.array(rows, dtype=np.uint8)


def _is_pair(value: Any) -> bool:
    """Return whether decoded JSON has the form of a pair: an object, or a list of two grids."""
    if isinstance(value, Mapping):
        return "input" in value
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(grid, list) and grid for grid in value)
        and all(isinstance(row, list) for grid in value for row in grid)
    )


def _to_pair(value: Any, what: str, where: str, solved: bool) -> Pair:
    if isinstance(value, list) and _is_pair(value):
        value = dict(zip(("input", "output"), value, strict=True))
    missing = isinstance(value, Mapping) and value.get("output") is None
    if not (isinstance(value, Mapping) and "input" in value and not (solved and missing)):
        raise InputError(f"{where}: {what} is {_short(value)}, but an object with an input and an output is needed")
    output = None if missing else to_grid(value["output"], f"{where}: the output of {what}")
    return Pair(to_grid(value["input"], f"{where}: the input of {what}"), output)


def _short(value: Any) -> str:
    try:
        text = json.dumps(value)
    except TypeError:
        text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _solved(subset: str, name: str, pairs: Sequence[Pair]) -> list[tuple[Grid, Grid]]:
    solved = [(pair.input, pair.output) for pair in pairs if pair.output is not None]
    if len(solved) < len(pairs):
        raise InputError(f"task {name} of {subset} has no test outputs; only the test subset may lack them")
    return solved


def _refuse_overlap(subsets: Mapping[str, Sequence[Task]], test_subset: str) -> None:
    """Raise if a task is in two subsets: it would leak test outputs, or get two sets of puzzle ids."""
    for first, second in combinations(sorted(subsets, key=lambda subset: subset == test_subset), 2):
        shared = sorted({task.name for task in subsets[first]} & {task.name for task in subsets[second]})
        if not shared:
            continue
        tasks = f"{counted(len(shared), 'task')} of {second}, such as {shared[0]}"
        if second == test_subset:
            raise InputError(
                f"{first} contains {tasks}: training on it would leak answers of the test subset; leave it out"
            )
        raise InputError(f"{first} contains {tasks}: a task may be trained on only once; leave out one of the subsets")


def _refuse_leaks(puzzles: Sequence[Puzzle], solutions: Solutions, test_subset: str) -> None:
    """Raise if a test pair is also a training pair of a task with another name.

    The one such task of the official data is kept, to make scores comparable with published ones, and reported.
    """

    def key(question: Grid, answer: Grid) -> tuple[Any, ...]:
        return question.shape, question.tobytes(), answer.shape, answer.tobytes()

    withheld = {
        key(question, answer): puzzle.name
        for puzzle in puzzles
        for question, answer in zip(puzzle.test_inputs, solutions.get(puzzle.name, []), strict=False)
        if answer is not None
    }
    for puzzle in puzzles:
        for pair in puzzle.train_pairs:
            name = withheld.get(key(*pair), puzzle.name)
            if {name, puzzle.name} == PUBLISHED_TWICE:
                rank_zero_info(f"ARC as published: task {name} of {test_subset} is trained on as task {puzzle.name}.")
            elif name != puzzle.name:
                raise InputError(
                    f"a test pair of task {name} of {test_subset} is also in task {puzzle.name}: training on it would "
                    "leak an answer of the test subset; leave one of the two out"
                )
