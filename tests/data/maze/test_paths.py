"""Distances, label rules and the check of answers against a search written another way, and against Maze-Hard."""

import csv
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from trm.data.maze.paths import (
    DIRECTIONS,
    FREE,
    GOAL,
    LABEL_RULES,
    PATH,
    SYMBOLS,
    WALL,
    distances,
    find_errors,
    find_faults,
    on_shortest_paths,
    symmetry_cells,
)

MAZE_HARD = Path(__file__).parent / "maze-hard.csv"  # three mazes of its training file, two of its test file
RULE = "down-left-right-up"

TWO_WAYS = (  # the way along the top and right is as short as that along the left and bottom
    "S....",
    ".###.",
    ".###.",
    ".###.",
    "....G",
)


def maze(rows: tuple[str, ...]) -> NDArray[np.uint8]:
    return np.array([["?#.SGo".index(symbol) for symbol in row.replace(" ", ".")] for row in rows], dtype=np.uint8)


def real_mazes() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    with MAZE_HARD.open(newline="") as file:
        rows = list(csv.DictReader(file))
    boards = [[SYMBOLS.index(symbol) + 1 for symbol in row[field]] for field in ("question", "answer") for row in rows]
    questions, answers = np.array(boards, dtype=np.uint8).reshape(2, -1, 30, 30)
    return questions, answers


def search(free: NDArray[np.bool_], source: tuple[int, int]) -> tuple[dict[tuple[int, int], int], ...]:
    """Breadth-first search of one grid: moves from the source to each cell, and the number of shortest ways."""
    moves, ways = {source: 0}, {source: 1}
    for row, column in (queue := [source]):
        for down, right in DIRECTIONS.values():
            cell = (row + down, column + right)
            if not all(0 <= at < len(free) for at in cell) or not free[cell]:
                continue
            if cell not in moves:
                moves[cell], ways[cell] = moves[row, column] + 1, 0
                queue.append(cell)
            if moves[cell] == moves[row, column] + 1:
                ways[cell] += ways[row, column]
    return moves, ways


def random_mazes(count: int, size: int, walls: float, seed: int = 0) -> NDArray[np.uint8]:
    """Mazes with a path, some of which are very short."""
    rng = np.random.default_rng(seed)
    mazes: list[NDArray[np.uint8]] = []
    while len(mazes) < count:
        cells = np.where(rng.random(size * size) < walls, WALL, FREE).astype(np.uint8)
        cells[rng.choice(size * size, 2, replace=False)] = (3, 4)
        if not find_faults(cells.reshape(1, size, size))[0]:
            mazes.append(cells.reshape(size, size))
    return np.array(mazes)


def test_reproduces_the_labels_of_maze_hard() -> None:
    questions, answers = real_mazes()
    assert (LABEL_RULES[RULE](questions) == answers).all()
    assert find_faults(questions) == find_errors(questions, answers) == [""] * 5
    moves = (answers == PATH).sum(axis=(1, 2)) + 1
    assert moves.min() >= 109
    assert (on_shortest_paths(questions).sum(axis=(1, 2)) > moves + 1).all()  # none is unique


