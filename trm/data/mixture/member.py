"""The place of a family in a mixture: which cells and tokens of the mixture are its own.

Shapes: N samples; l cells and v tokens of the family; L cells and V tokens of the mixture.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm.batch import Batch
from trm.data.base import PuzzleData
from trm.data.samples import Samples, Tokens, Views, from_batch, to_batch


class Member(NamedTuple):
    """A family of a mixture."""

    number: int
    """Its place among the families, from 0."""
    name: str
    family: PuzzleData
    cells: NDArray[np.intp]
    """The cell of the mixture that each cell of the family is, (l,)."""
    tokens: Tokens
    """The token of the mixture that each token of the family is, (v,)."""
    own: Tokens
    """The token of the family that each token of the mixture is, 0 if it is none, (V,)."""
    seq_len: int
    """L."""

    def encode(self, boards: Tokens) -> Tokens:
        """Return boards of the family as boards of the mixture, with padding around them, (..., l) to (..., L)."""
        padded = np.zeros((*boards.shape[:-1], self.seq_len), dtype=np.uint8)
        padded[..., self.cells] = self.tokens[boards]
        return padded

    def decode(self, boards: Tokens) -> Tokens:
        """Return boards of the mixture as the family reads them, (..., L) to (..., l); 0 for tokens of another."""
        return np.asarray(self.own[boards[..., self.cells]])

    def owns(self, questions: Tokens) -> NDArray[np.bool_]:
        """Return which questions consist of cells and tokens of the family, (N, L) to (N,)."""
        filled = self.decode(questions) != 0
        enough = np.ones(len(questions), dtype=np.bool_) if self.family.padded else filled.all(1)
        return np.asarray(enough & (filled.sum(1) == (questions != 0).sum(1)))

    def samples(self, samples: Samples, first_id: int) -> Samples:
        """Return samples of the family as samples of the mixture, with puzzle ids from ``first_id`` on."""
        return Samples(self.encode(samples.inputs), self.encode(samples.labels), samples.puzzle_ids + first_id)

    def batch(self, batch: Batch, first_id: int, answers: int) -> Batch:
        """Return draws of the family as draws of the mixture, with puzzle ids from ``first_id`` on.

        Args:
            batch: draws of the family.
            first_id: puzzle id of the mixture that is 0 in the family.
            answers: right answers to a puzzle for which labels have room, A; 0 for labels of one, (N, L).
        """
        samples = self.samples(from_batch(batch), first_id)
        return to_batch(samples._replace(labels=_with_room(samples.labels, answers)))

    def views(self, count: int, seed: int) -> Views:
        """Return symmetries of the family as symmetries of the mixture's boards."""
        views = self.family.views(count, seed)
        cells = np.tile(np.arange(self.seq_len), (count, 1))
        cells[:, self.cells] = self.cells[views.cells]
        tokens = np.tile(np.arange(len(self.own), dtype=np.uint8), (count, 1))
        tokens[:, self.tokens] = self.tokens[views.tokens]
        return Views(cells, tokens)


def join(parts: Sequence[Samples]) -> Samples:
    """Return the samples of several families, one after the other."""
    answers = max((part.labels.shape[1] for part in parts if part.labels.ndim == 3), default=0)
    labels = np.concatenate([_with_room(part.labels, answers) for part in parts])
    inputs, ids = (np.concatenate(field) for field in zip(*((p.inputs, p.puzzle_ids) for p in parts), strict=True))
    return Samples(inputs, labels, ids)


def _with_room(labels: Tokens, answers: int) -> Tokens:
    """Return labels with room for A right answers to each puzzle, (N, A, L); unchanged, (N, L), if A is 0."""
    if not answers:
        return labels
    several = labels if labels.ndim == 3 else labels[:, None]
    return np.pad(several, ((0, 0), (0, answers - several.shape[1]), (0, 0)))


def members(families: Sequence[PuzzleData], names: Sequence[str]) -> tuple[list[Member], tuple[int, ...]]:
    """Return the places of families in their mixture, and its rows and columns.

    A grid lies in the upper left corner of the mixture's, so that rows stay rows. If a family is no grid, the cells of
    all follow each other, and the rows and columns are (). Families share the tokens that have the same name.
    """
    grids = [grid_of(family) for family in families]
    size: tuple[int, ...] = ()
    if all(grids):
        size = (max(rows for rows, _ in grids), max(columns for _, columns in grids))
        length = size[0] * size[1]
    else:
        length = max(family.seq_len for family in families)
    vocabulary = joint_vocabulary(families)
    found = []
    for number, (family, name, grid) in enumerate(zip(families, names, grids, strict=True)):
        cells = np.arange(family.seq_len)
        if size:
            cells = cells // grid[1] * size[1] + cells % grid[1]
        tokens = np.array([vocabulary.index(token) for token in family.token_names], dtype=np.uint8)
        own = np.zeros(len(vocabulary), dtype=np.uint8)
        own[tokens] = np.arange(len(tokens))
        found.append(Member(number, name, family, cells, tokens, own, length))
    return found, size


def joint_vocabulary(families: Sequence[PuzzleData]) -> list[str]:
    """Return the names of the tokens of families, each once, in the order of the families."""
    return list(dict.fromkeys(name for family in families for name in family.token_names))


def grid_of(family: PuzzleData) -> tuple[int, ...]:
    """Return the rows and columns of a family's boards; () if they are no grid."""
    side = math.isqrt(family.seq_len)
    return tuple(family.grid[:2]) or ((side, side) if side**2 == family.seq_len else ())
