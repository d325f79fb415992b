"""Generator of mazes with random walls and long paths, in splits that are disjoint up to symmetry.

The procedure of Maze-Hard (Lehnert et al. 2024, arXiv 2402.14083) samples a share of walls, the walls, start and goal,
and keeps a maze if its shortest path is long, one in 50,000. Here the goal is sampled among the cells that are far
enough from the start, and a layout is kept with a probability that grows with the number of these cells. The
distribution of mazes is the same, from a fifth of the layouts.
"""

import hashlib
from collections.abc import Callable, Mapping

import numpy as np

from trm.data.maze.paths import (
    DIRECTIONS,
    FREE,
    GOAL,
    PATH,
    SIZES,
    START,
    WALL,
    Bools,
    Ints,
    Mazes,
    Words,
    count_shortest_paths,
    follow,
    on_shortest_paths,
    pack,
    spread,
    symmetry_cells,
    unpack,
)
from trm.errors import counted

KINDS = ("hard", "unique")
WALL_SHARES = (0.3, 0.5)
"""Range of the share of walls, which is uniform in it."""
FAR_SHARE = 1 / 8
"""Share of far cells above which every layout is kept; at 30x30 fewer than 1 in 100 layouts reach it."""
SHARES = {"train": 5, "val": 1, "test": 4}
"""Tenths of all wall layouts that belong to each split; Maze-Hard has as many test mazes as training mazes."""
SPLITS = [split for split, share in SHARES.items() for _ in range(share)]
BATCH = 2048
"""Layouts of a round: enough to amortise the interpreter's overhead, few enough to stay in cache."""
PATIENCE = 1 << 21
"""Layouts without a new maze after which generation fails."""


def default_min_moves(size: int, kind: str) -> int:
    """Return the default of the fewest moves of a maze.

    For "hard" it is the 109 of Maze-Hard, scaled to make mazes of any size equally rare: near the percolation threshold
    of the walls, shortest paths grow with the size to the power of 1.13.
    """
    return max(1, round(109 * (size / 30) ** 1.13)) if kind == "hard" else 2 * size


def generate(
    size: int,
    counts: Mapping[str, int],
    kind: str,
    min_moves: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
    only: Mapping[str, int] | None = None,
    solutions: tuple[int, int] | None = None,
) -> dict[str, Mazes]:
    """Generate splits of mazes, no two with the same walls up to symmetry.

    Args:
        size: rows and columns, 3 to 64.
        counts: wanted mazes of "train", "val" and "test".
        kind: "hard" as in Maze-Hard, with many shortest paths; or "unique", with all but one of them walled off.
        min_moves: fewest moves from start to goal.
        seed: seed of the random generator.
        progress: called after each round with the numbers of mazes found and wanted.
        only: stop when these splits have that many mazes, which are the first of those of a whole generation; the
            other splits stay incomplete.
        solutions: fewest and most shortest paths of a maze; None for any number.

    Returns:
        Questions of each split, (N, size, size).

    Raises:
        ValueError: if an argument is out of its range, or too few mazes are found.
    """
    _check(size, counts, kind, min_moves)
    rng = np.random.default_rng(seed)
    missing = dict(counts)
    found: dict[str, list[Mazes]] = {split: [] for split in counts}
    seen: set[bytes] = set()
    idle = 0
    goal = counts if only is None else only
    while any(len(found[split]) < number for split, number in goal.items()):
        if idle >= PATIENCE:
            lacking = " and ".join(f"{n:,} of {counts[split]:,} for {split}" for split, n in missing.items() if n)
            wanted = f"{solutions[0]} to {solutions[1]} shortest paths" if solutions else "a shortest path"
            raise ValueError(
                f"no more {size}x{size} mazes with {wanted} of {counted(min_moves, 'move')} or more were found; "
                f"missing are {lacking}; lower min_moves or the split sizes"
            )
        idle += BATCH
        mazes = far_mazes(BATCH, size, min_moves, rng)
        if kind == "unique":
            mazes = wall_off_rivals(mazes, rng)
        if solutions:
            paths = count_shortest_paths(mazes)
            mazes = mazes[(paths >= solutions[0]) & (paths <= solutions[1])]
        for maze, key in zip(mazes, layout_keys(mazes), strict=True):
            split = split_of(key)
            if missing.get(split) and key not in seen:
                seen.add(key)
                found[split].append(maze)
                missing[split] -= 1
                idle = 0
        if progress:
            progress(sum(min(len(found[split]), number) for split, number in goal.items()), sum(goal.values()))
    return {split: np.array(part, dtype=np.uint8).reshape(-1, size, size) for split, part in found.items()}


