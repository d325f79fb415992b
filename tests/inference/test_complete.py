"""The hybrid: valid answers from a network that knows nothing, in every family that has an exact solver."""

import numpy as np
import pytest
import torch

from trm.data import Maze, PuzzleData, Sudoku
from trm.data.arc import ARC
from trm.data.maze.generator import generate
from trm.inference.complete import completed

BOARD = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."


@pytest.mark.parametrize("loss", ["stablemax", "softmax"])
@pytest.mark.parametrize("family", ["sudoku", "maze"])
def test_an_answer_that_breaks_the_rules_is_completed(family: str, loss: str) -> None:
    data: PuzzleData
    if family == "sudoku":
        data, question = Sudoku(9), Sudoku(9).parse(BOARD)
    else:
        data = Maze(size=8)
        question = generate(8, {"train": 0, "val": 0, "test": 1}, "hard", 10, 0)["test"].ravel()
    logits = torch.randn(data.seq_len, data.vocab_size, generator=torch.Generator().manual_seed(0))
    assert not data.verify(question, logits.argmax(-1).numpy().astype(np.uint8)).valid
    completion = completed(data, question, logits.requires_grad_(), loss)
    assert completion is not None
    assert data.verify(question, completion.answer).valid


def test_a_family_without_an_exact_solver_completes_nothing() -> None:
    assert ARC.complete is PuzzleData.complete
    assert PuzzleData.complete(Sudoku(4), np.ones(16, dtype=np.uint8), np.zeros((16, 6))) is None
