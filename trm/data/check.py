"""Looking for what is wrong with a set of puzzles: duplicates, leaks between splits, wrong or ambiguous answers."""

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np

from trm.data.base import PuzzleData, Rows


class Report(NamedTuple):
    """What was found."""

    rows: dict[str, int]
    """Rows per split."""
    faults: dict[str, int]
    """How many rows have each fault, such as "train: the answer breaks the rules"; nothing is wrong if all are 0."""

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not any(self.faults.values())


def check_data(data: PuzzleData) -> Report:
    """Read all splits of a family and count their faults.

    Raises:
        InputError: if a split cannot even be read.
    """
    splits = {split: data.published(split) for split in ("train", "val", "test")}
    faults: dict[str, int] = {}
    for split, rows in splits.items():
        faults[f"{split}: questions that stand there before"] = _duplicates(rows)
        faults |= {f"{split}: {fault}": count for fault, count in data.faults(rows).items()}
    return Report({split: len(rows.inputs) for split, rows in splits.items()}, faults | _leaks(data, splits))


def _duplicates(rows: Rows) -> int:
    questions = np.column_stack([rows.inputs, rows.puzzles])
    return len(questions) - len(np.unique(questions, axis=0))


def _leaks(data: PuzzleData, splits: Mapping[str, Rows]) -> dict[str, int]:
    """Count the rows of a split whose puzzle, or a symmetric one, is in an earlier split too."""
    keys = {split: data.symmetry_keys(rows) for split, rows in splits.items()}
    return {
        f"{later}: puzzles that are in {earlier} too, up to symmetry": int(np.isin(keys[later], keys[earlier]).sum())
        for earlier, later in combinations(splits, 2)
    }
