"""The Sudoku generator: proofs by an independent solver, symmetries, splits and limits."""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from trm.data.sudoku.generator import Puzzles, dig, fingerprint, generate, random_grids, split_of
from trm.data.sudoku.solver import is_valid_grid, solve

BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3), 16: (4, 4)}
Boards = NDArray[np.uint8]


@cache
def peers(size: int) -> list[set[int]]:
    box_rows, box_cols = BOXES[size]
    places = [divmod(cell, size) for cell in range(size * size)]
    return [
        {
            size * y + x
            for y, x in places
            if y == row or x == col or (y // box_rows, x // box_cols) == (row // box_rows, col // box_cols)
        }
        for row, col in places
    ]


def count_solutions(board: list[int], size: int) -> int:
    """Count to two by plain backtracking, which shares nothing with the solver."""
    best, fewest = -1, list(range(size + 1))
    for cell, digit in enumerate(board):
        if digit == 0:
            taken = {board[peer] for peer in peers(size)[cell]}
            options = [digit for digit in range(1, size + 1) if digit not in taken]
            if len(options) < len(fewest):
                best, fewest = cell, options
                if len(options) < 2:
                    break
    if best < 0:
        return 1
    found = 0
    for option in fewest:
        board[best] = option
        found += count_solutions(board, size)
        if found > 1:
            break
    board[best] = 0
    return min(found, 2)


def is_unique(question: Boards, size: int) -> bool:
    return count_solutions(question.tolist(), size) == 1


def random_lines(size: int, box: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """An order of rows (columns) that keeps bands (stacks) together."""
    bands = rng.permutation(size // box)
    return np.concatenate([band * box + rng.permutation(box) for band in bands])


def symmetric_image(puzzles: Puzzles, size: int, rng: np.random.Generator) -> tuple[Boards, Boards]:
    """Apply one random symmetry to all questions and answers."""
    rows, cols = (random_lines(size, box, rng) for box in BOXES[size])
    digits = np.concatenate([[0], rng.permutation(size) + 1]).astype(np.uint8)
    turn = size != 6 and rng.random() < 0.5

    def image(boards: Boards) -> Boards:
        moved = digits[boards].reshape(-1, size, size)[:, rows][:, :, cols]
        return (moved.transpose(0, 2, 1) if turn else moved).reshape(boards.shape)

    return image(puzzles.questions), image(puzzles.answers)


@pytest.fixture(scope="module", params=[(4, (4, 8)), (4, None), (6, None), (9, (30, 36)), (9, None)], ids=str)
def generated(request: pytest.FixtureRequest) -> tuple[int, tuple[int, int] | None, dict[str, Puzzles]]:
    size, clues = request.param
    return size, clues, generate(size, {"train": 60, "val": 10, "test": 10}, clues, seed=1)


Generated = tuple[int, tuple[int, int] | None, dict[str, Puzzles]]


def test_puzzles_come_in_the_numbers_asked_for(generated: Generated) -> None:
    size, _, splits = generated
    assert {split: len(puzzles.questions) for split, puzzles in splits.items()} == {"train": 60, "val": 10, "test": 10}
    for puzzles in splits.values():
        assert puzzles.questions.shape == puzzles.answers.shape == (len(puzzles.guesses), size * size)
        assert puzzles.questions.dtype == puzzles.answers.dtype == np.uint8


def test_answers_are_grids_that_keep_the_clues(generated: Generated) -> None:
    size, _, splits = generated
    for questions, answers, _ in splits.values():
        assert is_valid_grid(answers, size).all()
        assert ((questions == 0) | (questions == answers)).all()


def test_every_puzzle_has_one_solution(generated: Generated) -> None:
    size, _, splits = generated
    for puzzles in splits.values():
        assert all(is_unique(question, size) for question in puzzles.questions)


def test_puzzles_have_the_clues_asked_for_or_are_minimal(generated: Generated) -> None:
    size, clues, splits = generated
    fewest, most = clues or (0, 0)
    for question in np.concatenate([puzzles.questions[:2] for puzzles in splits.values()]):
        given = np.flatnonzero(question)
        assert len(given) >= fewest
        if len(given) > most:
            assert not any(is_unique(np.where(np.arange(size * size) == clue, 0, question), size) for clue in given)


def test_no_question_comes_twice(generated: Generated) -> None:
    _, _, splits = generated
    questions = np.concatenate([puzzles.questions for puzzles in splits.values()])
    assert len(np.unique(questions, axis=0)) == len(questions)


def test_ratings_are_those_of_the_solver(generated: Generated) -> None:
    size, _, splits = generated
    for puzzles in splits.values():
        assert (puzzles.guesses == solve(puzzles.questions, size).guesses).all()


def test_symmetric_images_stay_in_their_split(generated: Generated) -> None:
    size, _, splits = generated
    rng = np.random.default_rng(0)
    for split, puzzles in splits.items():
        own = fingerprint(puzzles.questions, puzzles.answers, size)
        assert (split_of(own) == split).all()
        for _ in range(20):
            image = fingerprint(*symmetric_image(puzzles, size, rng), size)
            assert (image == own).all()


@pytest.mark.parametrize("size", [9, 16])
def test_puzzles_of_one_large_grid_share_a_fingerprint(size: int) -> None:
    grids = random_grids(5, size, np.random.default_rng(0))
    questions = grids * (np.random.default_rng(1).random(grids.shape) < 0.5)
    own = fingerprint(grids, grids, size)
    assert (fingerprint(questions, grids, size) == own).all()
    puzzles = Puzzles(questions, grids, np.zeros(5, dtype=np.int64))
    assert (fingerprint(*symmetric_image(puzzles, size, np.random.default_rng(2)), size) == own).all()


def test_fingerprints_tell_puzzles_apart() -> None:
    rng = np.random.default_rng(0)
    grids = random_grids(500, 9, rng)
    assert len(np.unique(fingerprint(grids, grids, 9))) == 500
    grids = random_grids(2000, 4, rng)
    questions = dig(grids, 4, np.zeros(2000, dtype=int), rng)
    assert len(np.unique(fingerprint(questions, grids, 4))) == 36  # the minimal 4x4 puzzles up to symmetry


def test_all_grids_of_4x4_come_up() -> None:
    grids = random_grids(4000, 4, np.random.default_rng(0))
    assert len(np.unique(grids, axis=0)) == 288


@pytest.mark.parametrize(("size", "count"), [(6, 200), (9, 100), (16, 8)])
def test_random_grids_are_valid_and_differ(size: int, count: int) -> None:
    grids = random_grids(count, size, np.random.default_rng(0))
    assert grids.shape == (count, size * size)
    assert is_valid_grid(grids, size).all()
    assert len(np.unique(grids, axis=0)) == count


def test_digging_stops_at_the_clues_of_each_puzzle() -> None:
    rng = np.random.default_rng(0)
    targets = np.arange(36, 82)
    questions = dig(random_grids(len(targets), 9, rng), 9, targets, rng)
    assert (np.count_nonzero(questions, axis=1) == targets).all()


def test_generates_16x16() -> None:
    puzzles = generate(16, {"train": 3}, (130, 140), seed=0)["train"]
    assert (solve(puzzles.questions, 16).counts == 1).all()
    clues = np.count_nonzero(puzzles.questions, axis=1)
    assert ((clues >= 130) & (clues <= 140)).all()


def test_a_seed_fixes_everything() -> None:
    first, again, other = (generate(6, {"train": 50, "test": 5}, (8, 14), seed) for seed in (3, 3, 4))
    for split in ("train", "test"):
        assert np.array_equal(first[split].questions, again[split].questions)
        assert np.array_equal(first[split].answers, again[split].answers)
    assert not np.array_equal(first["train"].questions, other["train"].questions)


def test_progress_rises_to_the_number_wanted() -> None:
    steps: list[tuple[int, int]] = []
    generate(4, {"train": 3000, "val": 100}, (4, 8), 0, lambda found, wanted: steps.append((found, wanted)))
    assert steps == sorted(steps)
    assert steps[-1] == (3100, 3100)


def test_no_puzzles_can_be_asked_for() -> None:
    puzzles = generate(9, {"train": 0}, None, seed=0)["train"]
    assert puzzles.questions.shape == puzzles.answers.shape == (0, 81)
    assert puzzles.guesses.shape == (0,)


def test_asking_for_more_puzzles_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match=r"too few 4x4 puzzles with 16 to 16 clues .* of 1,000 for train"):
        generate(4, {"train": 1000}, (16, 16), seed=0)


@pytest.mark.parametrize(
    ("size", "counts", "clues", "message"),
    [
        (5, {"train": 1}, None, "size 5 is unknown"),
        (4, {"dev": 1}, None, "split 'dev' .* accepted are 0 or more of train, val, test"),
        (4, {"train": -1}, None, "the number of puzzles of split 'train' is -1"),
        (4, {"train": 1}, (8, 4), r"clues \(8, 4\) are not a range"),
        (4, {"train": 1}, (4, 17), "from 0 to 16"),
    ],
)
def test_arguments_out_of_range_are_refused(
    size: int, counts: dict[str, int], clues: tuple[int, int] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        generate(size, counts, clues, seed=0)
