"""Files of ARC tasks: one task, Kaggle's pair of files, re-arc's lists of pairs, JSON lines; and folders of them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trm.data.arc.tasks import Task, is_pairs, is_task, to_task
from trm.errors import InputError, counted
from trm.text import LARGEST, encoding_fault, name_of, parse_json, read_json, read_lines, read_text

NAMES = ("task_id", "id", "name", "key", "puzzle_id")
"""Keys under which a line of JSON may have the name of its task."""


def folder_files(folder: Path) -> list[Path]:
    """Return the task files of a folder (``*.json``) or, if it has none, of its subfolders, sorted.

    Hidden files, such as the ``._TASK.json`` that macOS leaves, are left out.

    Raises:
        InputError: if the folder is missing or has no task files.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is missing; a folder of ARC task files (*.json) is needed there")
    for pattern in ("*.json", "*/*.json"):
        if found := sorted(path for path in folder.glob(pattern) if not path.name.startswith(".")):
            return found
    raise InputError(f"{folder} has no task files (*.json or */*.json)")


def read_task(path: Path) -> Task:
    """Return the task of one official file; its test outputs may be missing.

    Raises:
        InputError: if it is not the file of one task.
    """
    tasks = read_tasks(path)
    if len(tasks) != 1:
        raise InputError(f"{name_of(path)} contains {counted(len(tasks), 'task')}, but one is accepted")
    return tasks[0]


def read_tasks(path: Path) -> list[Task]:
    """Return the tasks of a file, in its order; see ``task_values``.

    Raises:
        InputError: if it cannot be read or a task is malformed.
    """
    return [to_task(*found) for found in task_values(path)]


def task_values(path: Path) -> Iterator[tuple[str, Any, str]]:
    """Yield the name, the decoded JSON and the place of each task of a file, for ``to_task``.

    A file contains one task; or an object from names to tasks, as Kaggle's challenges, whose solutions are read from
    the file beside it; or a list of tasks or of pairs; or one of these in each line (.jsonl).

    Raises:
        InputError: if the file cannot be read, or contains no tasks.
    """
    where = name_of(path)
    if ".jsonl" in path.suffixes or ".ndjson" in path.suffixes:
        yield from _of_lines(read_lines(path, LARGEST), path.name.partition(".")[0], where)
        return
    text = read_text(path)
    lines = text.splitlines()
    if len(lines) > 1 and _is_json_lines(lines):
        yield from _of_lines(iter(lines), path.name.partition(".")[0], where)
        return
    value = parse_json(text, where)
    name = "task" if where != str(path) else path.name.removesuffix(".gz").removesuffix(".json")
    if isinstance(value, list) and value and all(map(is_task, value)):
        for number, task in enumerate(value, 1):
            yield _name(task, f"{name}-{number}"), task, where
    elif isinstance(value, dict) and value and not is_task(value):
        for task, challenge in _with_solutions(value, path).items():
            yield task, challenge, where
    else:
        yield name, value, where


def _is_json_lines(lines: list[str]) -> bool:
    """Return whether the first two lines that are not empty are an object or list each."""
    first = [line.strip() for line in lines if line.strip()][:2]
    return len(first) == 2 and all(line[0] + line[-1] in ("{}", "[]") for line in first)


def _of_lines(lines: Iterator[str], stem: str, where: str) -> Iterator[tuple[str, Any, str]]:
    """Yield the task of each line of JSON; without a name of its own it has that of the file and its number.

    A line that cannot be read is reported behind the last one, so that the others can be used.
    """
    faults: list[InputError] = []
    empty = True
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        empty, place = False, f"{where}, line {number}"
        try:
            if fault := encoding_fault(line):
                raise InputError(f"{place} has {fault}")
            value = parse_json(line, place)
        except InputError as error:
            faults.append(error)
        else:
            yield _name(value, f"{stem}-{number}"), value, place
    if faults:
        more = f"; nor can {counted(len(faults) - 1, 'other line')} be read" if faults[1:] else ""
        raise InputError(f"{faults[0]}{more}")
    if empty:
        raise InputError(f"{where} contains no tasks; a task in each line is needed")


def _name(value: Any, default: str) -> str:
    names = [value[key] for key in NAMES if isinstance(value, Mapping) and isinstance(value.get(key), str | int)]
    return str(names[0]) if names else default


def _with_solutions(questions: dict[str, Any], challenges: Path) -> dict[str, Any]:
    """Return Kaggle's challenges with the test outputs of the solutions file beside them, if there is one.

    Raises:
        InputError: if the object is not one of tasks, or the two files do not match.
    """
    where = name_of(challenges)
    if all(isinstance(value, list) and not is_pairs(value) for value in questions.values()):
        raise InputError(f"{where} contains solutions or attempts, but no tasks; those are in Kaggle's challenges")
    solutions = challenges.with_name(challenges.name.replace("_challenges", "_solutions"))
    if solutions == challenges or not solutions.is_file():
        return questions
    answers = read_json(solutions)
    if not isinstance(answers, dict) or not answers:
        raise InputError(f"{solutions} contains no tasks; an object from task names to solutions is needed")
    if questions.keys() != answers.keys():
        odd = min(questions.keys() ^ answers.keys())
        raise InputError(f"{challenges} and {solutions} do not belong together: only one of them has task {odd}")
    for name, outputs in answers.items():
        _fill_in(questions[name], outputs, f"{solutions}, task {name}")
    return questions


def _fill_in(task: Any, outputs: Any, where: str) -> None:
    """Add the outputs to the test pairs of a challenge; ``to_task`` checks the rest of it."""
    tests = task.get("test", []) if isinstance(task, dict) else []
    if not isinstance(outputs, list) or len(outputs) != len(tests):
        count = len(outputs) if isinstance(outputs, list) else 0
        raise InputError(
            f"{where} has {counted(count, 'test output')}, but the challenge has {counted(len(tests), 'test input')}"
        )
    for pair, output in zip(tests, outputs, strict=True):
        if isinstance(pair, dict):
            pair["output"] = output
