"""Checks of a family's splits: duplicates, leaks between splits, wrong or ambiguous answers."""

from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
from lightning_utilities.core.rank_zero import rank_zero_info
from numpy.typing import NDArray

from trm.data.base import PuzzleData
from trm.data.samples import Samples

CHUNK = 16384
"""Samples checked at once: it bounds the memory and sets the interval of the progress messages."""


class Report(NamedTuple):
    """Result of a check."""

    samples: dict[str, int]
    """Number of samples per split."""
    faults: dict[str, int]
    """Number of samples with each fault, such as "train: answers that break the rules"; all 0 if nothing is wrong."""

    @property
    def clean(self) -> bool:
        """Whether no fault was found."""
        return not any(self.faults.values())


def check_data(data: PuzzleData) -> Report:
    """Load all splits of a family and count their faults.

    Raises:
        InputError: if a split cannot be loaded.
    """
    splits = {split: data.published(split) for split in ("train", "val", "test")}
    faults: dict[str, int] = {}
    keys: dict[str, NDArray[np.uint64]] = {}
    for split, samples in splits.items():
        faults[f"{split}: duplicate questions"] = _duplicates(samples)
        counts, keys[split] = _examine(data, split, samples)
        faults |= {f"{split}: {fault}": count for fault, count in counts.items()}
    return Report({split: len(samples.inputs) for split, samples in splits.items()}, faults | _leaks(keys))


def _examine(data: PuzzleData, split: str, samples: Samples) -> tuple[Mapping[str, int], NDArray[np.uint64]]:
    """Return the number of samples with each fault, and the symmetry keys of all samples, (N,)."""
    size = len(samples.inputs)
    counts: Counter[str] = Counter()
    keys = []
    for first in range(0, max(size, 1), CHUNK):
        part = samples.take(slice(first, first + CHUNK))
        counts.update(data.faults(part))
        keys.append(data.symmetry_keys(part))
        if size > CHUNK:
            rank_zero_info(f"{split}: {min(first + CHUNK, size):,} of {size:,} samples checked")
    return counts, np.concatenate(keys)


def _duplicates(samples: Samples) -> int:
    questions = np.column_stack([samples.inputs, samples.puzzle_ids])
    return len(questions) - len(np.unique(questions, axis=0))


def _leaks(keys: Mapping[str, NDArray[np.uint64]]) -> dict[str, int]:
    """Return the number of samples of each split whose puzzle, or a symmetric one, is also in an earlier split."""
    return {
        f"{later}: puzzles that are also in {earlier}, up to symmetry": int(np.isin(keys[later], keys[earlier]).sum())
        for earlier, later in combinations(keys, 2)
    }
