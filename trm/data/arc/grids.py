"""Grids of ARC as arrays: a batch of grids is transformed, recoloured, encoded, cropped and hashed at once.

Shapes: N grids, S side of the canvas (30), L cells of the network's canvas (900 or fewer).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm.data.samples import Tokens

Grid = NDArray[np.uint8]
"""One grid of colours 0 to 9, (height, width)."""
Integers = NDArray[np.integer]
Hashes = NDArray[np.uint64]

SIDE = 30
COLOURS = 10
PAD, END, FIRST_COLOUR = 0, 1, 2
VOCAB_SIZE = FIRST_COLOUR + COLOURS
TRANSFORMS = 8
INVERSES = np.array([0, 3, 2, 1, 4, 5, 6, 7])
"""The inverse of each transform; all but the quarter turns are their own inverse."""

# A transform flips rows and columns, then swaps the two axes. In order: identity; turns by 90, 180, 270 degrees
# counter-clockwise; left-right and up-down flip; transpose; flip across the other diagonal.
FLIPS_ROWS = np.array([0, 0, 1, 1, 0, 1, 0, 1], dtype=bool)
FLIPS_COLUMNS = np.array([0, 1, 1, 0, 1, 0, 0, 1], dtype=bool)
SWAPS_AXES = np.array([0, 1, 0, 1, 0, 0, 1, 1], dtype=bool)

_AXIS = np.arange(SIDE)
_RANDOM = np.random.Philox(key=0).random_raw(SIDE * SIDE + VOCAB_SIZE)
CELL_WEIGHTS: Hashes = _RANDOM[: SIDE * SIDE].reshape(SIDE, SIDE)
TOKEN_WEIGHTS: Hashes = np.where(np.arange(VOCAB_SIZE) == PAD, np.uint64(0), _RANDOM[SIDE * SIDE :])


class Grids(NamedTuple):
    """Grids of any shapes, each at the top left of its own canvas."""

    cells: Tokens
    """Colour + 2 inside the grid and ``PAD`` outside, (N, S, S)."""
    heights: Integers
    """(N,)."""
    widths: Integers
    """(N,)."""

    @classmethod
    def stack(cls, grids: Sequence[Grid]) -> "Grids":
        """Return grids of colours on canvases; a 0x0 grid gives an empty canvas."""
        cells = np.zeros((len(grids), SIDE, SIDE), dtype=np.uint8)
        for canvas, grid in zip(cells, grids, strict=True):
            canvas[: grid.shape[0], : grid.shape[1]] = grid + FIRST_COLOUR
        shapes = np.array([grid.shape for grid in grids], dtype=np.int64).reshape(-1, 2)
        return cls(cells, shapes[:, 0], shapes[:, 1])

    def grid(self, index: int) -> Grid:
        """Return one grid in colours, (height, width)."""
        return self.cells[index, : self.heights[index], : self.widths[index]] - np.uint8(FIRST_COLOUR)

    def take(self, index: Integers) -> "Grids":
        """Return the grids at an index, (M,)."""
        return Grids(self.cells[index], self.heights[index], self.widths[index])

    def transformed(self, transforms: Integers) -> "Grids":
        """Return each grid under one of the eight symmetries of the square, (N,)."""
        rows = _flipped(self.heights, FLIPS_ROWS[transforms])[:, :, None]  # (N, S, 1)
        columns = _flipped(self.widths, FLIPS_COLUMNS[transforms])[:, None, :]  # (N, 1, S)
        cells = self.cells[np.arange(len(self.cells))[:, None, None], rows, columns]
        swaps = SWAPS_AXES[transforms]
        return Grids(
            np.where(swaps[:, None, None], cells.transpose(0, 2, 1), cells),
            np.where(swaps, self.widths, self.heights),
            np.where(swaps, self.heights, self.widths),
        )

    def recoloured(self, colours: Integers) -> "Grids":
        """Return grids with colour c of grid n replaced by ``colours[n, c]``, (N, 10)."""
        tokens = np.zeros((len(colours), VOCAB_SIZE), dtype=np.uint8)  # the new token of each old one
        tokens[:, FIRST_COLOUR:] = colours + FIRST_COLOUR
        return self._replace(cells=tokens[np.arange(len(tokens))[:, None, None], self.cells])

    def hashes(self) -> Hashes:
        """Return a 64-bit hash of each grid, (N,): the sum of cell weight times token weight.

        The hash is linear in the cells, so that of a recoloured grid follows from sums per colour, without the grid.
        """
        return np.asarray(np.einsum("nij,ij->n", TOKEN_WEIGHTS[self.cells], CELL_WEIGHTS))


def encode(grids: Grids, down: Integers | int = 0, right: Integers | int = 0, side: int = SIDE) -> Tokens:
    """Return the tokens of each grid, shifted by ``down`` and ``right`` cells, (N, L).

    The row below the grid and the column to its right are ``END`` where they are on the canvas, except the corner where
    they would meet. Only the first ``side`` rows and columns of the canvas are kept, L = side x side; the grid must fit
    into them.
    """
    rows = _AXIS - np.broadcast_to(down, len(grids.cells))[:, None]  # (N, S): row of the grid
    columns = _AXIS - np.broadcast_to(right, len(grids.cells))[:, None]
    # A negative index reads the far side of the canvas, which is padding, since the shifted grid still fits.
    cells = grids.cells[np.arange(len(rows))[:, None, None], rows[:, :, None], columns[:, None, :]]
    heights, widths = grids.heights[:, None], grids.widths[:, None]
    under = (rows == heights)[:, :, None] & ((columns >= 0) & (columns < widths))[:, None, :]
    beside = ((rows >= 0) & (rows < heights))[:, :, None] & (columns == widths)[:, None, :]
    cells[under | beside] = END
    return np.asarray(cells[:, :side, :side].reshape(-1, side * side))


def crop(tokens: Integers) -> Grids:
    """Return the largest rectangle of colours at the top left of each canvas of tokens, (N, L).

    Among equally large rectangles the one with the fewest rows is returned, as in the official evaluation. The grid is
    0x0 if the first cell is not a colour. The canvas is a square of L cells.
    """
    side = math.isqrt(tokens.shape[-1])
    missing = (0, SIDE - side)
    canvases = np.pad(tokens.reshape(-1, side, side), [(0, 0), missing, missing])
    blank = (canvases < FIRST_COLOUR) | (canvases >= VOCAB_SIZE)
    lengths = np.where(blank.any(axis=2), blank.argmax(axis=2), SIDE)  # colours at the beginning of each row, (N, S)
    widths = np.minimum.accumulate(lengths, axis=1)  # of a rectangle that ends with this row
    last = (widths * (_AXIS + 1)).argmax(axis=1)  # the first of equal areas
    width = widths[np.arange(len(last)), last]
    height = np.where(width > 0, last + 1, 0)
    inside = (height[:, None] > _AXIS)[:, :, None] & (width[:, None] > _AXIS)[:, None, :]
    return Grids(np.where(inside, canvases, PAD).astype(np.uint8), height, width)


def hole_in_grid(board: Tokens) -> str:
    """Return the first token that interrupts the only grid of a canvas, (side, side), in words; "" if there is none."""
    coloured = board >= FIRST_COLOUR
    rows, columns = np.flatnonzero(coloured.any(axis=1)), np.flatnonzero(coloured.any(axis=0))
    if not len(rows):
        return ""
    top, left = int(rows[0]), int(columns[0])
    holes = np.argwhere(~coloured[top : rows[-1] + 1, left : columns[-1] + 1])
    if not len(holes):
        return ""
    row, column = (holes[0] + (top, left)).tolist()
    token, kind = int(board[row, column]), ("padding", "an end mark")[int(board[row, column])]
    return f"token {token}, which is {kind}, in row {row + 1}, column {column + 1}, inside the grid"


def _flipped(sizes: Integers, flips: NDArray[np.bool_]) -> Integers:
    """Return the source of each line of the canvas, (N, S); lines outside the grid stay outside."""
    return np.where(flips[:, None], sizes[:, None] - 1 - _AXIS, _AXIS) % SIDE
