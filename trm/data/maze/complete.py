"""The most probable shortest path through a maze, by dynamic programming."""

import numpy as np
from numpy.typing import NDArray

from trm.data.maze.paths import DIRECTIONS, FREE, PATH, START, Mazes, goal_distances, on_shortest_paths


def most_probable_path(maze: Mazes, gains: NDArray[np.floating]) -> Mazes | None:
    """Return the answer that marks the shortest path with the greatest sum of gains.

    Args:
        maze: a question with one start and one goal, (size, size).
        gains: gain of marking each cell, (size, size). With log p(path) - log p(free) the answer has the greatest
            total log probability, since all other cells are the same in every right answer.

    Returns:
        The answer, (size, size); None if no path leads from start to goal.
    """
    width = maze.shape[1] + 2
    usable = on_shortest_paths(maze[None])[0]
    moves = np.pad(np.where(usable, goal_distances(maze[None])[0], -1), 1, constant_values=-1).ravel()
    start = int(np.pad(maze == START, 1).argmax())
    if moves[start] < 0:
        return None
    own = np.where(maze == FREE, np.nan_to_num(gains, posinf=0, neginf=0), 0).astype(np.float64)
    total = np.pad(own, 1).ravel()  # becomes the sum along the best path from the cell to the goal
    onward = np.zeros(width**2, dtype=np.intp)  # the next cell of that path
    steps = np.array([down * width + right for down, right in DIRECTIONS.values()])
    for left in range(1, moves[start] + 1):
        cells = np.flatnonzero(moves == left)
        ahead = cells[:, None] + steps  # (n, 4)
        values = np.where(moves[ahead] == left - 1, total[ahead], -np.inf)
        onward[cells] = ahead[np.arange(len(cells)), values.argmax(axis=1)]
        total[cells] += values.max(axis=1)
    marked = np.zeros(width**2, dtype=np.bool_)
    here = start
    for _ in range(moves[start]):
        marked[here] = True
        here = onward[here]
    return np.where(marked.reshape(-1, width)[1:-1, 1:-1] & (maze == FREE), np.uint8(PATH), maze)
