"""Exact Sudoku solving, batched over boards in numpy.

A board is a bitmask of candidate digits for each cell: bit d - 1 stands for digit d. Masks are stored cells first,
(cells, N), so a cell is contiguous in memory and every operation runs along the batch.

Propagation repeats three rules until nothing changes. A decided digit is removed from the rest of its units. A digit
with one place left in a unit is put there. A digit whose places in a unit all lie in a second unit is removed from the
rest of the second unit. Boards that are still open are branched on, so the search is complete and its counts are exact.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Bools = NDArray[np.bool_]
Digits = NDArray[np.uint8]
Indices = NDArray[np.intp]
Ints = NDArray[np.int64]
Masks = NDArray[np.uint16]

BOX_SHAPES = {4: (2, 2), 6: (2, 3), 9: (3, 3), 16: (4, 4)}
CHUNK_CELLS = 1 << 18
"""Cells searched together: enough to amortise the interpreter's overhead, few enough to stay in cache."""
BREADTH = 32
"""Boards of one root searched together; with more, a root of many solutions would be searched breadth first."""


class Segments(NamedTuple):
    """The segments into which boxes divide the rows, or the columns."""

    cells: Indices
    """Cells of each segment, (segments, width)."""
    of_cell: Indices
    """Index of the segment of each cell, (cells,)."""
    in_line: Indices
    """The other segments of the same line, (segments, a)."""
    in_box: Indices
    """The other segments of the same box, (segments, b)."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """Units and segments of the boards of one size."""

    size: int
    """Number of digits, and of cells in a unit."""
    box_rows: int
    box_cols: int
    units: Indices
    """Cells of each unit: rows, then columns, then boxes, (3 * size, size)."""
    cell_units: Indices
    """Row, column and box of each cell, as indices into ``units``, (cells, 3)."""
    segments: tuple[Segments, Segments]
    """Segments of the rows, and of the columns."""

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.size**2

    @property
    def full(self) -> np.uint16:
        """Mask of all digits."""
        return np.uint16((1 << self.size) - 1)


@cache
def geometry(size: int) -> Geometry:
    """Return the geometry of the boards of a size.

    Raises:
        ValueError: if the size is none of 4, 6, 9 and 16.
    """
    if size not in BOX_SHAPES:
        raise ValueError(f"Sudoku size {size!r} is unknown; accepted are {', '.join(map(str, BOX_SHAPES))}")
    box_rows, box_cols = BOX_SHAPES[size]
    row, col = np.divmod(np.arange(size**2), size)
    box = row // box_rows * box_rows + col // box_cols  # a band has as many boxes as a box has rows
    units = np.concatenate([_members(label) for label in (row, col, box)])
    cell_units = np.stack([row, size + col, 2 * size + box], axis=1)
    return Geometry(size, box_rows, box_cols, units, cell_units, (_cut(row, box), _cut(col, box)))


def _members(labels: Indices) -> Indices:
    """Return the positions of each of the equally frequent labels 0, 1, ..., (n,) -> (labels, n / labels)."""
    return np.argsort(labels, kind="stable").reshape(labels.max() + 1, -1)


def _cut(line: Indices, box: Indices) -> Segments:
    of_cell = np.unique(line * len(line) + box, return_inverse=True)[1]
    cells = _members(of_cell)
    return Segments(cells, of_cell, _others(line[cells[:, 0]]), _others(box[cells[:, 0]]))


def _others(labels: Indices) -> Indices:
    """Return the other positions with the same label, (n,) -> (n, frequency - 1)."""
    alike = (labels[:, None] == labels) & ~np.eye(len(labels), dtype=np.bool_)
    return np.nonzero(alike)[1].reshape(len(labels), -1)


class Solutions(NamedTuple):
    """Result of a search."""

    solutions: Digits
    """The first solution found of each board, zeros where there is none, (N, cells)."""
    counts: Ints
    """Number of solutions, capped at the limit; -1 where the search was cut short, (N,)."""
    guesses: Ints
    """Branching nodes, 0 if propagation suffices; independent of the batch unless a limit ends the search, (N,)."""


def solve(boards: ArrayLike, size: int, limit: int = 2, max_nodes: int = 100_000) -> Solutions:
    """Solve boards and count their solutions.

    Args:
        boards: digits, 0 for a blank, (N, cells).
        size: 4, 6, 9 or 16.
        limit: number of solutions that ends a search: 1 to solve, 2 to distinguish one solution from several.
        max_nodes: branching nodes after which a board counts as undecided.

    Raises:
        ValueError: if the size is unknown, or the boards are not integers 0 to ``size`` of shape (N, cells).
    """
    geo = geometry(size)
    digits = _shaped(boards, geo)
    if not np.issubdtype(digits.dtype, np.integer) or ((digits < 0) | (digits > size)).any():
        raise ValueError(f"boards of {digits.dtype} have other values than the accepted integers 0 to {size}")
    return search(to_masks(digits, geo), geo, limit, max_nodes)


def all_solutions(boards: Digits, grids: Digits, size: int, most: int, max_nodes: int) -> tuple[Digits, Ints]:
    """Return all solutions of boards that have at most ``most``.

    Args:
        boards: digits, 0 for a blank, (N, cells).
        grids: the solution of each board that comes first, (N, cells); the others follow by their digits.
        size: 4, 6, 9 or 16.
        most: most solutions M.
        max_nodes: branching nodes after which a board counts as undecided.

    Returns:
        The solutions, zeros where there are fewer, (N, M, cells); and their number, (N,): M + 1 if there are more and
        -1 for an undecided board, whose solutions are zeros.
    """
    geo = geometry(size)
    every: list[tuple[Digits, Indices]] = []
    counts = search(to_masks(boards, geo), geo, most + 1, max_nodes, every).counts
    solutions, roots = (np.concatenate(part) for part in zip(*every, strict=True))
    kept = (counts[roots] >= 0) & (counts[roots] <= most)
    solutions, roots = solutions[kept], roots[kept]
    others = (solutions != grids[roots]).any(axis=1)
    order = np.lexsort((*solutions.T[::-1], others, roots))
    solutions, roots = solutions[order], roots[order]
    found = np.zeros((len(boards), most, geo.cells), dtype=np.uint8)
    found[roots, np.arange(len(roots)) - np.searchsorted(roots, roots)] = solutions
    return found, counts


def is_valid_grid(grids: ArrayLike, size: int) -> Bools:
    """Return which grids are complete and have every digit once in each unit, (N, cells) -> (N,).

    Raises:
        ValueError: if the size is unknown, or the grids are not of shape (N, cells).
    """
    geo = geometry(size)
    units = _shaped(grids, geo)[:, geo.units]  # (N, units, size)
    return np.asarray((np.sort(units, axis=2) == np.arange(1, size + 1)).all(axis=(1, 2)))


def _shaped(boards: ArrayLike, geo: Geometry) -> NDArray[Any]:
    array = np.asarray(boards)
    if array.ndim != 2 or array.shape[1] != geo.cells:
        raise ValueError(f"boards have shape {array.shape}; accepted is (N, {geo.cells}) for size {geo.size}")
    return array


def to_masks(boards: NDArray[Any], geo: Geometry) -> Masks:
    """Return the candidates of boards, all digits for a blank, (N, cells) -> (cells, N)."""
    masks = np.array([geo.full, *(1 << bit for bit in range(geo.size))], dtype=np.uint16)
    return np.take(masks, boards.T)


def to_digits(masks: Masks) -> Digits:
    """Return the digits of decided boards, (cells, N) -> (N, cells)."""
    return np.asarray(np.bitwise_count(masks - np.uint16(1)).T + np.uint8(1))


def is_open(masks: Masks) -> Bools:
    """Return which cells have more than one candidate; a cell without candidates counts as decided."""
    return np.asarray((masks & (masks - np.uint16(1))) != 0)


def tightest(masks: Masks) -> Indices:
    """Return the open cell with the fewest candidates, (cells, N) -> (N,)."""
    return np.asarray(np.argmin(np.bitwise_count(masks) - np.uint8(2), axis=0))  # decided cells wrap round to 255


def search(
    masks: Masks, geo: Geometry, limit: int, max_nodes: int, every: list[tuple[Digits, Indices]] | None = None
) -> Solutions:
    """Search boards given by their candidates, (cells, N); the other arguments and the result are those of ``solve``.

    To ``every``, if given, solutions are appended as they are found, (n, cells), with the index of their boards, (n,).
    The stack contains pieces of boards, the deepest on top, so memory is bounded by the depth of the search.
    """
    count = masks.shape[1]
    found = Solutions(np.zeros((count, geo.cells), np.uint8), np.zeros(count, np.int64), np.zeros(count, np.int64))
    stack: list[tuple[Masks, Indices]] = []
    _push(stack, masks, np.arange(count))
    while stack:
        boards, roots = _pop(stack)
        pending = (found.counts[roots] < limit) & (found.guesses[roots] <= max_nodes)
        boards, roots = boards[:, pending], roots[pending]
        consistent = propagate(boards, geo)
        boards, roots = boards[:, consistent], roots[consistent]
        stuck = is_open(boards).any(axis=0)
        _record(found, boards[:, ~stuck], roots[~stuck])
        if every is not None:
            every.append((to_digits(boards[:, ~stuck]), roots[~stuck]))
        boards, roots = boards[:, stuck], roots[stuck]
        np.add.at(found.guesses, roots, 1)
        children, parents = _branch(boards, geo)
        _push(stack, children, roots[parents])
    np.minimum(found.counts, limit, out=found.counts)
    found.counts[(found.counts < limit) & (found.guesses > max_nodes)] = -1
    return found


def _push(stack: list[tuple[Masks, Indices]], boards: Masks, roots: Indices) -> None:
    width = CHUNK_CELLS // len(boards)
    pieces = (slice(start, start + width) for start in reversed(range(0, len(roots), width)))
    stack.extend((boards[:, piece], roots[piece]) for piece in pieces)


def _pop(stack: list[tuple[Masks, Indices]]) -> tuple[Masks, Indices]:
    """Pop about a chunk, since a narrow batch takes as long as a wide one, but at most ``BREADTH`` boards of a root."""
    pieces = [stack.pop()]
    while stack and sum(boards.size for boards, _ in pieces) < CHUNK_CELLS // 2:
        pieces.append(stack.pop())
    boards = np.concatenate([boards for boards, _ in pieces], axis=1)
    roots = np.concatenate([roots for _, roots in pieces])
    order = np.argsort(roots, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(roots)) - np.searchsorted(roots[order], roots[order])  # among boards of the same root
    now = rank < BREADTH
    _push(stack, boards[:, ~now], roots[~now])
    return boards[:, now], roots[now]


def _record(found: Solutions, solved: Masks, roots: Indices) -> None:
    unique, first = np.unique(roots, return_index=True)
    fresh = found.counts[unique] == 0
    found.solutions[unique[fresh]] = to_digits(solved[:, first[fresh]])
    np.add.at(found.counts, roots, 1)


def _branch(boards: Masks, geo: Geometry) -> tuple[Masks, Indices]:
    """Return a child for each candidate of the tightest cell, (cells, M), and the index of its parent, (M,)."""
    cells = tightest(boards)
    bits = np.uint16(1) << np.arange(geo.size, dtype=np.uint16)
    parents, digits = np.nonzero(boards[cells, np.arange(len(cells)), None] & bits)
    children = boards[:, parents]
    children[cells[parents], np.arange(len(parents))] = bits[digits]
    return children, parents


def propagate(masks: Masks, geo: Geometry) -> Bools:
    """Apply the rules to (cells, N) in place; return which boards are consistent, (N,). The others are incomplete."""
    consistent = np.ones(masks.shape[1], dtype=np.bool_)
    boards, active = masks, np.arange(masks.shape[1])
    while active.size:
        after, sound = _apply_rules(boards, geo)
        moving = sound & (after != boards).any(axis=0)
        masks[:, active[~moving]] = after[:, ~moving]
        consistent[active[~moving]] = sound[~moving]
        boards, active = after[:, moving], active[moving]
    return consistent


def _apply_rules(masks: Masks, geo: Geometry) -> tuple[Masks, Bools]:
    """Apply each rule once; also return which boards have no contradiction, (N,)."""
    decided = masks * ~is_open(masks)
    taken, clashing = _tally(decided, geo.units)
    masks = decided | masks & ~_union(taken, geo.cell_units)
    placed, several = _tally(masks, geo.units)
    forced = masks & _union(placed & ~several, geo.cell_units)
    wrong = (masks == 0) | is_open(forced)  # (cells, N)
    sound = (placed == geo.full).all(axis=0) & ~clashing.any(axis=0) & ~wrong.any(axis=0)
    masks = forced | masks * (forced == 0)
    for cells, of_cell, in_line, in_box in geo.segments:
        held = _union(masks, cells)  # (segments, N)
        owned = ~(_union(held, in_line) & _union(held, in_box))  # digits without another place in the line or the box
        masks &= ~(_union(owned, in_line) | _union(owned, in_box))[of_cell]
    return masks, sound


def _union(masks: Masks, groups: Indices) -> Masks:
    """Return the digits that occur in each group of rows, (rows, N) -> (groups, N)."""
    union = masks[groups[:, 0]]
    for members in groups.T[1:]:
        union |= masks[members]
    return union


def _tally(masks: Masks, groups: Indices) -> tuple[Masks, Masks]:
    """Return the digits that occur, and those that occur more than once, (rows, N) -> 2 x (groups, N)."""
    once = masks[groups[:, 0]]
    twice = np.zeros_like(once)
    for members in groups.T[1:]:
        digits = masks[members]
        twice |= once & digits
        once |= digits
    return once, twice
