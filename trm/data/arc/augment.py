"""Which symmetry belongs to which puzzle id: ids count on over (task, k), k = 0 being the task as published.

Of each task up to 5 x wanted random symmetries are tried, and the first ``wanted`` with images that differ from the
task and from each other are kept, as in the official builder. An image is told by 64 bits which follow from sums over
the task's cells by transform and colour, so no image is ever made.

Letters in shape comments: T tasks, P puzzle ids, E pairs of a task, C candidates.
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
"""Candidates per wanted augmentation before a task goes without the rest."""
BLANK = 0
"""The id of no puzzle: rows of padding have it."""
IDENTITY = np.zeros(1, dtype=np.uint8), np.arange(COLOURS, dtype=np.uint8)[None]
"""Transform and colours of no change, (1,) and (1, 10)."""


class Augmentations(NamedTuple):
    """The symmetry of every puzzle id: first colours change, then the grid is transformed."""

    tasks: NDArray[np.int32]
    """Index of the task, -1 for the blank id, (P,)."""
    transforms: NDArray[np.uint8]
    """(P,)."""
    colours: NDArray[np.uint8]
    """The colour that each colour becomes, (P, 10); black stays black."""
    first: NDArray[np.int64]
    """Id of each task as published; its last entry is P, (T + 1,)."""

    @classmethod
    def collect(cls, tasks: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> "Augmentations":
        """Number the transforms, (k,), and colours, (k, 10), of each task's puzzles, after those of the blank id."""
        chosen = [IDENTITY, *tasks]
        counts = [len(transforms) for transforms, _ in chosen]
        transforms, colours = map(np.concatenate, zip(*chosen, strict=True))
        index = np.repeat(np.arange(-1, len(counts) - 1, dtype=np.int32), counts)
        return cls(index, transforms, colours, np.cumsum(counts))

    def apply(self, grids: Grids, ids: Integers) -> Grids:
        """Return grids as the puzzles ``ids``, (N,), show them."""
        return grids.recoloured(self.colours[ids]).transformed(self.transforms[ids])

    def undo(self, grids: Grids, ids: Integers) -> Grids:
        """Return grids of the puzzles ``ids``, (N,), as the published tasks show them."""
        return grids.transformed(INVERSES[self.transforms[ids]]).recoloured(self.colours[ids].argsort(axis=1))


def draw_augmentations(puzzles: Sequence[Puzzle], wanted: int, seed: int) -> Augmentations:
    """Choose up to ``wanted`` symmetries of each puzzle; they are a pure function of the puzzle and the seed.

    A puzzle's first symmetries are the same however many are wanted and whatever other puzzles there are.
    """
    sizes = [len(puzzle.shown) + len(puzzle.asked) for puzzle in puzzles]
    pairs = [pair for puzzle in puzzles for pair in (*puzzle.shown, *((question, None) for question in puzzle.asked))]
    parts = np.split(pair_sums(pairs), np.cumsum(sizes)[:-1], axis=1)
    return Augmentations.collect(
        _choose(part, wanted, _words(puzzle.name, seed)) for puzzle, part in zip(puzzles, parts, strict=True)
    )


def pair_sums(pairs: Sequence[tuple[Grid, Grid | None]]) -> Hashes:
    """Return the colour sums of inputs and outputs, (2, E, 8, 10); an output that is not known counts for nothing."""
    nothing = np.zeros((0, 0), dtype=np.uint8)
    return np.stack(
        [
            colour_sums(Grids.stack([question for question, _ in pairs])),
            colour_sums(Grids.stack([nothing if answer is None else answer for _, answer in pairs])),
        ]
    )


def colour_sums(grids: Grids) -> Hashes:
    """Return for each grid, transform and colour the sum of the weights of its cells, (N, 8, 10).

    With the weights of the colours' tokens they make ``Grids.hashes`` of the transformed, recoloured grid.
    """
    sums = np.zeros((len(grids.cells), TRANSFORMS, COLOURS), dtype=np.uint64)
    for transform in range(TRANSFORMS):
        cells = grids.transformed(np.full(len(sums), transform)).cells
        grid, row, column = np.nonzero(cells)
        np.add.at(sums[:, transform], (grid, cells[grid, row, column] - FIRST_COLOUR), CELL_WEIGHTS[row, column])
    return sums


def image_keys(sums: Hashes, transforms: Integers, colours: Integers) -> Hashes:
    """Return 64 bits that tell the images of a task apart, (C,): the same for the same pairs in whatever order.

    Args:
        sums: colour sums of the pairs' inputs and outputs, (2, E, 8, 10).
        transforms: the symmetries, (C,).
        colours: the colour that each becomes, (C, 10).
    """
    weights = TOKEN_WEIGHTS[colours + FIRST_COLOUR]  # (C, 10)
    inputs, outputs = np.einsum("iect,ct->iec", sums[:, :, transforms], weights)  # (E, C) each
    return np.asarray(mix(inputs + mix(outputs)).sum(axis=0, dtype=np.uint64))


def _choose(sums: Hashes, wanted: int, words: np.random.Philox) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return transforms, (1 + found,), and colours, (1 + found, 10), of a task; the first are those of no change."""
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
    """Return random transforms, (C,), and colours that leave black alone, (C, 10)."""
    drawn = words.random_raw(count * COLOURS).reshape(count, COLOURS)
    transforms = (drawn[:, 0] >> np.uint64(61)).astype(np.uint8)  # three bits
    others = drawn[:, 1:].argsort(axis=1) + 1
    return transforms, np.pad(others, [(0, 0), (1, 0)]).astype(np.uint8)


def _words(name: str, seed: int) -> np.random.Philox:
    """Return the source of random words that belongs to a task's name."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return np.random.Philox(key=int.from_bytes(digest[:16], "little"))
