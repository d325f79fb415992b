"""The official puzzle ids, which index the puzzle embedding of official checkpoints.

The official builder seeds NumPy's legacy random generator once. For each subset it takes the order of the tasks from
the generator, then for each task symmetries until enough images differ. Ids therefore depend on the order of the tasks
in the files and on all earlier tasks. Unlike our own numbering they also depend on test outputs, since whole images are
compared; test outputs are not trained on here either. The resulting numbers of ids equal the published ones of both
official data sets, see ``tests/data/arc``.

Shapes: C candidates.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from trm.data.arc.augment import IDENTITY, TRIALS, Augmentations, image_keys, pair_sums
from trm.data.arc.grids import COLOURS, SIDE, TRANSFORMS
from trm.data.arc.tasks import Task
from trm.errors import InputError

SEED = 42
OFFICIAL_ROWS = {
    876_406: ("training", "evaluation", "concept"),
    1_191_730: ("training2", "evaluation2", "concept"),
}
"""Number of puzzle ids in the official ARC-AGI-1 and ARC-AGI-2 recipes, and their subsets in order."""
CONCEPT_ROWS = 145_891
"""Number of puzzle ids of ConceptARC, the last ones in both recipes."""


def check_numbering(numbering: str, concept: str | None, side: int) -> None:
    """Check the argument ``numbering`` of the data module, and what the official one excludes.

    Raises:
        InputError: if there is no such numbering, or another argument would change the order of the official one.
    """
    if numbering not in ("own", "official"):
        raise InputError(f"data.numbering is {numbering!r}, but must be own or official")
    if numbering == "official" and concept:
        raise InputError(
            "data.concept is a folder of task files, but the official numbering follows the order of "
            "arc-agi_concept_challenges.json: leave it out, or have that file in the folder data.source"
        )
    if numbering == "official" and side != SIDE:
        raise InputError(
            f"data.side is {side}, but must be {SIDE} with the official numbering, which is that of all tasks: a "
            "smaller canvas leaves some out"
        )


def number_officially(
    subsets: Mapping[str, Sequence[Task]], wanted: int
) -> tuple[dict[str, list[Task]], Augmentations]:
    """Return the tasks in the order of their official ids, and the symmetry of each id.

    Args:
        subsets: tasks of each subset in the order of Kaggle's files; subsets in the order of the official command.
        wanted: augmentations per task.
    """
    random = np.random.RandomState(SEED)
    ordered: dict[str, list[Task]] = {}
    chosen = []
    for subset, tasks in subsets.items():
        order = list(range(len(tasks)))
        random.shuffle(order)
        ordered[subset] = [tasks[index] for index in order]
        chosen += [_choose(task, wanted, random) for task in ordered[subset]]
    return ordered, Augmentations.collect(chosen)


def _choose(task: Task, wanted: int, random: np.random.RandomState) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return transforms, (1 + found,), and colours, (1 + found, 10), of a task; the first are the identity."""
    sums = pair_sums([*task.train, *task.test])
    kept = [IDENTITY]
    seen = set(image_keys(sums, *IDENTITY).tolist())
    trials = TRIALS * wanted
    while trials and len(seen) <= wanted:
        count = min(trials, wanted + 1 - len(seen))  # no more than needed: the generator must not advance further
        transforms, colours = _candidates(count, random)
        trials -= count
        fresh = np.zeros(count, dtype=bool)
        for index, key in enumerate(image_keys(sums, transforms, colours).tolist()):
            fresh[index] = key not in seen
            seen.add(key)
        kept.append((transforms[fresh], colours[fresh]))
    transforms, colours = map(np.concatenate, zip(*kept, strict=True))
    return transforms, colours


def _candidates(count: int, random: np.random.RandomState) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return random transforms, (C,), and colours that keep black, (C, 10), generated alternately."""
    transforms = np.empty(count, dtype=np.uint8)
    colours = np.tile(np.arange(COLOURS, dtype=np.uint8), (count, 1))
    for index, others in enumerate(colours[:, 1:]):
        transforms[index] = random.randint(TRANSFORMS)
        random.shuffle(others)
    return transforms, colours