@pytest.mark.parametrize("size", [3, 8, 11, 32, 33, 64])
def test_distances_are_those_of_a_search(size: int) -> None:
    rng = np.random.default_rng(size)
    free = rng.random((3, size, size)) < 0.65
    goals = np.zeros_like(free)
    goals[:, size // 2, size - 1] = True
    for grid, found in zip(free | goals, distances(free, goals), strict=True):
        moves, _ = search(grid, (size // 2, size - 1))
        expected = [[moves.get((row, column), -1) for column in range(size)] for row in range(size)]
        assert found.tolist() == expected


def test_there_are_24_label_rules_and_each_marks_a_shortest_path() -> None:
    mazes = random_mazes(20, 9, walls=0.3)
    assert len(LABEL_RULES) == 24
    for rule in LABEL_RULES.values():
        assert find_errors(mazes, rule(mazes)) == [""] * 20


def test_a_label_rule_tries_directions_in_its_order() -> None:
    question = maze(TWO_WAYS)[None]
    left_bottom = maze(("S....", "o###.", "o###.", "o###.", "ooooG"))
    top_right = maze(("Soooo", ".###o", ".###o", ".###o", "....G"))
    assert (LABEL_RULES["down-left-right-up"](question)[0] == left_bottom).all()
    assert (LABEL_RULES["up-right-left-down"](question)[0] == top_right).all()


@pytest.mark.parametrize("size", [5, 10])
def test_cells_on_shortest_paths_are_those_of_a_search(size: int) -> None:
    mazes = random_mazes(20, size, walls=0.35)
    for question, found in zip(mazes, on_shortest_paths(mazes), strict=True):
        (start,), (goal,) = (list(zip(*np.nonzero(question == token), strict=True)) for token in (3, 4))
        to_start, ways = search(question != WALL, start)
        to_goal, _ = search(question != WALL, goal)
        expected = {cell for cell in to_start if to_start[cell] + to_goal[cell] == to_start[goal]}
        assert set(zip(*np.nonzero(found), strict=True)) == expected
        assert (found.sum() == to_start[goal] + 1) == (ways[goal] == 1)


def test_the_symmetries_are_8_and_each_has_its_inverse_among_them() -> None:
    for size in (3, 6):
        cells = symmetry_cells(size)
        assert (cells[0] == np.arange(size * size)).all()
        assert len({bytes(order) for order in cells}) == 8
        assert {bytes(np.argsort(order)) for order in cells} == {bytes(order) for order in cells}
        board = random_mazes(1, size, walls=0.2)
        for order in cells:  # neighbours stay neighbours
            image = board.reshape(-1)[order].reshape(1, size, size)
            assert on_shortest_paths(image).sum() == on_shortest_paths(board).sum()


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        (("..G", "...", "..."), "it has no start, but exactly one is needed"),
        (("S..", "...", "..."), "it has no goal, but exactly one is needed"),
        (("S.G", "...", "..S"), "it has 2 starts, but exactly one is needed"),
        (("S.G", "..G", "..G"), "it has 3 goals, but exactly one is needed"),
        (("S#.", "##.", "..G"), "no path leads from S to G"),
        (("SG.", "...", "..."), ""),
    ],
)
def test_a_fault_is_named(rows: tuple[str, ...], fault: str) -> None:
    assert find_faults(maze(rows)[None]) == [fault]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (("S....", "o###.", "o###.", "o###.", "ooooG"), ""),
        (("Soooo", ".###o", ".###o", ".###o", "....G"), ""),
        (
            ("S....", ".###.", ".###.", ".###.", "....G"),
            "not a path: the marks end, branch or touch at row 1, column 1",
        ),
        (
            ("S....", "o###.", "o###.", "o###.", "oo.oG"),
            "not a path: the marks end, branch or touch at row 5, column 2",
        ),
        (
            ("Soooo", "o###o", "o###o", "o###o", "ooooG"),
            "not a path: the marks end, branch or touch at row 1, column 1",
        ),
        (("S....", "o###.", "oo##.", ".o##.", ".oooG"), "row 3, column 2 is not as in the question"),
        (("S....", "o###.", "o###.", "o###.", "oooGG"), "row 5, column 4 is not as in the question"),
        (("S....", "o###.", "o###.", "o###.", "oooo?"), "row 5, column 5 is not as in the question"),
    ],
)
def test_a_wrong_answer_is_distinguished_from_a_shortest_path(rows: tuple[str, ...], reason: str) -> None:
    assert find_errors(maze(TWO_WAYS)[None], maze(rows)[None]) == [reason]


def test_a_path_that_is_too_long_is_distinguished_from_no_path() -> None:
    question = maze(("S...", "....", "....", "G..."))
    detour = maze(("Sooo", "...o", "...o", "Gooo"))
    ring_apart = maze(("S.oo", "o.oo", "o...", "G..."))
    assert find_errors(question[None], detour[None]) == ["longer than the shortest path, 9 instead of 3 moves"]
    touching = maze(("Soo.", ".oo.", "oo..", "G..."))
    assert find_errors(question[None], touching[None])[0].startswith("not a path: the marks end, branch or touch")
    assert find_errors(question[None], ring_apart[None]) == [
        "not a path: row 1, column 3 is marked, but apart from S and G"
    ]


def test_the_steps_of_an_answer_lead_to_the_goal_one_by_one() -> None:
    questions, answers = real_mazes()
    for question, answer in zip(questions, answers, strict=True):
        moves, _ = search(answer >= 3, tuple(np.argwhere(question == GOAL)[0]))
        assert all(b - a == 1 for a, b in pairwise(sorted(moves.values())))
