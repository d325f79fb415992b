"""Questions from a program: the forms they may have, and what is refused by name, and not answered."""

from typing import Any

import numpy as np
import pytest
import torch

from trm.data import ARC, Sudoku
from trm.errors import InputError
from trm.inference.questions import read_questions
from trm.module import TRMModule
from trm.solution import Solution
from trm.solver import Solver

BOARD = "1...2.....3....4"
DATA = Sudoku(size=4)
TOKENS = DATA.parse(BOARD)


@pytest.mark.parametrize(
    ("questions", "count"),
    [
        (BOARD, None),
        ([BOARD, BOARD], 2),
        ([BOARD], 1),
        (TOKENS, None),
        (TOKENS[None], 1),
        (TOKENS.reshape(4, 4), None),
        (TOKENS.reshape(1, 4, 4).repeat(3, axis=0), 3),
        (torch.from_numpy(TOKENS.astype(np.int64)), None),
        (torch.from_numpy(TOKENS.astype(np.int32)).repeat(2, 1), 2),
        (TOKENS.tolist(), None),
        ([TOKENS.tolist()] * 2, 2),
        (TOKENS.reshape(4, 4).tolist(), None),
    ],
)
def test_one_question_or_several_are_read_in_every_form(questions: Any, count: int | None) -> None:
    tokens, single = read_questions(questions, DATA)
    assert single == (count is None)
    assert tokens.dtype == np.uint8
    assert np.array_equal(tokens, TOKENS[None].repeat(count or 1, axis=0))


def test_one_question_has_one_solution_and_a_list_a_list() -> None:
    module = TRMModule(6, 16, hidden_size=8, num_heads=2, multiple_of=8, cycles=1, latent_steps=1, supervision_steps=2)
    solver = Solver(module, DATA)
    assert isinstance(solver.solve(BOARD), Solution)
    assert [type(solution) for solution in solver.solve([BOARD])] == [Solution]
    with pytest.raises(InputError, match="puzzle_ids has 2 values of type int64, but must have 1 integers"):
        solver.solve(BOARD, [1, 2])


@pytest.mark.parametrize(
    ("questions", "words"),
    [
        (None, "of type NoneType, but must be strings, or integers"),
        (3.5, "of type float64"),
        (TOKENS.astype(float), "of type float64"),
        (TOKENS > 1, "of type bool"),
        ([BOARD, 3], "of type"),
        ([[1, 2], [1]], "lists of different lengths"),
        (np.zeros((0, 16), dtype=int), r"shape \(0, 16\)"),
        (TOKENS[:15], r"shape \(15,\), but a question of Sudoku has 16 cells"),
        (np.ones((2, 2, 4, 4), dtype=int), r"shape \(2, 2, 4, 4\)"),
        (TOKENS.astype(int) + 3, "question 0 has token 6 in cell 4, .* but the tokens are 0 to 5"),
        (-TOKENS.astype(int), "but the tokens are 0 to 5"),
    ],
)
def test_what_is_no_question_is_refused_in_one_sentence(questions: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        read_questions(questions, DATA)
    assert "\n" not in str(error.value)


def test_no_question_has_no_solution() -> None:
    module = TRMModule(6, 16, hidden_size=16, num_heads=2, multiple_of=8, cycles=1, latent_steps=1)
    assert Solver((module, DATA)).solve([]) == []


def test_digits_are_not_taken_for_tokens() -> None:
    digits = np.array([[1, 0, 0, 0], [2, 0, 0, 0], [0, 0, 3, 0], [0, 0, 0, 4]])
    with pytest.raises(InputError, match=r"has token 0, which is padding, in cell 1, .* not digits or colours: pass"):
        read_questions(digits, DATA)


def test_a_family_of_smaller_grids_than_its_canvas_may_pad() -> None:
    assert ARC.padded
    question = np.zeros(ARC().seq_len, dtype=int)
    assert read_questions(question, ARC())[1]


def test_colours_are_not_taken_for_tokens() -> None:
    data = ARC()
    question = data.parse("123\n401")
    assert np.array_equal(read_questions(question, data)[0][0], question)
    colours = np.zeros((30, 30), dtype=int)
    colours[:2, :3] = [[2, 3, 4], [5, 0, 6]]
    with pytest.raises(InputError, match=r"token 0, which is padding, in row 2, column 2, inside the grid; .* colours"):
        read_questions(colours, data)
