"""Mazes as arrays: tokens, symmetries, distances, label rules, and the check of an answer.

Arrays of mazes are tokens, (N, size, size). Floods use words: a row of a maze is one machine word, bit c for column c.
The words of a batch are stored rows first, (size, N), so one operation moves a row of every maze.
"""

from collections.abc import Callable
from functools import cache, partial
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm.data.samples import name_cell
from trm.errors import counted

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Mazes = NDArray[np.uint8]
Moves = NDArray[np.int16]
Words = NDArray[Any]  # uint32, or uint64 for rows of more than 32 cells

SYMBOLS = "# SGo"
"""Characters of the tokens 1 to 5; 0 is padding."""
WALL, FREE, START, GOAL, PATH = range(1, 6)
SIZES = range(3, 65)
"""Rows must fit into a word."""
DIRECTIONS = {"down": (1, 0), "left": (0, -1), "right": (0, 1), "up": (-1, 0)}


@cache
def symmetry_cells(size: int) -> NDArray[np.intp]:
    """Return the source of each cell under each of the 8 symmetries of a square, (8, size * size).

    Symmetry 4a + 2b + c mirrors left and right if c, then top and bottom if b, then transposes if a.
    """
    cells = np.arange(size * size).reshape(size, size)
    flipped = [cells, cells[:, ::-1], cells[::-1], cells[::-1, ::-1]]
    return np.stack([image.ravel() for image in [*flipped, *(image.T for image in flipped)]])


# -- floods -----------------------------------------------------------------------------------------------------------


