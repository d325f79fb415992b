"""Leaks: puzzles and solutions of a split that are, up to symmetry, in an earlier split too.

Where a family defines ``symmetry_keys``, the comparison is exact. Otherwise random augmentations of both splits are
drawn and compared. How many symmetric images that finds is measured on images of the samples themselves.

Shapes: N samples, R drawn images, L grid cells.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
from lightning_utilities.core.rank_zero import rank_zero_info
from numpy.typing import NDArray

from trm.data.base import PuzzleData
from trm.data.samples import Finding, Samples
from trm.data.sampling import DrawGenerator
from trm.errors import counted

IMAGES = 2**19
"""Images drawn of a split, at least one of each sample."""
FEWEST = 16
"""Images of a sample at first; four times as many until all planted images are found."""
PLANTED = 2**18
"""Images drawn to measure how many planted ones are found."""
CELLS = 2**22
"""Cells of the images drawn at once, which bounds the memory."""
STREAM = 2**40
"""Draws of a stream of random numbers, more than any use needs: each use has its own stream."""
Words = NDArray[np.uint64]
Indices = NDArray[np.intp]


class Keys(NamedTuple):
    """Keys of samples and of their images; two are equal if the puzzles, or the solutions, are."""

    which: Indices
    """Index of the sample of each image, (R,)."""
    puzzles: Words
    """(R,)."""
    solutions: Words
    """(R,)."""
    draws: int
    """Images of each sample besides the sample itself."""


def find_leaks(data: PuzzleData, splits: Mapping[str, Samples]) -> tuple[list[Finding], dict[str, str]]:
    """Compare the splits of a family with each other.

    Returns:
        The numbers of puzzles and solutions of each split that are also in an earlier one, and what could not be
        checked, with the reason.
    """
    splits = {split: samples for split, samples in splits.items() if len(samples.inputs)}
    draws = _choose_draws(data, splits) if _is_drawn(data) else dict.fromkeys(splits, 0)
    keys = {
        split: _draw(data, samples, draws[split], stream, split)
        for stream, (split, samples) in enumerate(splits.items())
    }
    findings: list[Finding] = []
    unchecked: dict[str, str] = {}
    for earlier, later in combinations(splits, 2):
        chances = _power(data, splits[later], draws[earlier], draws[later]) if draws[later] else [0.0, 0.0]
        for name, chance in zip(("puzzles", "solutions"), chances, strict=True):
            if _is_drawn(data) and not chance:
                unchecked[f"{later}: symmetric images of {name} in {earlier}"] = (
                    f"the draws of {type(data).__name__}.augment never coincide, since it has too many outcomes; with "
                    "symmetry_keys the comparison is exact"
                )
            findings.append(_compare(data, name, earlier, later, splits, keys, chance))
    return findings, unchecked


def _has_keys(data: PuzzleData) -> bool:
    return type(data).symmetry_keys is not PuzzleData.symmetry_keys


def _is_drawn(data: PuzzleData) -> bool:
    """Return whether symmetries are looked for by drawing augmentations."""
    return type(data).augment is not PuzzleData.augment and not _has_keys(data)


def _choose_draws(data: PuzzleData, splits: Mapping[str, Samples]) -> dict[str, int]:
    """Return the images to draw of each sample of each split: as few as find all planted images, within ``IMAGES``."""
    most = {split: max(1, IMAGES // len(samples.inputs)) for split, samples in splits.items()}
    first, *_, last = splits
    limit = FEWEST
    while True:
        draws = {split: min(limit, number) for split, number in most.items()}
        found = _power(data, splits[last], draws[first], draws[last])
        if min(found) == 1 or limit >= max(most.values()):
            return draws if max(found) else dict.fromkeys(splits, 0)
        limit *= 4


def _method(data: PuzzleData, old: int, new: int, chance: float) -> tuple[str, str]:
    """Return what a comparison covers, as the end of a name, and how it was made."""
    if _has_keys(data):
        return ", up to symmetry", "by symmetry_keys"
    if chance:
        how = (
            f"by {new:,} and {counted(old, 'draw')} of augment per sample, which find {chance:.0%} of symmetric images"
        )
        return ", up to symmetry", how
    return "", "as they are" if _is_drawn(data) else "as they are: the family has neither augment nor symmetry_keys"


def _compare(
    data: PuzzleData,
    name: str,
    earlier: str,
    later: str,
    splits: Mapping[str, Samples],
    keys: Mapping[str, Keys],
    chance: float,
) -> Finding:
    """Return how many puzzles, or solutions, of a split are also in an earlier one.

    A shared solution is a fault if no two puzzles of any split share theirs. Otherwise the family has few solutions, as
    4x4 Sudoku, and sharing them cannot be avoided.
    """
    old, new = keys[earlier], keys[later]
    asked = np.ones(len(splits[later].inputs), dtype=np.bool_)
    if name == "solutions":
        asked = splits[later].labelled
    seen = np.zeros(len(asked), dtype=np.bool_)
    seen[new.which[np.isin(getattr(new, name), getattr(old, name))]] = True
    up_to, how = _method(data, old.draws, new.draws, chance)
    what = f"{later}: {name} that are also in {earlier}{up_to}"
    count, fault = int((seen & asked).sum()), True
    if name == "solutions":
        shared, total = _shared(old)
        fault = not any(_shared(of_split)[0] for of_split in keys.values())
        how += f"; within {earlier} {shared:,} of {total:,} share theirs"
    return Finding(what, count, int(asked.sum()), how, fault)


def _shared(keys: Keys) -> tuple[int, int]:
    """Return how many different puzzles of a split share their solution with another one, and their number."""
    first = np.unique(keys.puzzles[: keys.which.max() + 1], return_index=True)[1]  # samples come before their images
    kept = np.isin(keys.which, first)
    solutions, which = keys.solutions[kept], keys.which[kept]
    order = np.argsort(solutions, kind="stable")
    solutions, which = solutions[order], which[order]
    begins = np.flatnonzero(np.r_[True, solutions[1:] != solutions[:-1]])
    several = np.minimum.reduceat(which, begins) != np.maximum.reduceat(which, begins)
    group = np.repeat(several, np.diff(np.r_[begins, len(which)]))
    return len(np.unique(which[group])), len(first)


def _draw(data: PuzzleData, samples: Samples, draws: int, stream: int, name: str = "") -> Keys:
    """Return the keys of samples, followed by those of ``draws`` random augmentations of each."""
    size, rows = len(samples.inputs), max(1, CELLS // data.seq_len)
    which: list[Indices] = []
    puzzles: list[Words] = []
    solutions: list[Words] = []
    if name and size * (1 + draws) > rows:
        rank_zero_info(f"{name}: comparing {counted(size, 'sample')} and {size * draws:,} of their symmetric images")
    for first in range(0, size * (1 + draws), rows):
        images = np.arange(first, min(first + rows, size * (1 + draws)))
        part = samples.take(images % size)
        fresh = images >= size
        if fresh.any():
            new = data.augment(part.take(fresh), DrawGenerator(data.seed, stream * STREAM + first, int(fresh.sum())))
            old = part.take(~fresh)
            part = Samples(*(np.concatenate([a, b]) for a, b in zip(old[:3], new[:3], strict=True)))
        which.append(images % size)
        puzzles.append(_puzzle_keys(data, part))
        solutions.append(_puzzle_keys(data, part._replace(inputs=part.first, labels=part.first)))
    return Keys(np.concatenate(which), np.concatenate(puzzles), np.concatenate(solutions), draws)


def _puzzle_keys(data: PuzzleData, samples: Samples) -> Words:
    """Return the family's own keys, or else a hash of tokens and puzzle ids, (N,) (Zobrist 1970)."""
    if _has_keys(data):
        return data.symmetry_keys(samples)
    table = np.random.default_rng(0).integers(2**64, size=(data.seq_len, data.vocab_size), dtype=np.uint64)
    cells = table[np.arange(data.seq_len), samples.inputs].sum(axis=1)
    return np.asarray(cells + samples.puzzle_ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))


def _power(data: PuzzleData, samples: Samples, old: int, new: int) -> list[float]:
    """Return the share of random images of samples that the draws find, of puzzles and of solutions.

    A random image of each sample takes the place of a sample of the earlier split.

    Args:
        data: the family.
        samples: samples of the later split.
        old: draws of each sample of the earlier split.
        new: draws of each sample of the later split.
    """
    samples = samples.take(slice(max(1, PLANTED // (2 + old + new))))
    size = len(samples.inputs)
    planted = Samples(*data.augment(samples, DrawGenerator(data.seed, 3 * STREAM, size)))
    theirs, mine = _draw(data, planted, old, stream=4), _draw(data, samples, new, stream=5)
    return [
        len(np.unique(mine.which[np.isin(_own(mine, name), _own(theirs, name))])) / size
        for name in ("puzzles", "solutions")
    ]


def _own(keys: Keys, name: str) -> Words:
    """Return keys that are equal only for images of the same sample."""
    own: Words = getattr(keys, name) + keys.which.astype(np.uint64) * np.uint64(0xBF58476D1CE4E5B9)
    return own
