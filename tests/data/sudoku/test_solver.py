"""The Sudoku solver against known puzzles and against brute force."""

from itertools import permutations, product

import numpy as np
import pytest
from numpy.typing import NDArray

from trm.data.sudoku import solver
from trm.data.sudoku.solver import geometry, is_valid_grid, solve

SIZES = (4, 6, 9, 16)

INKALA = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."
INKALA_SOLVED = "812753649943682175675491283154237896369845721287169534521974368438526917796318452"
HARD = (
    INKALA,
    ".......39.....1..5..3.5.8....8.9...6.7...2...1..4.......9.8..5..2....6..4..7.....",  # Golden Nugget
    "1.......2.9.4...5...6...7...5.9.3.......7.......85..4.7.....6...3...9.8...2.....1",  # Easter Monster
    "...8.1..........435............7.8........1...2..3....6......75..34........2..6..",  # 17 clues
)
EASY = "..3.2.6..9..3.5..1..18.64....81.29..7.......8..67.82....26.95..8..2.3..9..5.1.3.."


def board(text: str) -> NDArray[np.int64]:
    return np.array([int(symbol) for symbol in text.replace(".", "0")])


def cyclic_grid(size: int) -> NDArray[np.int64]:
    """A complete grid: each row is the one above, turned by a box; each band starts one step further."""
    box_rows, box_cols = {4: (2, 2), 6: (2, 3), 9: (3, 3), 16: (4, 4)}[size]
    row, col = np.divmod(np.arange(size * size), size)
    return np.asarray((row % box_rows * box_cols + row // box_rows + col) % size + 1)


def all_grids_of_4x4() -> NDArray[np.int64]:
    rows = list(permutations(range(1, 5)))
    halves = [(a, b) for a, b in product(rows, rows) if len({*a[:2], *b[:2]}) == 4 and len({*a[2:], *b[2:]}) == 4]
    grids = np.array([upper + lower for upper, lower in product(halves, halves)])  # (N, row, column)
    valid = (np.sort(grids, axis=1) == np.arange(1, 5)[:, None]).all(axis=(1, 2))
    return np.compress(valid, grids, axis=0).reshape(-1, 16)


@pytest.mark.parametrize("size", SIZES)
def test_units_are_the_rows_columns_and_boxes(size: int) -> None:
    geo = geometry(size)
    row, col = np.divmod(geo.units, size)
    assert (row[:size] == np.arange(size)[:, None]).all()
    assert (col[size : 2 * size] == np.arange(size)[:, None]).all()
    box = geo.units[2 * size :]
    assert sorted(box.ravel()) == list(range(size * size))
    assert (np.ptp(row[2 * size :], axis=1) == geo.box_rows - 1).all()
    assert (np.ptp(col[2 * size :], axis=1) == geo.box_cols - 1).all()
    cells = np.arange(size * size)
    assert (geo.units[geo.cell_units] == cells[:, None, None]).any(axis=2).all()


def test_solves_the_hardest_puzzle() -> None:
    found = solve([board(INKALA)], 9)
    assert found.counts.tolist() == [1]
    assert found.guesses[0] > 0
    assert (found.solutions[0] == board(INKALA_SOLVED)).all()


def test_solves_hard_puzzles_and_keeps_their_clues() -> None:
    questions = np.stack([board(text) for text in HARD])
    found = solve(questions, 9)
    assert (found.counts == 1).all()
    assert is_valid_grid(found.solutions, 9).all()
    assert ((questions == 0) | (questions == found.solutions)).all()


def test_an_easy_puzzle_needs_no_guess() -> None:
    found = solve([board(EASY)], 9)
    assert (found.counts[0], found.guesses[0]) == (1, 0)


def test_a_board_is_rated_alike_in_any_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    questions = np.stack([board(text) for text in (*HARD, EASY) * 3])
    together = solve(questions, 9)
    monkeypatch.setattr(solver, "CHUNK_CELLS", 81 * 20)
    in_small_pieces = solve(questions[::-1], 9)
    assert (together.guesses == in_small_pieces.guesses[::-1]).all()
    assert (together.counts == in_small_pieces.counts).all()
    assert (together.solutions == in_small_pieces.solutions[::-1]).all()


@pytest.mark.parametrize("size", SIZES)
def test_complete_grid_is_its_own_only_solution(size: int) -> None:
    found = solve([cyclic_grid(size)], size)
    assert (found.counts[0], found.guesses[0]) == (1, 0)
    assert (found.solutions[0] == cyclic_grid(size)).all()


@pytest.mark.parametrize("size", SIZES)
def test_a_few_blanks_are_filled(size: int) -> None:
    questions = np.stack([cyclic_grid(size)] * 5)
    rng = np.random.default_rng(size)
    questions[rng.random(questions.shape) < 0.2] = 0
    found = solve(questions, size)
    assert (found.counts > 0).all()
    assert is_valid_grid(found.solutions, size).all()
    assert ((questions == 0) | (questions == found.solutions)).all()


@pytest.mark.parametrize("size", SIZES)
def test_empty_board_has_several_solutions(size: int) -> None:
    found = solve(np.zeros((1, size * size), dtype=np.uint8), size)
    assert found.counts.tolist() == [2]
    assert is_valid_grid(found.solutions, size).all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("place", ["row", "column", "box"])
def test_a_digit_given_twice_in_a_unit_has_no_solution(size: int, place: str) -> None:
    question = np.zeros(size * size, dtype=np.int64)
    question[[0, {"row": size - 1, "column": size * (size - 1), "box": size + 1}[place]]] = size
    found = solve([question], size)
    assert found.counts.tolist() == [0]
    assert not found.solutions.any()


def test_a_contradiction_in_a_complete_grid_is_found() -> None:
    grid = cyclic_grid(9)
    grid[:2] = grid[1::-1]  # two cells of a row swapped: their columns break
    assert solve([grid], 9).counts.tolist() == [0]


def test_counts_agree_with_brute_force_on_4x4() -> None:
    grids = all_grids_of_4x4()
    assert len(grids) == 288
    rng = np.random.default_rng(0)
    questions = rng.integers(1, 5, (3000, 16)) * (rng.random((3000, 16)) < 0.25)  # mostly contradictory
    consistent = grids[rng.integers(0, 288, 3000)] * (rng.random((3000, 16)) < rng.random((3000, 1)))
    questions = np.concatenate([questions, consistent])
    fits = ((questions[:, None] == 0) | (questions[:, None] == grids)).all(axis=2)  # (N, grids)
    for limit in (1, 2, 5, 1000):
        assert (solve(questions, 4, limit).counts == np.minimum(fits.sum(axis=1), limit)).all()
    found = solve(questions, 4)
    solved = found.counts > 0
    first = (found.solutions[solved, None] == grids).all(axis=2).argmax(axis=1)
    assert fits[solved][np.arange(solved.sum()), first].all()
    assert set(found.counts) == {0, 1, 2}


def test_counts_all_grids_of_4x4_and_6x6() -> None:
    assert solve(np.zeros((1, 16), dtype=int), 4, limit=1000).counts.tolist() == [288]
    first_row = np.concatenate([np.arange(1, 7), np.zeros(30, dtype=int)])
    assert solve([first_row], 6, limit=100_000).counts.tolist() == [28_200_960 // 720]  # a known total, over 6! rows


def test_a_wide_open_board_is_settled_beside_others() -> None:
    questions = np.stack([board(text) for text in (*HARD, "." * 81)])
    assert solve(questions, 9, max_nodes=5000).counts.tolist() == [1, 1, 1, 1, 2]


def test_a_board_over_its_budget_is_undecided() -> None:
    found = solve(np.stack([board(INKALA), board(EASY)]), 9, max_nodes=3)
    assert found.counts.tolist() == [-1, 1]


def test_no_boards_give_no_results() -> None:
    found = solve(np.zeros((0, 81), dtype=np.int64), 9)
    assert [len(field) for field in found] == [0, 0, 0]


@pytest.mark.parametrize("size", SIZES)
def test_valid_grids_are_distinguished_from_broken_ones(size: int) -> None:
    grid = cyclic_grid(size)
    blank, swapped, foreign = grid.copy(), grid.copy(), grid.copy()
    blank[3] = 0
    swapped[:2] = grid[1::-1]
    foreign[grid == 1] = size + 1
    latin = (np.arange(size)[:, None] + np.arange(size)).ravel() % size + 1  # rows and columns hold, boxes don't
    verdicts = is_valid_grid(np.stack([grid, blank, swapped, foreign, latin]), size)
    assert verdicts.tolist() == [True, False, False, False, False]


@pytest.mark.parametrize("size", [0, 5, 25])
def test_unknown_sizes_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} is unknown; accepted are 4, 6, 9, 16"):
        geometry(size)


@pytest.mark.parametrize(
    ("boards", "message"),
    [
        (np.zeros(81, dtype=int), r"shape \(81,\); accepted is \(N, 81\)"),
        (np.zeros((2, 16), dtype=int), r"shape \(2, 16\); accepted is \(N, 81\)"),
        (np.full((1, 81), 10), "integers 0 to 9"),
        (np.full((1, 81), -1), "integers 0 to 9"),
        (np.zeros((1, 81)), "boards of float64"),
    ],
)
def test_malformed_boards_are_refused(boards: NDArray[np.generic], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        solve(boards, 9)
