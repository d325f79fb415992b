"""Puzzles named on the command line: as text, as a file, on standard input, or as a sample or task of the family."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from trm.data import ARC, PuzzleData
from trm.data.arc.files import folder_files, task_values
from trm.data.arc.query import query_task, refuse_changed_tasks
from trm.data.arc.tasks import Task, to_task
from trm.data.boards import Board
from trm.data.samples import Tokens
from trm.data.tables import ENDINGS
from trm.errors import InputError, counted
from trm.module import TRMModule
from trm.text import STANDARD_INPUT, name_of, read_lines
from trm.training.compatibility import refuse_fixed_size

Found = TypeVar("Found", "Puzzle", Task)

SAMPLE = "test:"
"""What the name of a sample of the test split begins with."""
NAMED = 5
"""Puzzles that cannot be answered whose names a message lists."""


class Puzzle(NamedTuple):
    """A question to a model."""

    question: Tokens
    """Tokens, (L,)."""
    label: Tokens | None = None
    """Tokens of the answer if it is known, (L,), or of all that are, (A, L)."""
    puzzle_id: int = 0


class Refusal(NamedTuple):
    """A puzzle that cannot be answered."""

    name: str
    """What it was called, such as "line 3 of boards.txt"; "" if the error names it."""
    error: InputError


def refusal_of(refusals: Sequence[Refusal]) -> InputError:
    """Return one error for all puzzles that cannot be answered: the first reason, and the names of the others."""
    name, error = refusals[0]
    first = str(error) if name in str(error) else f"{name}: {error}"
    others = [name or str(error) for name, error in refusals[1:]]
    if not others:
        return InputError(first)
    more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
    return InputError(f"{first}; nor can these be answered: {', '.join(others[:NAMED])}{more}")


def find_puzzles(module: TRMModule, data: PuzzleData, given: Iterable[str]) -> Iterator[Puzzle | Refusal]:
    """Yield the puzzles that arguments name, in order: ``test:N``, ``-``, a file of puzzles, or the text of one.

    They may have another size than the puzzles of training if no parameter of the network depends on it. A puzzle that
    cannot be read is yielded as a refusal, so that the others can be answered.
    """
    for text in given:
        path = file_of(text)
        if path is not None:
            yield from _of_lines(module, data, path)
            continue
        try:
            yield _sample(module, data, text) if text.startswith(SAMPLE) else _parsed(module, data.fitting(text), text)
        except InputError as error:
            yield Refusal("", error)


def readable(found: Iterable[Found | Refusal], refusals: list[Refusal]) -> Iterator[Found]:
    """Yield what can be read, and append the rest to ``refusals``."""
    for puzzle in found:
        if isinstance(puzzle, Refusal):
            refusals.append(puzzle)
        else:
            yield puzzle


def find_puzzle(module: TRMModule, data: PuzzleData, text: str) -> Puzzle:
    """Return the one puzzle that an argument names; of an ARC task, the first test input.

    Raises:
        InputError: if there is no such puzzle, or several.
    """
    refusals: list[Refusal] = []
    if isinstance(data, ARC) and not text.startswith(SAMPLE):
        refuse_changed_tasks(data, module.hparams["num_puzzles"])
        found = [_first_test(data, task) for task in readable(find_tasks(data, text), refusals)]
    else:
        found = list(readable(find_puzzles(module, data, [text]), refusals))
    if refusals:
        raise refusal_of(refusals)
    if len(found) != 1:
        raise InputError(f"{text} contains {counted(len(found), 'puzzle')}, but one is accepted here; pass it itself")
    return found[0]


def find_tasks(data: ARC, text: str) -> Iterator[Task | Refusal]:
    """Yield the ARC tasks that an argument names: a file or folder of tasks, ``-``, or the name of a task of the model.

    A task that cannot be read is yielded as a refusal, so that the others can be answered.
    """
    named = data.task(text)
    if named is not None:
        yield named
        return
    path = Path(text) if _is_folder(text) else file_of(text)
    if path is None:
        yield Refusal("", _no_task(data, text))
        return
    try:
        files = folder_files(path) if path.is_dir() else [path]
    except InputError as error:
        yield Refusal("", error)
        return
    for file in files:
        yield from _tasks_of(file)


def _no_task(data: ARC, text: str) -> InputError:
    """Return an error for the name of no task whose test inputs are known."""
    if any(puzzle.name == text for puzzle in data.added):
        return InputError(f"the model was adapted to the task {text}, but has not kept its test inputs: pass its file")
    known = counted(len(data.puzzles) - len(data.added), "task")
    accepted = f"a file such as TASK.json, the name of one of its {known}"
    if text.startswith(SAMPLE):
        return InputError(f"{text} is a sample of the test split, but a task is needed here: {accepted}")
    return InputError(f"the puzzle is {text!r}, but a model of ARC needs a task: {accepted}, or {SAMPLE}N")


def _tasks_of(file: Path) -> Iterator[Task | Refusal]:
    """Yield the tasks of a file."""
    try:
        for name, value, where in task_values(file):
            try:
                yield to_task(name, value, where)
            except InputError as error:
                yield Refusal("", error)
    except InputError as error:
        yield Refusal("", error)


def file_of(text: str) -> Path | None:
    """Return the file that an argument names, ``-`` for standard input; None if it is the text of a puzzle."""
    if text == str(STANDARD_INPUT):
        return STANDARD_INPUT
    path = Path(text)
    with contextlib.suppress(OSError, ValueError):  # the text of a puzzle may be too long for a name
        if path.exists() and (not path.is_dir() or "/" in text):
            return path
    endings = {*ENDINGS, ".json", ".jsonl", ".gz"}
    return path if path.suffix.lower() in endings else None


def _is_folder(text: str) -> bool:
    try:
        return Path(text).is_dir()
    except (OSError, ValueError):
        return False


def _of_lines(module: TRMModule, data: PuzzleData, path: Path) -> Iterator[Puzzle | Refusal]:
    """Yield the puzzles of a file."""
    where, empty = name_of(path), True
    try:
        for family, board in _of_their_sizes(data, data.split_text(read_lines(path))):
            empty = False
            try:
                if board.fault:
                    raise InputError(board.fault)
                puzzle = _parsed(module, family, board.question)
            except InputError as error:
                yield Refusal(f"line {board.line} of {where}", error)
            else:
                yield puzzle
    except InputError as error:
        yield Refusal("", error)
    else:
        if empty:
            yield Refusal("", InputError(f"{where} contains no puzzle"))


def _of_their_sizes(data: PuzzleData, boards: Iterable[Board]) -> Iterator[tuple[PuzzleData, Board]]:
    """Yield boards with the families of their sizes; one of a wrong shape may be several of another size."""
    for board in boards:
        text = board.text or board.question
        shaped = bool(board.fault) or len(board.question) == data.seq_len
        family = data if shaped else data.fitting(text)
        if family is data:
            yield data, board
            continue
        for part in family.split_text(text.splitlines()):
            yield family, part._replace(line=board.line + part.line - 1)


def _parsed(module: TRMModule, data: PuzzleData, text: str) -> Puzzle:
    """Return the puzzle with a text.

    Raises:
        InputError: if the text is of a size that the module does not accept, or no question of the family.
    """
    refuse_fixed_size(data, dict(module.hparams))
    return Puzzle(data.parse(text), puzzle_id=data.first_id)


def _sample(module: TRMModule, data: PuzzleData, name: str) -> Puzzle:
    """Return a sample of the test split by its name.

    Raises:
        InputError: if there is none, or the model's puzzle ids stand for other puzzles.
    """
    if isinstance(data, ARC):
        refuse_changed_tasks(data, module.hparams["num_puzzles"])
    size, number = data.eval_size("test"), name.removeprefix(SAMPLE)
    if not (number.isascii() and number.isdecimal()) or int(number[:20]) >= size:
        raise InputError(f"the puzzle is {name}, but the test split has {SAMPLE}0 to {SAMPLE}{size - 1}")
    samples = data.eval_samples("test", int(number), 1)
    label = samples.labels[0] if samples.labels.any() else None
    return Puzzle(samples.inputs[0], label, int(samples.puzzle_ids[0]))


def _first_test(data: ARC, task: Task) -> Puzzle:
    """Return the first test input of a task as published."""
    samples = query_task(data, task, 1).samples
    return Puzzle(samples.inputs[0], samples.labels[0] if samples.labels[0].any() else None, int(samples.puzzle_ids[0]))
