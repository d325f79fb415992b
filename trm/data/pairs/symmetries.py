"""Symmetries of pairs, chosen by name: random ones for augmentation, and hashes that are equal for symmetric questions.

A grid that is smaller than the canvas lies in its upper left corner, and is moved within its own rows and columns.

Shapes: N grids, H x W canvas, L = H W cells, V vocabulary.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm.data.pairs.cells import Shape, by_size
from trm.data.samples import Tokens, Views
from trm.data.sampling import DrawGenerator
from trm.data.splitmix import GAMMA, mix
from trm.errors import InputError, check_choice, counted

SYMMETRIES = ("dihedral", "transpose", "horizontal_flip", "vertical_flip", "rows", "columns", "symbols")
"""Names of symmetries: the 8 of the square, single ones of them, any order of rows, columns, or symbols."""
OF_THE_SQUARE = SYMMETRIES[:4]
"""Those of the square: the group of 8, then single ones of it."""
ROUNDS = 3
"""Rounds of colour refinement."""
SEEDS = GAMMA * np.arange(2, 4, dtype=np.uint64)
"""Different for columns and symbols, so that these are not confused with rows."""
CHUNK = 2**22
"""Cells hashed at once, which bounds the memory."""

Words = NDArray[np.uint64]
Numbers = NDArray[np.int64]


class Moves(NamedTuple):
    """A symmetry of the cells for each of N grids."""

    rows: NDArray[np.floating]
    """Rank of each row, (N, H)."""
    columns: NDArray[np.floating]
    """Rank of each column, (N, W)."""
    transposed: NDArray[np.bool_]
    """(N,)."""


class Group:
    """The group that named symmetries generate.

    Args:
        names: of ``SYMMETRIES``.
        size: rows and columns of the canvas.
        vocab_size: V.
        num_symbols: number of symbols, the last tokens, that "symbols" renames.
        outside: token of cells outside of a smaller grid; 0 if all grids fill the canvas.

    Raises:
        InputError: if a name is unknown, or the canvas is not square and would be transposed.
    """

    def __init__(self, names: Sequence[str], size: Shape, vocab_size: int, num_symbols: int, outside: int) -> None:
        for name in names:
            check_choice("data", SYMMETRIES, symmetries=name)
        self.names, self.size, self.vocab_size, self.outside = set(names), size, vocab_size, outside
        self.first = vocab_size - (num_symbols if "symbols" in names else 0)
        self.transposes = bool(self.names & {"dihedral", "transpose"})
        flips = [bool(self.names & {"dihedral", name}) for name in ("vertical_flip", "horizontal_flip")]
        orders = [name in names for name in ("rows", "columns")]
        if self.transposes:  # the conjugates of a flip, or of an order, by the transpose
            flips, orders = [any(flips)] * 2, [any(orders)] * 2
            name = next(name for name in names if name in ("dihedral", "transpose"))
            if size[0] != size[1]:
                raise InputError(
                    f"data.symmetries has {name}, which needs square grids, but these have {by_size(size)}"
                    + (", one row" if size[0] == 1 else "")
                    + "; data.size [rows, columns] arranges rows of cells as grids"
                )
        (self.flips_rows, self.flips_columns), (self.orders_rows, self.orders_columns) = flips, orders

    @property
    def finite(self) -> bool:
        """Whether the group has at most the 8 symmetries of the square."""
        return not (self.orders_rows or self.orders_columns or self.renames)

    @property
    def renames(self) -> bool:
        """Whether symbols are renamed."""
        return self.first < self.vocab_size

    def __bool__(self) -> bool:
        """Return whether there are other symmetries than the identity."""
        return bool(self.names)

    def draw(self, generator: DrawGenerator, count: int) -> tuple[Moves, Tokens]:
        """Return random symmetries: of the cells, and the replacement of each token, (N, V)."""
        height, width = self.size
        keys = generator.uniforms(height + width + self.vocab_size)
        coins = [generator.coins() for _ in range(3)]
        ranks = []
        for length, part, ordered, coin in (
            (height, keys[:, :height], self.orders_rows, coins[0] & self.flips_rows),
            (width, keys[:, height : height + width], self.orders_columns, coins[1] & self.flips_columns),
        ):
            line = np.arange(length, dtype=np.float64)
            ranks.append(part if ordered else np.where(coin[:, None], -line, line))
        tokens = np.tile(np.arange(self.vocab_size, dtype=np.uint8), (count, 1))
        order = np.argsort(keys[:, height + width + self.first :], axis=1)
        tokens[:, self.first :] = self.first + order
        return Moves(ranks[0], ranks[1], coins[2] & self.transposes), tokens

    def sources(self, moves: Moves, boards: Tokens) -> NDArray[np.intp]:
        """Return the source of each cell of boards (N, L) that are moved, (N, L)."""
        inside = (boards != self.outside).reshape(-1, *self.size)
        orders = []
        for ranks, within in ((moves.rows, inside.any(2)), (moves.columns, inside.any(1))):
            line = np.arange(ranks.shape[1])
            orders.append(np.argsort(np.where(within, ranks, len(line) + line), axis=1, kind="stable"))
        source = orders[0][:, :, None] * self.size[1] + orders[1][:, None, :]  # (N, H, W)
        if moves.transposed.any():
            source = np.where(moves.transposed[:, None, None], source.transpose(0, 2, 1), source)
        return source.reshape(len(boards), -1)

    def apply(self, moves: Moves, tokens: Tokens, boards: Tokens) -> Tokens:
        """Return boards (N, L) under symmetries of cells and tokens, (N, L)."""
        moved = np.take_along_axis(boards, self.sources(moves, boards), axis=1)
        return np.take_along_axis(tokens, moved.astype(np.intp), axis=1)

    def views(self, count: int, generator: DrawGenerator) -> Views:
        """Return symmetries of grids that fill the canvas, the identity first.

        Raises:
            InputError: if the group has fewer, or smaller grids would not stay in their corner.
        """
        moves_smaller = self.flips_rows or self.flips_columns or self.orders_rows or self.orders_columns
        if self.outside and moves_smaller and count > 1:
            raise InputError(
                f"views is {count}, but of grids of several sizes only transpose and symbols give views, and "
                f"data.symmetries has {', '.join(sorted(self.names))}; accepted is 1"
            )
        if self.finite:
            images = list(self.images())
            if count > len(images):
                raise InputError(f"views is {count}, but these pairs have {counted(len(images), 'symmetry')}")
            moves = Moves(*(np.concatenate(parts) for parts in zip(*images[:count], strict=True)))
            tokens = np.tile(np.arange(self.vocab_size, dtype=np.uint8), (count, 1))
        else:
            moves, tokens = self.draw(generator, count)
            for part, first in zip(moves, next(self.images()), strict=True):
                part[0] = first[0]
            tokens[0] = np.arange(self.vocab_size)
        full = np.full((count, self.size[0] * self.size[1]), self.outside + 1, dtype=np.uint8)
        return Views(self.sources(moves, full), tokens)

    def keys(self, boards: Tokens) -> Words:
        """Return a hash of each board (N, L), equal for symmetric boards, (N,).

        Others rarely collide, and a collision only puts them into the same split.
        """
        rows = max(1, CHUNK // boards.shape[1])
        parts = [boards[first : first + rows] for first in range(0, len(boards), rows)]
        return np.concatenate([np.zeros(0, dtype=np.uint64), *(self._keys(part) for part in parts)])

    def _keys(self, boards: Tokens) -> Words:
        total = np.zeros(len(boards), dtype=np.uint64)
        for moves in self.images():
            everywhere = Moves(*(np.repeat(part, len(boards), axis=0) for part in moves))
            image = np.take_along_axis(boards, self.sources(everywhere, boards), axis=1)
            total += self._invariant(image)
        return mix(total + GAMMA)

    def _invariant(self, boards: Tokens) -> Words:
        """Return a hash that orders of rows, columns and symbols leave unchanged, by colour refinement, (N,)."""
        height, width = self.size
        inside = boards != self.outside
        symbols = np.where(boards >= self.first, self.first, boards).astype(np.uint64)
        row, column = (line.ravel().astype(np.uint64) for line in np.indices((height, width)))
        colours = symbols * np.uint64(width + 1) + (np.uint64(0) if self.orders_columns else column)
        colours = mix(colours * np.uint64(height + 1) + (np.uint64(0) if self.orders_rows else row) + GAMMA) * inside
        if self.finite:
            return mix(colours.sum(axis=1) + GAMMA)
        for _ in range(ROUNDS):
            grid = colours.reshape(-1, height, width)
            lines = mix(grid.sum(axis=2) + GAMMA)[:, :, None] + mix(grid.sum(axis=1) + SEEDS[0])[:, None, :]
            fresh = colours * np.uint64(3) + lines.reshape(colours.shape)
            if self.renames:
                sums = np.zeros((len(boards), self.vocab_size), dtype=np.uint64)
                np.add.at(sums, (np.arange(len(boards))[:, None], boards), colours)
                fresh += np.take_along_axis(mix(sums + SEEDS[1]), boards.astype(np.intp), axis=1)
            colours = mix(fresh) * inside
        return mix(colours.sum(axis=1) + GAMMA)

    def images(self) -> Iterator[Moves]:
        """Yield the symmetries of the square in the group, each for one grid, the identity first."""
        lines = [np.arange(length, dtype=np.float64) for length in self.size]
        for transposed, down, right in itertools.product(
            *(
                [False, True] if allowed else [False]
                for allowed in (self.transposes, self.flips_rows, self.flips_columns)
            )
        ):
            rows, columns = (-line if flipped else line for line, flipped in zip(lines, (down, right), strict=True))
            yield Moves(rows[None], columns[None], np.array([transposed]))
