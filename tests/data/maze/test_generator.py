"""Generated mazes: valid, as far as promised, unique where promised, disjoint, repeatable, and like Maze-Hard."""

from collections.abc import Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from trm.data.maze import generator
from trm.data.maze.generator import default_min_moves, far_mazes, generate, layout_keys, split_of
from trm.data.maze.paths import DIRECTIONS, GOAL, START, WALL, symmetry_cells

COUNTS = {"train": 30, "val": 6, "test": 20}
# Quantiles 0, 0.1, ... 1 of 1,500 mazes of Maze-Hard.
MOVES = (109, 109, 110, 111, 111, 112, 114, 115, 117, 121, 146)
WALLS = (0.277, 0.338, 0.349, 0.358, 0.364, 0.371, 0.378, 0.386, 0.393, 0.404, 0.45)
MANHATTAN = (2, 8, 11, 14, 16, 18, 21, 24, 28, 34, 56)


def shortest(maze: NDArray[np.uint8]) -> tuple[int, int]:
    """Moves of the shortest paths of a maze and their number, by a search of its own."""
    start, goal = (tuple(map(int, np.argwhere(maze == token)[0])) for token in (START, GOAL))
    layer, seen, moves = {start: 1}, {start}, 0
    while goal not in layer:
        assert layer, "the goal cannot be reached"
        ahead: dict[tuple[int, ...], int] = {}
        for (row, column), ways in layer.items():
            for down, right in DIRECTIONS.values():
                cell = (row + down, column + right)
                if all(0 <= at < len(maze) for at in cell) and maze[cell] != WALL and cell not in seen:
                    ahead[cell] = ahead.get(cell, 0) + ways
        layer, moves = ahead, moves + 1
        seen |= layer.keys()
    return moves, layer[goal]


def distance(sample: NDArray[np.float64], quantiles: Iterable[float]) -> float:
    """Kolmogorov-Smirnov distance between a sample and a distribution given by evenly spaced quantiles."""
    known = np.array(list(quantiles))
    points = np.unique(known)
    ours = np.searchsorted(np.sort(sample), points, side="right") / len(sample)
    theirs = (np.searchsorted(known, points, side="right") - 1) / (len(known) - 1)
    return float(np.abs(ours - theirs).max())


@pytest.mark.parametrize(("kind", "size"), [("hard", 9), ("hard", 12), ("unique", 12), ("unique", 13), ("unique", 33)])
def test_every_maze_has_the_properties_of_its_kind(kind: str, size: int) -> None:
    least = min(default_min_moves(size, kind), 40)
    splits = generate(size, COUNTS, kind, least, seed=1)
    assert {split: part.shape for split, part in splits.items()} == {
        split: (count, size, size) for split, count in COUNTS.items()
    }
    for maze in np.concatenate(list(splits.values())):
        assert (maze == START).sum() == (maze == GOAL).sum() == 1
        moves, ways = shortest(maze)
        assert moves >= least
        assert ways == 1 or kind == "hard"


def test_no_two_mazes_have_the_same_walls_up_to_symmetry() -> None:
    splits = generate(4, {"train": 300, "val": 60, "test": 240}, "unique", 5, seed=0)
    seen = set()
    for split, mazes in splits.items():
        for maze, key in zip(mazes, layout_keys(mazes), strict=True):
            images = {bytes((maze == WALL).ravel()[cells]) for cells in symmetry_cells(4)}
            assert not images & seen
            assert split_of(key) == split
            seen |= images


def test_a_key_is_the_same_for_symmetric_images_alone() -> None:
    mazes = far_mazes(500, 7, 5, np.random.default_rng(0))
    images = mazes.reshape(len(mazes), -1)[:, symmetry_cells(7)].reshape(-1, 7, 7)  # 8 of each maze
    keys = layout_keys(images)
    groups = {tuple(keys[first : first + 8]) for first in range(0, len(keys), 8)}
    assert all(len(set(group)) == 1 for group in groups)
    assert len(groups) == len(mazes)


def test_the_seed_decides() -> None:
    first, again, other = (generate(8, COUNTS, "unique", 16, seed) for seed in (3, 3, 4))
    for split in COUNTS:
        assert (first[split] == again[split]).all()
        assert not (first[split] == other[split]).all()


def test_a_hard_maze_scales_to_the_109_moves_of_maze_hard() -> None:
    assert default_min_moves(30, "hard") == 109
    assert [default_min_moves(size, "unique") for size in (9, 30)] == [18, 60]


def test_mazes_are_like_those_of_maze_hard() -> None:
    rng, found = np.random.default_rng(0), []
    while len(found) < 40:
        found.extend(far_mazes(2048, 30, 109, rng))
    mazes = np.array(found[:40])
    moves = np.array([shortest(maze)[0] for maze in mazes], dtype=np.float64)
    ends = np.array([np.argwhere(mazes == token)[:, 1:] for token in (START, GOAL)])
    manhattan = np.abs(ends[0] - ends[1]).sum(axis=1)
    walls = (mazes == WALL).mean(axis=(1, 2))
    limit = 1.63 / np.sqrt(40)  # of 1 %
    assert distance(moves, MOVES) < limit
    assert distance(walls, WALLS) < limit
    assert distance(manhattan.astype(np.float64), MANHATTAN) < limit


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, COUNTS, "hard", 3, 0), "size 2 is unknown; accepted are 3 to 64"),
        ((9, {"train": -1}, "hard", 20, 0), "the number of mazes for 'train' is -1"),
        ((9, {"spare": 1}, "hard", 20, 0), "the number of mazes for 'spare' is 1"),
        ((9, COUNTS, "easy", 20, 0), "kind 'easy' is unknown; accepted are hard, unique"),
        ((9, COUNTS, "hard", 81, 0), "min_moves 81 is out of range; accepted are 1 to 80"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate(*arguments)  # type: ignore[arg-type]


def test_gives_up_where_there_are_no_such_mazes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "PATIENCE", 20_000)
    with pytest.raises(
        ValueError, match=r"no more 5x5 mazes with a shortest path of 20 moves .* missing are 3 of 3 for train;"
    ):
        generate(5, {"train": 3, "val": 0}, "hard", 20, seed=0)
    with pytest.raises(ValueError, match=r"missing are [\d,]+ of 1,000 for train"):  # 3x3 has 102 layouts
        generate(3, {"train": 1000}, "unique", 2, seed=0)


def test_progress_is_reported() -> None:
    calls: list[tuple[int, int]] = []
    generate(8, COUNTS, "unique", 16, seed=0, progress=lambda done, wanted: calls.append((done, wanted)))
    assert calls[-1] == (56, 56)