def pack(cells: Bools) -> Words:
    """Return cells (N, size, size) as words, (size, N)."""
    count, rows, columns = cells.shape
    width = 4 if columns <= 32 else 8
    octets = np.zeros((count, rows, width), dtype=np.uint8)
    octets[:, :, : -(-columns // 8)] = np.packbits(cells, axis=2, bitorder="little")
    return np.ascontiguousarray(octets.view(f"<u{width}")[:, :, 0].T)


def unpack(words: Words) -> Bools:
    """Return words (size, N) as cells, (N, size, size)."""
    size = len(words)
    octets = np.ascontiguousarray(words.T)[:, :, None].view(np.uint8)
    return np.unpackbits(octets, axis=2, count=size, bitorder="little").view(np.bool_)


def spread(frontier: Words, unseen: Words) -> Words:
    """Return the unseen neighbours of the frontier, and remove them from ``unseen``; all are words (size, N)."""
    reached = frontier << 1
    reached |= frontier >> 1
    reached[1:] |= frontier[:-1]
    reached[:-1] |= frontier[1:]
    reached &= unseen
    unseen ^= reached
    return reached


def distances(free: Bools, goals: Bools) -> Moves:
    """Return the number of moves from every cell to the nearest goal, 2 x (N, size, size) -> (N, size, size).

    Cells from which no goal can be reached have -1. Moves go up, down, left or right, between free cells.
    """
    frontier = pack(goals)
    unseen = pack(free) & ~frontier
    planes: list[Words] = []  # plane k contains binary digit k of all distances
    moves = 0
    while frontier.any():
        moves += 1
        frontier = spread(frontier, unseen)
        for digit in range(moves.bit_length()):
            if digit == len(planes):
                planes.append(np.zeros_like(frontier))
            if moves >> digit & 1:
                planes[digit] |= frontier
    found = np.where((free | goals) & ~unpack(unseen), 0, -1).astype(np.int16)
    for digit, plane in enumerate(planes):
        found += unpack(plane).astype(np.int16) << digit
    return found


def goal_distances(mazes: Mazes) -> Moves:
    """Return the number of moves from every cell to the goal, -1 if it cannot be reached, (N, size, size)."""
    return distances(mazes != WALL, mazes == GOAL)


# -- shortest paths ---------------------------------------------------------------------------------------------------


def follow(mazes: Mazes, order: NDArray[np.intp]) -> Mazes:
    """Mark one shortest path: from the start, always step to a neighbour nearer to the goal.

    Args:
        mazes: questions with one start each, (N, size, size).
        order: ``DIRECTIONS`` by preference, (4,), or those of each maze, (N, 4).

    Returns:
        Answers, (N, size, size); a maze without a path is returned unchanged.
    """
    count, size = len(mazes), mazes.shape[1] + 2
    framed = np.pad(goal_distances(mazes), ((0, 0), (1, 1), (1, 1)), constant_values=-1).ravel()
    maze, row, column = np.nonzero(mazes == START)
    here = (maze * size + row + 1) * size + column + 1  # (N,): the current end of each path
    steps = np.array([size * down + right for down, right in DIRECTIONS.values()])[order]
    marked = np.zeros(framed.shape, dtype=np.bool_)
    while (going := framed[here] > 1).any():
        neighbours = here[:, None] + steps  # (N, 4)
        nearer = framed[neighbours] == framed[here][:, None] - 1
        here = np.where(going, neighbours[np.arange(count), nearer.argmax(axis=1)], here)
        marked[here] = True
    path = marked.reshape(count, size, size)[:, 1:-1, 1:-1] & (mazes == FREE)
    return np.where(path, np.uint8(PATH), mazes)


LABEL_RULES: dict[str, Callable[[Mazes], Mazes]] = {
    "-".join(np.array(list(DIRECTIONS))[list(order)]): partial(follow, order=np.array(order))
    for order in permutations(range(4))
}
"""Rules that select the shortest path that is the answer, by name; "down-left-right-up" is the rule of Maze-Hard."""


def count_shortest_paths(mazes: Mazes) -> NDArray[np.float64]:
    """Return the number of shortest paths from start to goal, (N, size, size) to (N,); 0 where there is none."""
    moves = np.pad(goal_distances(mazes), ((0, 0), (1, 1), (1, 1)), constant_values=-1)
    start = np.pad(mazes == START, ((0, 0), (1, 1), (1, 1)))
    paths = (moves == 0).astype(np.float64)  # from each cell to the goal; whole numbers up to 2**53
    for left in range(1, int(moves.max(where=start, initial=0)) + 1):
        nearer = np.where(moves == left - 1, paths, 0)
        around = sum(np.roll(nearer, step, axis=axis) for axis in (1, 2) for step in (-1, 1))  # the frame is empty
        paths = np.where(moves == left, around, paths)
    return np.asarray(paths.sum(axis=(1, 2), where=start & (moves >= 0)))


def all_shortest_paths(mazes: Mazes, order: NDArray[np.intp], most: int) -> Mazes:
    """Mark every shortest path of mazes that have at most ``most``.

    Args:
        mazes: questions with one start each and a path, (N, size, size).
        order: ``DIRECTIONS`` by preference, (4,); the path of ``follow`` with this order comes first.
        most: most paths A.

    Returns:
        Answers, zeros where there are fewer, (N, A, size, size).
    """
    count, size = len(mazes), mazes.shape[1] + 2
    framed = np.pad(goal_distances(mazes), ((0, 0), (1, 1), (1, 1)), constant_values=-1)
    moves = framed.reshape(count, size * size)
    maze, row, column = np.nonzero(mazes == START)
    here = (row + 1) * size + column + 1  # (P,): the current end of each path, P of them so far
    steps = np.array([size * down + right for down, right in DIRECTIONS.values()])[order]
    marked = np.zeros((count, size * size), dtype=np.bool_)  # (P, cells)
    while (going := moves[maze, here] > 1).any():
        nearer = moves[maze[:, None], here[:, None] + steps] == moves[maze, here][:, None] - 1  # (P, 4)
        nearer[~going] = [True, False, False, False]  # a path that has arrived goes on as one
        path, direction = np.nonzero(nearer)
        here = np.where(going[path], here[path] + steps[direction], here[path])
        maze, marked = maze[path], marked[path]
        marked[np.arange(len(maze)), here] = True
    paths = marked.reshape(-1, size, size)[:, 1:-1, 1:-1] & (mazes[maze] == FREE)
    found = np.zeros((count, most, *mazes.shape[1:]), dtype=np.uint8)
    found[maze, np.arange(len(maze)) - np.searchsorted(maze, maze)] = np.where(paths, np.uint8(PATH), mazes[maze])
    return found


def on_shortest_paths(mazes: Mazes) -> Bools:
    """Return which cells lie on any shortest path, both ends included, (N, size, size).

    A maze has exactly one shortest path if the number of these cells is the number of moves plus one.
    """
    to_goal, to_start = goal_distances(mazes), distances(mazes != WALL, mazes == START)
    total = to_goal.max(axis=(1, 2), where=mazes == START, initial=-1)[:, None, None]
    return np.asarray((to_goal >= 0) & (to_start >= 0) & (to_goal + to_start == total))


# -- rules ------------------------------------------------------------------------------------------------------------


def find_faults(mazes: Mazes) -> list[str]:
    """Return why each maze is not a valid question; an empty string if it is one."""
    starts, goals = ((mazes == token).sum(axis=(1, 2)).tolist() for token in (START, GOAL))
    moves = goal_distances(mazes).max(axis=(1, 2), where=mazes == START, initial=-1)
    return [
        _not_one("start", start) or _not_one("goal", goal) or ("" if far > 0 else "no path leads from S to G")
        for start, goal, far in zip(starts, goals, moves, strict=True)
    ]


def _not_one(what: str, count: int) -> str:
    return "" if count == 1 else f"it has {counted(count, what) if count else f'no {what}'}, but exactly one is needed"


def find_errors(mazes: Mazes, answers: Mazes) -> list[str]:
    """Return why each answer is not a shortest path through its maze; an empty string if it is one.

    Args:
        mazes: questions without faults, (N, size, size).
        answers: tokens, (N, size, size).
    """
    marked = (answers == START) | (answers == GOAL) | (answers == PATH)
    ends = (mazes == START) | (mazes == GOAL)
    framed = np.pad(marked, ((0, 0), (1, 1), (1, 1))).astype(np.int8)
    neighbours = framed[:, 2:, 1:-1] + framed[:, :-2, 1:-1] + framed[:, 1:-1, 2:] + framed[:, 1:-1, :-2]
    changed = np.where(answers == PATH, FREE, answers) != mazes
    loose = marked & (neighbours != np.where(ends, 1, 2))
    apart = marked & (distances(marked, mazes == GOAL) < 0)
    moves = marked.sum(axis=(1, 2)) - 1
    fewest = goal_distances(mazes).max(axis=(1, 2), where=mazes == START, initial=-1)
    return [
        _at(changed[row], "{} is not as in the question")
        or _at(loose[row], "not a path: the marks end, branch or touch at {}")
        or _at(apart[row], "not a path: {} is marked, but apart from S and G")
        or ("" if length == least else f"longer than the shortest path, {length} instead of {counted(least, 'move')}")
        for row, (length, least) in enumerate(zip(moves, fewest, strict=True))
    ]


def _at(cells: Bools, reason: str) -> str:
    """Return the reason with the first of the cells (size, size) filled in; an empty string if there is none."""
    return reason.format(name_cell(int(cells.argmax()), len(cells))) if cells.any() else ""
