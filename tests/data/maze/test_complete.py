"""Completion of mazes: against the best of all shortest paths, listed one by one."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from trm.data import Maze
from trm.data.maze.complete import most_probable_path
from trm.data.maze.generator import generate
from trm.data.maze.paths import DIRECTIONS, FREE, GOAL, PATH, START, WALL, goal_distances

Cells = list[tuple[int, int]]


@pytest.fixture(scope="module")
def mazes() -> NDArray[np.uint8]:
    """Mazes with many shortest paths."""
    counts = {"train": 0, "val": 0, "test": 30}
    return generate(8, counts, "hard", 10, 0)["test"]


def shortest_paths(maze: NDArray[np.uint8], at: tuple[int, int]) -> Iterator[Cells]:
    left = goal_distances(maze[None])[0]
    if not left[at]:
        yield []
        return
    for down, right in DIRECTIONS.values():
        to = (at[0] + down, at[1] + right)
        if min(to) >= 0 and max(to) < len(maze) and left[to] == left[at] - 1:
            yield from ([at, *rest] for rest in shortest_paths(maze, to))


def test_the_answer_is_the_most_probable_of_all_shortest_paths(mazes: NDArray[np.uint8]) -> None:
    rng, several = np.random.default_rng(0), 0
    for maze in mazes:
        gains = rng.normal(size=maze.shape).astype(np.float32)
        start = tuple(map(int, np.argwhere(maze == START)[0]))
        totals = sorted(sum(float(gains[cell]) for cell in path[1:]) for path in shortest_paths(maze, start))
        answer = most_probable_path(maze, gains)
        assert answer is not None
        assert float(gains[answer == PATH].sum()) == pytest.approx(totals[-1], abs=1e-5)
        several += len(totals) > 1
    assert several > 10


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -3e38])
def test_the_answer_is_valid_whatever_the_network_predicts(mazes: NDArray[np.uint8], value: float) -> None:
    data = Maze(size=8)
    logs = np.zeros((64, data.vocab_size), dtype=np.float32)
    logs[::2, PATH] = value
    questions = mazes.reshape(len(mazes), -1)
    answers = [data.complete(question, logs) for question in questions]
    assert data.valid(questions, np.stack([answer.answer for answer in answers if answer])).all()
    assert all(answer is not None and answer.guesses == 0 for answer in answers)


def test_a_maze_without_a_path_has_no_answer() -> None:
    maze = np.full((3, 3), FREE, dtype=np.uint8)
    maze[1], maze[0, 0], maze[2, 2] = WALL, START, GOAL
    assert most_probable_path(maze, np.zeros((3, 3))) is None
