"""Generator of Sudoku puzzles with one solution or several, in splits that are disjoint up to symmetry.

Complete grids are filled at random, and clues are removed while the solutions stay few enough, by default unique. A
fingerprint that is equal for symmetric puzzles determines the split of a puzzle.

Shapes: N boards.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm.data.splitmix import GAMMA, mix
from trm.data.sudoku.solver import (
    Bools,
    Digits,
    Geometry,
    Indices,
    Ints,
    all_solutions,
    geometry,
    is_open,
    propagate,
    search,
    solve,
    tightest,
    to_digits,
    to_masks,
)

Hashes = NDArray[np.uint64]

TENTHS = {"train": 8, "val": 1, "test": 1}
"""Tenths of all fingerprints that belong to each split."""
SPLIT_OF_TENTH = np.repeat(list(TENTHS), list(TENTHS.values()))
GRID_SIZES = (9, 16)
"""Sizes split by solution grid; up to symmetry 4x4 has only 2 grids and 6x6 has 49, so puzzles are split there."""
BATCH = 2048
"""Most grids of a round of generation."""
PATIENCE = 20
"""Rounds without a new puzzle after which generation fails."""
MAX_NODES = 2000
"""Branching nodes after which a clue is kept, or a puzzle dropped; only some of 16x16 need so many."""


SOLUTIONS_4X4 = (*range(1, 11), 12, 18, 24, 36, 72, 288)
"""All numbers of solutions that a 4x4 board can have, counted over the sub-boards of its 288 grids."""


class Puzzles(NamedTuple):
    """Puzzles with their solutions."""

    questions: Digits
    """Clues, 0 for a blank, (N, cells)."""
    answers: Digits
    """Solutions, (N, cells); of up to A solutions all, zeros where there are fewer, (N, A, cells)."""
    guesses: Ints
    """Difficulty: branching nodes of the solver, (N,)."""

    def take(self, index: Indices) -> "Puzzles":
        """Return the puzzles at an index, (M,)."""
        return Puzzles(self.questions[index], self.answers[index], self.guesses[index])


def generate(
    size: int,
    counts: Mapping[str, int],
    clues: tuple[int, int] | None,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
    only: Mapping[str, int] | None = None,
    solutions: tuple[int, int] | None = None,
) -> dict[str, Puzzles]:
    """Generate splits of distinct puzzles, disjoint up to symmetry.

    Args:
        size: 4, 6, 9 or 16.
        counts: wanted puzzles of "train", "val" and "test"; other splits are not generated.
        clues: fewest and most clues, chosen uniformly for each puzzle. A puzzle that cannot lose so many clues stays
            minimal, with more of them. None makes all puzzles minimal.
        seed: seed of the random generator.
        progress: called after each round with the numbers of puzzles found and wanted.
        only: stop when these splits have that many puzzles, which are the first of those of a whole generation; the
            other splits stay incomplete.
        solutions: fewest and most solutions, chosen uniformly for each puzzle as the number that it may not exceed;
            None for exactly one.

    Raises:
        ValueError: if an argument is out of its range, or too few puzzles are found.
    """
    _check(size, counts, clues)
    rng = np.random.default_rng(seed)
    parts = {split: [_none(size, solutions)] for split in counts}
    missing = dict(counts)
    seen: set[bytes] = set()
    fruitless = 0
    goal = counts if only is None else only
    while any(counts[split] - missing[split] < number for split, number in goal.items()):
        wanted = [split for split in counts if missing[split]]
        if fruitless == PATIENCE:
            lacking = ", ".join(f"{missing[split]:,} of {counts[split]:,} for {split}" for split in wanted)
            kind = f"with {clues[0]} to {clues[1]} clues" if clues else "that are minimal"
            kind += f" and have {solutions[0]} to {solutions[1]} solutions" if solutions else ""
            raise ValueError(f"too few {size}x{size} puzzles {kind} were found; missing are {lacking}")
        grids = min(BATCH, max(64, *(10 * missing[split] // TENTHS[split] for split in wanted)))
        puzzles = _attempt(grids, wanted, size, clues or (0, 0), rng, solutions)
        puzzles = puzzles.take(_new(puzzles.questions, seen))
        splits = split_of(fingerprint(puzzles.questions, puzzles.answers, size))
        before = sum(missing.values())
        for split in wanted:
            parts[split].append(puzzles.take(np.flatnonzero(splits == split)[: missing[split]]))
            missing[split] -= len(parts[split][-1].questions)
        fruitless = fruitless + 1 if sum(missing.values()) == before else 0
        if progress:
            done = sum(min(counts[split] - missing[split], number) for split, number in goal.items())
            progress(done, sum(goal.values()))
    return {split: _join(part) for split, part in parts.items()}


def _check(size: int, counts: Mapping[str, int], clues: tuple[int, int] | None) -> None:
    cells = geometry(size).cells
    for split, number in counts.items():
        if split not in TENTHS or number < 0:
            accepted = ", ".join(TENTHS)
            raise ValueError(
                f"the number of puzzles of split {split!r} is {number}; accepted are 0 or more of {accepted}"
            )
    if clues is not None and not 0 <= clues[0] <= clues[1] <= cells:
        raise ValueError(f"clues {clues} are not a range; accepted are two numbers in order, from 0 to {cells}")


def _none(size: int, solutions: tuple[int, int] | None) -> Puzzles:
    boards = np.zeros((0, size**2), dtype=np.uint8)
    answers = boards if solutions is None else np.zeros((0, solutions[1], size**2), dtype=np.uint8)
    return Puzzles(boards, answers, np.zeros(0, dtype=np.int64))


def _join(parts: Sequence[Puzzles]) -> Puzzles:
    questions, answers, guesses = zip(*parts, strict=True)
    return Puzzles(np.concatenate(questions), np.concatenate(answers), np.concatenate(guesses))


def _attempt(
    count: int,
    wanted: Sequence[str],
    size: int,
    clues: tuple[int, int],
    rng: np.random.Generator,
    solutions: tuple[int, int] | None,
) -> Puzzles:
    """Return puzzles from ``count`` random grids; sizes that are split by grid skip the grids of other splits."""
    grids = random_grids(count, size, rng)
    if size in GRID_SIZES:
        grids = grids[np.isin(split_of(fingerprint(grids, grids, size)), wanted)]
    kept = rng.integers(clues[0], clues[1] + 1, len(grids))
    if solutions is None:
        questions = dig(grids, size, kept, rng)
        answers, counts, guesses = solve(questions, size, max_nodes=MAX_NODES)
        return Puzzles(questions, answers, guesses).take(np.flatnonzero(counts == 1))
    least, most = solutions
    questions = dig(grids, size, kept, rng, rng.integers(least, most + 1, len(grids)))
    answers, counts = all_solutions(questions, grids, size, most, MAX_NODES)
    right = np.flatnonzero((counts >= least) & (counts <= most))
    return Puzzles(questions, answers, solve(questions, size, limit=1, max_nodes=MAX_NODES).guesses).take(right)


def _new(questions: Digits, seen: set[bytes]) -> Indices:
    """Return the indices of questions that are not in ``seen``, and add them to it."""
    new = []
    for index, question in enumerate(map(bytes, questions)):
        if question not in seen:
            seen.add(question)
            new.append(index)
    return np.array(new, dtype=np.intp)


def random_grids(count: int, size: int, rng: np.random.Generator) -> Digits:
    """Return random complete grids, (count, cells); every grid is possible, but not all are equally likely.

    Raises:
        ValueError: if the size is unknown.
    """
    geo = geometry(size)
    grids = np.zeros((0, geo.cells), dtype=np.uint8)
    while len(grids) < count:
        grids = np.concatenate([grids, _fill(count - len(grids), geo, rng)])
    return grids


def _fill(attempts: int, geo: Geometry, rng: np.random.Generator) -> Digits:
    """Guess digits of each board until it is full or contradictory; return the full boards, which are the majority."""
    bits = np.uint16(1) << np.arange(geo.size, dtype=np.uint16)[:, None]
    boards = np.full((geo.cells, attempts), geo.full)
    boards[: geo.size] = rng.permuted(np.broadcast_to(bits, (geo.size, attempts)), axis=0)  # the first row is free
    full = []
    while boards.size:
        boards = boards[:, propagate(boards, geo)]
        stuck = is_open(boards).any(axis=0)
        full.append(to_digits(boards[:, ~stuck]))
        boards = boards[:, stuck]
        cells, columns = tightest(boards), np.arange(boards.shape[1])
        options = (boards[cells, columns] & bits) != 0  # (size, N)
        guesses = np.where(options, rng.random(options.shape), -1).argmax(axis=0)
        boards[cells, columns] = bits[guesses, 0]
    return np.concatenate(full)


def dig(
    grids: Digits,
    size: int,
    clues: NDArray[np.integer],
    rng: np.random.Generator,
    most: NDArray[np.integer] | None = None,
) -> Digits:
    """Remove clues in random order while the solution stays unique, or the solutions few enough.

    Args:
        grids: complete grids, (N, cells).
        size: 4, 6, 9 or 16.
        clues: number of clues to leave in each grid, (N,); a grid that cannot lose so many becomes minimal.
        rng: random generator of the order.
        most: most solutions of each board, (N,); None for one.

    Returns:
        Questions, 0 for a blank, (N, cells).

    Raises:
        ValueError: if the size is unknown.
    """
    geo = geometry(size)
    questions = grids.copy()
    order = rng.permuted(np.broadcast_to(np.arange(geo.cells), grids.shape), axis=1)
    for step in range(geo.cells):
        rows = np.flatnonzero(np.count_nonzero(questions, axis=1) > clues)
        cells = order[rows, step]
        boards = to_masks(questions[rows], geo)
        if most is None:
            boards[cells, np.arange(len(rows))] ^= geo.full  # any digit but the clue: solvable only if it is needed
            spare = search(boards, geo, limit=1, max_nodes=MAX_NODES).counts == 0
        else:
            boards[cells, np.arange(len(rows))] = geo.full
            counts = search(boards, geo, limit=int(most.max()) + 1, max_nodes=MAX_NODES).counts
            spare = (counts > 0) & (counts <= most[rows])
        questions[rows[spare], cells[spare]] = 0
    return questions


def split_of(fingerprints: Hashes) -> NDArray[np.str_]:
    """Return the split of each fingerprint, (N,)."""
    return np.take(SPLIT_OF_TENTH, fingerprints % np.uint64(10))


def fingerprint(questions: Digits, answers: Digits, size: int, grid_only: bool | None = None) -> Hashes:
    """Return a hash of each puzzle that is equal for symmetric puzzles, 2 x (N, cells) -> (N,).

    Symmetries relabel the digits, permute bands, stacks, rows of a band and columns of a stack, and transpose where
    boxes are square. Other puzzles rarely collide, and a collision only puts them into the same split. At 9x9 and 16x16
    only the answer is hashed, so all puzzles of one solution grid have the same fingerprint; ``grid_only`` overrides
    this. Of several answers, (N, A, cells), the first is hashed there, and the set of all of them elsewhere.

    Raises:
        ValueError: if the size is unknown.
    """
    geo = geometry(size)
    grid_only = size in GRID_SIZES if grid_only is None else grid_only
    if answers.ndim == 3 and not grid_only:
        real = np.asarray(answers.any(axis=2))  # (N, A)
        filled = np.where(real[..., None], answers, answers[:, :1]).reshape(-1, geo.cells)
        each = fingerprint(np.repeat(questions, answers.shape[1], axis=0), filled, size, False)
        return _mix((each.reshape(real.shape) * real).sum(axis=1))
    answers = answers[:, 0] if answers.ndim == 3 else answers
    given = (questions > 0) & (not grid_only)
    hashes = _hash_upright(given, answers, geo)
    if geo.box_rows == geo.box_cols:
        flip = np.arange(geo.cells).reshape(size, size).T.ravel()
        hashes = _mix(hashes + _hash_upright(given[:, flip], answers[:, flip], geo))
    return hashes


def _hash_upright(given: Bools, answers: Digits, geo: Geometry) -> Hashes:
    """Return a hash of each puzzle up to all symmetries but the transpose, by colour refinement, (N,).

    In each round a cell mixes its colour with the unordered sets of colours in its row, column, box and digit. The
    result is a hash of the set of all final colours.
    """
    count, size = len(answers), geo.size
    labels = np.empty((count, 4, geo.cells), dtype=np.uint8)  # the row, column, box and digit of each cell
    labels[:, :3] = geo.cell_units.T % size
    labels[:, 3] = answers - 1
    members = np.argsort(labels, axis=2, kind="stable")
    kinds = np.arange(4, dtype=np.uint64)[:, None]
    colours = _mix(_first_colours(answers, geo) + given)  # (N, cells)
    for _ in range(3):
        sets = np.take_along_axis(colours[:, None], members, axis=2).reshape(count, 4, size, size).sum(axis=3)
        sets = _mix(sets + kinds)  # (N, 4, size)
        colours = _mix(colours + np.take_along_axis(sets, labels, axis=2).sum(axis=1))  # (N, cells)
    return _mix(colours.sum(axis=1))


def _first_colours(answers: Digits, geo: Geometry) -> Hashes:
    """Return initial colours, from the places of a column's digits in a cell's row; otherwise all would be equal."""
    line = np.arange(geo.size, dtype=np.uint8)
    rows = answers.reshape(len(answers), geo.size, geo.size) - np.uint8(1)
    column = np.argsort(rows, axis=2).astype(np.uint8)  # (N, row, digit)
    # The column in which row a has the digit that row b has in column c, (N, a, b, c).
    twin = np.take_along_axis(column[:, :, None], rows[:, None], axis=3)
    swapped = np.take_along_axis(twin, twin, axis=3) == line
    same_stack = twin // geo.box_cols == line // geo.box_cols
    same_band = (line[:, None] // geo.box_rows == line // geo.box_rows)[:, :, None]
    kinds = np.take(_mix(np.arange(8, dtype=np.uint64)), 4 * same_band + 2 * same_stack + swapped)
    return np.asarray(kinds.sum(axis=2).reshape(answers.shape))


def _mix(values: Hashes) -> Hashes:
    """Scramble 64-bit numbers; zero does not stay zero."""
    return mix(values + GAMMA)
