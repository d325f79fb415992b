"""Tokens, symmetries, text and rules of Sudoku."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trm.batch import IGNORE
from trm.data import Sudoku
from trm.data.samples import Samples
from trm.data.sampling import DrawGenerator
from trm.data.sudoku.solver import geometry, is_valid_grid, solve
from trm.data.sudoku.text import broken_rule
from trm.errors import InputError

QUESTION = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
ANSWER = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"


def small(tmp_path: Path, size: int, **kwargs: object) -> Sudoku:
    sizes = {"train_size": 20, "val_size": 4, "test_size": 4, "clues": (size * size // 2, size * size // 2)}
    return Sudoku(size=size, root=str(tmp_path), **{**sizes, **kwargs})


@pytest.mark.parametrize("size", [4, 6, 9])
def test_augmented_samples_are_puzzles_with_their_only_solution(tmp_path: Path, size: int) -> None:
    data = small(tmp_path, size)
    batch = data.draw(0, 200)
    questions, answers = batch.inputs.numpy() - 1, batch.labels.numpy() - 1
    assert is_valid_grid(answers, size).all()
    assert ((questions == 0) | (questions == answers)).all()
    assert (solve(questions, size).counts == 1).all()
    assert len(np.unique(questions, axis=0)) > 150


@pytest.mark.parametrize("size", [4, 6, 9, 16])
def test_augmentation_reaches_every_symmetry_it_should(size: int) -> None:
    """On a board of numbered cells: digits, lines within bands, bands, and the transpose of square boxes only."""
    data = Sudoku(size=size)
    pattern = np.arange(size * size, dtype=np.intp)
    rows = np.zeros((400, size * size), dtype=np.uint8)
    rows[:, 0] = 2  # one given digit in the corner
    moved = data.augment(Samples(rows, rows, np.zeros(400, dtype=np.int32)), DrawGenerator(0, 0, 400)).inputs
    places, values = moved.argmax(axis=1), moved.max(axis=1)
    assert set(values) == set(range(2, size + 2))
    assert len(set(places)) > min(len(pattern), 400) * 0.4
    assert (moved == 0).sum() == 400 * (size * size - 1)  # padding stays padding


def test_without_symmetries_the_samples_stay_unchanged(tmp_path: Path) -> None:
    data = small(tmp_path, 4, symmetries=False)
    rows = {bytes(row) for row in data.samples("train").inputs}
    assert {bytes(row) for row in data.draw(0, 20).inputs.numpy().astype(np.uint8)} == rows


def test_generated_puzzles_are_made_once_and_kept(tmp_path: Path) -> None:
    first = small(tmp_path, 4).samples("test")
    (cache,) = tmp_path.glob("*.npz")
    written = cache.stat().st_mtime_ns
    again = small(tmp_path, 4).samples("test")
    assert np.array_equal(first.inputs, again.inputs)
    assert cache.stat().st_mtime_ns == written
    small(tmp_path, 4, seed=1).samples("test")
    assert len(list(tmp_path.glob("*.npz"))) == 2


def test_more_puzzles_than_exist_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="4x4"):
        small(tmp_path, 4, train_size=300, clues=(16, 16)).samples("train")
    assert not list(tmp_path.iterdir())


def test_an_unwritable_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"data\.root"):
        small(tmp_path / "file", 4).samples("train")


def test_text_round_trip() -> None:
    data = Sudoku()
    assert data.write(data.parse(QUESTION)) == QUESTION
    assert data.write(data.parse(QUESTION.replace(".", "0"))) == QUESTION
    assert data.write(data.parse("\n".join(QUESTION[i : i + 9] for i in range(0, 81, 9)))) == QUESTION
    hexadecimal = Sudoku(size=16)
    assert hexadecimal.write(hexadecimal.parse("g" + "." * 255)) == "G" + "." * 255


@pytest.mark.parametrize(
    ("board", "message"),
    [
        ("123", "3 cells, but 9x9 Sudoku has 81"),
        ("x" + QUESTION[1:], "'X' in row 1, column 1"),
        ("55" + QUESTION[2:], "row 1 has 5 more than once"),
        ("5" + "." * 8 + "5" + "." * 71, "column 1 has 5 more than once"),
        ("." * 30 + "5" + "." * 9 + "5" + "." * 40, "box 5 has 5 more than once"),
        (QUESTION[:2] + "1" + QUESTION[3:], "it has no solution"),
    ],
)
def test_unusable_boards_are_refused(board: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Sudoku().parse(board)


def test_verdict_names_the_broken_rule() -> None:
    data = Sudoku()
    question, answer = data.parse(QUESTION), data.parse(ANSWER)
    assert data.verify(question, answer).valid
    blank, changed, wrong = answer.copy(), answer.copy(), answer.copy()
    blank[10] = 1
    changed[0] = question[0] % 9 + 2
    wrong[2], wrong[3] = answer[3], answer[2]
    assert data.verify(question, blank) == (False, "row 2, column 2 is blank")
    assert data.verify(question, changed) == (False, "row 1, column 1 is not the given digit")
    assert data.verify(question, wrong) == (False, "column 3 has 6 more than once")


def test_board_is_drawn_with_its_boxes_and_new_digits_in_color() -> None:
    data = Sudoku(size=6)
    question = data.parse("1" + "." * 35)
    answer = question.copy()
    answer[1] = 3
    plain = data.render_board(answer, question)
    assert plain.splitlines()[0] == "+-------+-------+"
    assert plain.splitlines()[1] == "| 1 2 . | . . . |"
    assert len(plain.splitlines()) == 6 + 4
    assert "\033[1;32m2\033[0m" in data.render_board(answer, question, color=True)
    assert "\033" not in plain


def test_size_out_of_range_is_refused() -> None:
    with pytest.raises(InputError, match=r"data\.size.*5.*4, 6, 9"):
        Sudoku(size=5)


def test_many_answers_are_checked_as_one_is() -> None:
    data = Sudoku()
    question, answer = data.parse(QUESTION), data.parse(ANSWER)
    answers = np.repeat(answer[None], 4, axis=0)
    answers[1, 10], answers[2, 0] = 1, question[0] % 9 + 2
    answers[3, 2], answers[3, 3] = answer[3], answer[2]
    questions = np.repeat(question[None], 4, axis=0)
    assert data.valid(questions, answers).tolist() == [True, False, False, False]
    assert [data.verify(question, row).valid for row in answers] == [True, False, False, False]


def test_corrupt_puzzles_contradict_themselves_and_have_no_label(tmp_path: Path) -> None:
    sizes: dict[str, Any] = {"train_size": 100, "val_size": 1, "test_size": 1, "clues": (5, 8), "root": str(tmp_path)}
    plain, mixed = (Sudoku(4, **sizes, corrupt=share).draw(0, 4000) for share in (0.0, 0.25))
    changed = (plain.inputs != mixed.inputs).sum(1)
    assert 0.22 < (changed > 0).float().mean() < 0.28
    assert set(changed.tolist()) == {0, 1, 2, 3, 4}
    corrupt = changed > 0
    assert (mixed.labels[corrupt] == IGNORE).all() and torch.equal(mixed.labels[~corrupt], plain.labels[~corrupt])
    boards = mixed.inputs.numpy().astype(np.uint8)
    broken = np.array([bool(broken_rule(board - np.uint8(1), geometry(4))) for board in boards])
    assert np.array_equal(broken, corrupt.numpy())
    again = Sudoku(4, **sizes, corrupt=0.25).draw(1000, 100)
    assert torch.equal(again.inputs, mixed.inputs[1000:1100])  # a draw depends on its number alone


def test_easier_puzzles_have_more_of_their_own_answer_filled_in(tmp_path: Path) -> None:
    sizes = {"train_size": 200, "val_size": 0, "test_size": 0, "clues": (8, 8), "root": str(tmp_path)}
    plain, mixed, all_easier = (Sudoku(4, **sizes, easier=share) for share in (0.0, 0.5, 1.0))
    as_they_are, half, easy = (data.draw(0, 4000) for data in (plain, mixed, all_easier))
    for batch in (half, easy):
        assert torch.equal(batch.labels, as_they_are.labels)
        kept = (as_they_are.inputs > 1) | (batch.inputs == 1)
        assert torch.equal(batch.inputs[kept], as_they_are.inputs[kept])
        assert torch.equal(batch.inputs[~kept], batch.labels[~kept])
    filled = [(batch.inputs != as_they_are.inputs).sum(1) for batch in (half, easy)]
    assert (filled[0] > 0).float().mean().item() == pytest.approx(0.5 * (8 / 9), abs=0.03)  # no blank: 1 in 9
    assert torch.bincount(filled[1], minlength=9).div(4000).tolist() == pytest.approx([1 / 9] * 9, abs=0.02)
    assert torch.equal(mixed.draw(100, 7).inputs, half.inputs[100:107])