def _check(size: int, counts: Mapping[str, int], kind: str, min_moves: int) -> None:
    if size not in SIZES:
        raise ValueError(f"size {size} is unknown; accepted are {SIZES[0]} to {SIZES[-1]}")
    for split, number in counts.items():
        if split not in SHARES or number < 0:
            raise ValueError(
                f"the number of mazes for {split!r} is {number}; accepted are 0 or more for {list(SHARES)}"
            )
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r} is unknown; accepted are {', '.join(KINDS)}")
    if not 1 <= min_moves < size * size:
        raise ValueError(f"min_moves {min_moves} is out of range; accepted are 1 to {size * size - 1}")


def far_mazes(count: int, size: int, min_moves: int, rng: np.random.Generator) -> Mazes:
    """Sample ``count`` layouts and return mazes of the few that have cells ``min_moves`` away, (n, size, size)."""
    cells = size * size
    walls = np.rint(256 * rng.uniform(*WALL_SHARES, count)).astype(np.uint8)
    free = rng.integers(0, 256, (count, cells), dtype=np.uint8) >= walls[:, None]
    starts = _pick(free, rng)
    rows = np.flatnonzero(free[np.arange(count), starts])
    free, starts = free[rows], starts[rows]
    far, rows = _flood(free.reshape(-1, size, size), starts, min_moves)
    weight = np.bitwise_count(far).sum(axis=0) / (FAR_SHARE * cells)
    kept = rng.random(len(rows)) < weight
    far_cells, rows = unpack(far[:, kept]).reshape(-1, cells), rows[kept]
    mazes = np.where(free[rows], np.uint8(FREE), np.uint8(WALL))
    mazes[np.arange(len(rows)), starts[rows]] = START
    # The greatest of independent random numbers is in each far cell with the same probability.
    mazes[np.arange(len(rows)), (far_cells * (1 - rng.random(far_cells.shape))).argmax(axis=1)] = GOAL
    return mazes.reshape(-1, size, size)


def _pick(free: Bools, rng: np.random.Generator) -> Ints:
    """Return a uniformly random free cell, (N, cells) -> (N,); if 16 tries only hit walls, a wall."""
    tries = rng.integers(free.shape[1], size=(len(free), 16))
    first = np.take_along_axis(free, tries, axis=1).argmax(axis=1)
    return np.asarray(tries[np.arange(len(free)), first])


def _flood(free: Bools, starts: Ints, min_moves: int) -> tuple[Words, Ints]:
    """Find the cells that are ``min_moves`` or more from the start.

    Returns:
        The cells as words, (size, n), of the mazes that may have such cells, and the indices of these mazes, (n,).
    """
    source = np.zeros_like(free)
    source.reshape(len(free), -1)[np.arange(len(free)), starts] = True
    frontier = pack(source)
    unseen = pack(free) ^ frontier
    rows = np.arange(len(free))
    for moves in range(1, min_moves):
        frontier = spread(frontier, unseen)
        if moves % 8 == 0:  # most floods end early
            going = np.bitwise_or.reduce(frontier, axis=0) > 0
            frontier, unseen, rows = frontier[:, going], unseen[:, going], rows[going]
    far = np.zeros_like(frontier)
    while frontier.any():
        frontier = spread(frontier, unseen)
        far |= frontier
    return far, rows


def wall_off_rivals(mazes: Mazes, rng: np.random.Generator) -> Mazes:
    """Leave one random shortest path, with walls on the cells that only the others use, (N, size, size).

    Every other shortest path has such a cell, and a wall makes no path shorter.
    """
    order = rng.permuted(np.broadcast_to(np.arange(len(DIRECTIONS)), (len(mazes), len(DIRECTIONS))), axis=1)
    rivals = on_shortest_paths(mazes) & (mazes == FREE) & (follow(mazes, order) != PATH)
    return np.where(rivals, np.uint8(WALL), mazes)


def layout_keys(mazes: Mazes) -> list[bytes]:
    """Return a key of the walls of each maze; two keys are equal if and only if the walls are symmetric images."""
    walls = (mazes == WALL).reshape(-1, mazes.shape[1] * mazes.shape[2])
    images = np.packbits(walls[:, symmetry_cells(mazes.shape[1])], axis=2)  # (N, 8, cells / 8)
    return [min(image.tobytes() for image in eight) for eight in images]


def split_of(key: bytes) -> str:
    """Return the split of the mazes with this key."""
    number = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")
    return SPLITS[number % len(SPLITS)]
