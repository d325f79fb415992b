"""Checks of a family's splits: malformed samples, duplicates, contradictions, wrong answers, leaks between splits."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from lightning_utilities.core.rank_zero import rank_zero_info

from trm.data.base import PuzzleData
from trm.data.leaks import find_leaks
from trm.data.samples import Finding, Samples, check_samples
from trm.data.sampling import DrawGenerator
from trm.errors import counted

CHUNK = 16384
"""Samples checked at once: it bounds the memory and sets the interval of the progress messages."""
SPLITS = ("train", "val", "test")
AUGMENTED = 1024
"""Training samples whose augmentation is checked."""


class Report(NamedTuple):
    """Result of a check."""

    samples: dict[str, int]
    """Number of samples per split."""
    findings: list[Finding]
    """What was checked, with the number of samples found."""
    unchecked: dict[str, str]
    """What could not be checked, and why."""

    @property
    def faults(self) -> dict[str, int]:
        """Number of samples with each fault, such as "train: answers that break the rules"."""
        return {finding.what: finding.found for finding in self.findings if finding.fault}

    @property
    def clean(self) -> bool:
        """Whether no fault was found."""
        return not any(self.faults.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the report as values for JSON."""
        findings = [finding._asdict() for finding in self.findings]
        return {"samples": self.samples, "faults": self.faults, "findings": findings, "unchecked": self.unchecked}


def check_data(data: PuzzleData) -> Report:
    """Load all splits of a family that are there, and check them.

    Raises:
        InputError: if a split cannot be loaded, or its samples or their augmentations are malformed.
    """
    unchecked = {split: why for split in SPLITS if (why := data.missing(split))}
    splits = {split: _published(data, split) for split in SPLITS if split not in unchecked}
    findings = [finding for split, samples in splits.items() for finding in _check_split(data, split, samples)]
    if "train" in splits:
        findings += _check_augmentations(data, splits["train"])
        if data.replay is not None:
            data.replay.samples("train")  # raises if the puzzles to replay cannot be used
    if data.valid_labels(next(iter(splits.values())).take(slice(1))) is None:
        unchecked["answers against the rules"] = f"{type(data).__name__} has no rules to check answers by"
    leaks, unseen = find_leaks(data, splits)
    sizes = {split: len(samples.inputs) for split, samples in splits.items()}
    return Report(sizes, findings + leaks, unchecked | unseen)


def _published(data: PuzzleData, split: str) -> Samples:
    where = f"{type(data).__name__}.published({split!r}) returns"
    return check_samples(data.published(split), data.seq_len, data.vocab_size, data.num_puzzles, where)


def _check_split(data: PuzzleData, split: str, samples: Samples) -> Iterator[Finding]:
    """Yield what is found in a split alone."""
    size = len(samples.inputs)
    if not size:
        return
    yield Finding(f"{split}: samples of other shapes, types, tokens or puzzle ids", 0, size)  # else refused
    if not data.padded:
        padded = int((samples.inputs == 0).any(axis=1).sum())
        yield Finding(f"{split}: questions with token 0, padding, though the family is not padded", padded, size)
    labelled = samples.first != 0
    none = int((~labelled.any(axis=1)).sum())
    partly = int((~labelled & (samples.inputs != 0)).any(axis=1).sum()) - none
    yield Finding(f"{split}: samples without labels", none, size, fault=split == "train")
    yield Finding(
        f"{split}: samples with some cells that have no label (0), so are neither trained nor scored",
        partly,
        size,
        fault=False,
    )
    questions = np.column_stack([samples.inputs, samples.puzzle_ids])
    alike, each = np.unique(questions, axis=0, return_inverse=True)
    yield Finding(f"{split}: duplicate questions", size - len(alike), size)
    pairs = np.unique(np.column_stack([each.reshape(-1, 1), samples.answers.reshape(size, -1)]), axis=0)
    yield Finding(f"{split}: duplicate questions with different answers", len(pairs) - len(alike), size)
    counts: Counter[str] = Counter()
    for first in range(0, size, CHUNK):
        counts.update(data.faults(samples.take(slice(first, first + CHUNK))))
        if size > CHUNK:
            rank_zero_info(f"{split}: {min(first + CHUNK, size):,} of {counted(size, 'sample')} checked")
    for fault, count in counts.items():
        yield Finding(f"{split}: {fault}", count, size)


def _check_augmentations(data: PuzzleData, samples: Samples) -> Iterator[Finding]:
    """Yield how many augmented training samples break the rules, if the family has rules and augments.

    Raises:
        InputError: if one is malformed.
    """
    if type(data).augment is PuzzleData.augment:
        return
    samples = samples.take(samples.labelled).take(slice(AUGMENTED))
    right = data.valid_labels(samples)
    if right is not None:
        samples = samples.take(right)
    given = data.augment(samples, DrawGenerator(data.seed, 0, len(samples.inputs)))
    where = f"{type(data).__name__}.augment returns"
    augmented = check_samples(given, data.seq_len, data.vocab_size, data.num_puzzles, where)
    still_right = data.valid_labels(augmented)
    if still_right is not None:
        wrong = int((~still_right).sum())
        yield Finding("train: right answers that an augmentation makes wrong", wrong, len(samples.inputs))
