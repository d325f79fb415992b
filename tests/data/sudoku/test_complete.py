"""The search that a network leads: right whatever the network predicts, and no guesses if it predicts the solution."""

import numpy as np
import pytest
from numpy.typing import NDArray

from trm.data import Sudoku
from trm.data.sudoku.complete import first_solutions, surest_cell
from trm.data.sudoku.solver import geometry, is_valid_grid, solve, tightest, to_masks

HARD = [  # the two best known of Inkala
    "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4..",
    "1....7.9..3..2...8..96..5....53..9...1..8...26....4...3......1..4......7..7...3..",
]
GEOMETRY = geometry(9)


def boards(lines: list[str]) -> NDArray[np.uint8]:
    return np.array([[int(symbol) for symbol in line.replace(".", "0")] for line in lines], dtype=np.uint8)


def knowing(solutions: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Log probabilities of a network that predicts the solutions."""
    logs = np.full((*solutions.shape, 9), -5.0)
    np.put_along_axis(logs, solutions[..., None].astype(np.intp) - 1, -0.1, axis=2)
    return logs


def test_the_only_solution_is_found_whatever_the_network_says() -> None:
    questions = boards(HARD)
    expected = solve(questions, 9).solutions
    rng = np.random.default_rng(0)
    for logs in (-rng.exponential(size=(2, 81, 9)), -knowing(expected), np.full((2, 81, 9), np.nan)):
        solutions, guesses = first_solutions(questions, logs, GEOMETRY)
        assert (solutions == expected).all()
        assert (guesses > 0).all()


def test_good_predictions_save_guesses() -> None:
    questions = boards(HARD)
    expected = solve(questions, 9).solutions
    _, led = first_solutions(questions, knowing(expected), GEOMETRY)
    _, misled = first_solutions(questions, -knowing(expected), GEOMETRY)
    assert (led < misled).all()


def test_boards_do_not_depend_on_what_is_searched_beside_them() -> None:
    questions, logs = boards(HARD), -np.random.default_rng(1).exponential(size=(2, 81, 9))
    together = first_solutions(questions, logs, GEOMETRY)
    for board in range(2):
        alone = first_solutions(questions[board : board + 1], logs[board : board + 1], GEOMETRY)
        assert (alone[0][0] == together[0][board]).all()
        assert alone[1][0] == together[1][board]


def test_a_uniform_prediction_leads_to_the_tightest_cell() -> None:
    masks = to_masks(boards(HARD), GEOMETRY)
    masks[[4, 40]] &= 0b11  # leave fewer candidates in a few cells
    for board, cell in enumerate(tightest(masks)):
        assert surest_cell(masks[:, board], np.zeros((81, 9)))[0] == cell


def test_an_answer_of_the_network_that_obeys_the_rules_is_kept() -> None:
    """An empty board has many solutions."""
    data = Sudoku(4)
    wanted = np.array([1, 2, 3, 4, 3, 4, 1, 2, 2, 1, 4, 3, 4, 3, 2, 1], dtype=np.uint8)
    logs = np.full((16, 6), -5.0)
    logs[np.arange(16), wanted + 1] = -0.1
    completion = data.complete(np.ones(16, dtype=np.uint8), logs)
    assert completion is not None
    assert (completion.answer == wanted + 1).all()


@pytest.mark.parametrize("size", [4, 6, 9])
def test_the_answer_is_valid(size: int) -> None:
    data = Sudoku(size)
    question = np.ones(size**2, dtype=np.uint8)
    completion = data.complete(question, -np.random.default_rng(size).exponential(size=(size**2, size + 2)))
    assert completion is not None
    assert data.verify(question, completion.answer).valid
    assert is_valid_grid(completion.answer[None] - 1, size).all()


def test_a_board_without_a_solution_has_no_answer() -> None:
    question = np.ones(16, dtype=np.uint8)
    question[[0, 1, 2, 7]] = [2, 3, 4, 5]  # the last cell of the first row has no digit left
    assert Sudoku(4).complete(question, np.zeros((16, 6))) is None
