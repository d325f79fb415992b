"""Augmentations of ARC tasks: the symmetry of each puzzle id. Ids number (task, k) in order; k = 0 is the identity.

For each task up to 5 x wanted random symmetries are tried, and the first ``wanted`` whose images differ from the task
and from each other are kept, as in the official builder. Images are compared by 64-bit keys. A key follows from sums
over the task's cells per transform and colour, without computing the image.

Shapes: T tasks, P puzzle ids, E pairs of a task, C candidates, N grids.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm.data.arc.grids import (
    CELL_WEIGHTS,
    COLOURS,
    FIRST_COLOUR,
    INVERSES,
    TOKEN_WEIGHTS,
    TRANSFORMS,
    Grid,
    Grids,
    Hashes,
    Integers,
)
from trm.data.arc.tasks import Puzzle
from trm.data.splitmix import mix

TRIALS = 5
"""Candidates per wanted augmentation; a task with too few different images among them has fewer augmentations."""
IDENTITY = np.zeros(1, dtype=np.uint8), np.arange(COLOURS, dtype=np.uint8)[None]
"""Transform and colours of the identity, (1,) and (1, 10)."""


class Augmentations(NamedTuple):
    """The symmetry of every puzzle id: colours are permuted, then the grid is transformed."""

    tasks: NDArray[np.int32]
    """Index of the task, -1 for the blank id 0 of padding, (P,)."""
    transforms: NDArray[np.uint8]
    """(P,)."""
    colours: NDArray[np.uint8]
    """The replacement of each colour, (P, 10); black stays black."""
    first: NDArray[np.int64]
    """Id of each task as published; its last entry is P, (T + 1,)."""

    @classmethod
    def collect(cls, tasks: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> "Augmentations":
        """Return the transforms, (k,), and colours, (k, 10), of all tasks, numbered after the blank id."""
        chosen = [IDENTITY, *tasks]
        counts = [len(transforms) for transforms, _ in chosen]
        transforms, colours = map(np.concatenate, zip(*chosen, strict=True))
        index = np.repeat(np.arange(-1, len(counts) - 1, dtype=np.int32), counts)
        return cls(index, transforms, colours, np.cumsum(counts))

    def followed_by(self, others: "Augmentations") -> "Augmentations":
        """Return these symmetries and then those of other tasks, whose ids are counted on."""
        count = len(self.first) - 1
        return Augmentations(
            np.concatenate([self.tasks, others.tasks[1:] + np.int32(count)]),
            np.concatenate([self.transforms, others.transforms[1:]]),
            np.concatenate([self.colours, others.colours[1:]]),
            np.concatenate([self.first[:-1], others.first + self.first[-1] - 1]),
        )

    def apply(self, grids: Grids, ids: Integers) -> Grids:
        """Return grids of the published tasks under the symmetries of ``ids``, (N,)."""
        return grids.recoloured(self.colours[ids]).transformed(self.transforms[ids])

    def undo(self, grids: Grids, ids: Integers) -> Grids:
        """Return the published grids of grids under the symmetries of ``ids``, (N,)."""
        return grids.transformed(INVERSES[self.transforms[ids]]).recoloured(self.colours[ids].argsort(axis=1))


def choose_augmentations(puzzles: Sequence[Puzzle], wanted: int, seed: int) -> Augmentations:
    """Return up to ``wanted`` random symmetries of each puzzle, a pure function of the puzzle and the seed.

    The first symmetries of a puzzle depend neither on ``wanted`` nor on the other puzzles.
    """
    sizes = [len(puzzle.train_pairs) + len(puzzle.test_inputs) for puzzle in puzzles]
    pairs = [
        pair
        for puzzle in puzzles
        for pair in (*puzzle.train_pairs, *((question, None) for question in puzzle.test_inputs))
    ]
    parts = np.split(pair_sums(pairs), np.cumsum(sizes)[:-1], axis=1)
    return Augmentations.collect(
        _choose(part, wanted, _words(puzzle.name, seed)) for puzzle, part in zip(puzzles, parts, strict=True)
    )


def pair_sums(pairs: Sequence[tuple[Grid, Grid | None]]) -> Hashes:
    """Return the colour sums of inputs and outputs, (2, E, 8, 10); those of an unknown output are 0."""
    nothing = np.zeros((0, 0), dtype=np.uint8)
    return np.stack(
        [
            colour_sums(Grids.stack([question for question, _ in pairs])),
            colour_sums(Grids.stack([nothing if answer is None else answer for _, answer in pairs])),
        ]
    )


def colour_sums(grids: Grids) -> Hashes:
    """Return for each grid, transform and colour the sum of the cell weights, (N, 8, 10).

    Multiplied by the token weights of the colours and added up, they give ``Grids.hashes`` of the transformed,
    recoloured grid.
    """
    sums = np.zeros((len(grids.cells), TRANSFORMS, COLOURS), dtype=np.uint64)
    for transform in range(TRANSFORMS):
        cells = grids.transformed(np.full(len(sums), transform)).cells
        grid, row, column = np.nonzero(cells)
        np.add.at(sums[:, transform], (grid, cells[grid, row, column] - FIRST_COLOUR), CELL_WEIGHTS[row, column])
    return sums


def image_keys(sums: Hashes, transforms: Integers, colours: Integers) -> Hashes:
    """Return 64-bit keys of the images of a task, (C,); they do not depend on the order of the pairs.

    Args:
        sums: colour sums of the pairs' inputs and outputs, (2, E, 8, 10).
        transforms: transform of each image, (C,).
        colours: the replacement of each colour, (C, 10).
    """
    weights = TOKEN_WEIGHTS[colours + FIRST_COLOUR]  # (C, 10)
    inputs, outputs = np.einsum("iect,ct->iec", sums[:, :, transforms], weights)  # (E, C) each
    return np.asarray(mix(inputs + mix(outputs)).sum(axis=0, dtype=np.uint64))


def _choose(sums: Hashes, wanted: int, words: np.random.Philox) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return transforms, (1 + found,), and colours, (1 + found, 10), of a task; the first are the identity."""
    transforms, colours = IDENTITY
    keys = image_keys(sums, transforms, colours)
    kept = np.zeros(1, dtype=np.int64)
    for _ in range(TRIALS):
        if len(kept) > wanted:
            break
        more_transforms, more_colours = _candidates(wanted, words)
        transforms = np.concatenate([transforms, more_transforms])
        colours = np.concatenate([colours, more_colours])
        keys = np.concatenate([keys, image_keys(sums, more_transforms, more_colours)])
        kept = np.sort(np.unique(keys, return_index=True)[1])  # where each image occurs for the first time
    kept = kept[: 1 + wanted]
    return transforms[kept], colours[kept]


def _candidates(count: int, words: np.random.Philox) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return random transforms, (C,), and colours that keep black, (C, 10)."""
    drawn = words.random_raw(count * COLOURS).reshape(count, COLOURS)
    transforms = (drawn[:, 0] >> np.uint64(61)).astype(np.uint8)  # three bits
    others = drawn[:, 1:].argsort(axis=1) + 1
    return transforms, np.pad(others, [(0, 0), (1, 0)]).astype(np.uint8)


def _words(name: str, seed: int) -> np.random.Philox:
    """Return the random generator of a task, seeded by its name."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return np.random.Philox(key=int.from_bytes(digest[:16], "little"))
