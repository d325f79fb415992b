"""Changed questions: each kind changes what it says and nothing else, and the rules agree about what that means."""

from pathlib import Path

import numpy as np
import pytest
from ranks import Guess

from trm.data import Maze, PuzzleData, Samples, Sudoku
from trm.data.corruption import CORRUPTIONS, Corruption, RandomCorruptions, given_tokens
from trm.data.maze.paths import FREE, GOAL, PATH, START, WALL
from trm.data.samples import Tokens
from trm.errors import InputError


def sudoku(root: Path, size: int = 4) -> tuple[Sudoku, Samples]:
    data = Sudoku(size, clues=(size * 2, size * 2), root=str(root), train_size=0, val_size=0, test_size=12)
    return data, data.samples("test")


def maze(root: Path) -> tuple[Maze, Samples]:
    data = Maze(8, kind="unique", root=str(root), train_size=0, val_size=0, test_size=12)
    return data, data.samples("test")


def changed(data: PuzzleData, samples: Samples, kind: Corruption, strength: int, seed: int = 0) -> Tokens:
    allowed, rng = data.replacements(kind, samples), np.random.default_rng(seed)
    tokens = rng.random(allowed.shape, dtype=np.float32)
    corruptions = RandomCorruptions(samples.inputs, allowed, tokens, rng.random(samples.inputs.shape))
    assert (corruptions.max_strength >= strength).all()
    return corruptions.apply(strength, np.arange(len(samples.inputs)))


def test_givens_are_what_answers_keep(tmp_path: Path) -> None:
    for (data, samples), tokens in ((sudoku(tmp_path), {2, 3, 4, 5}), (maze(tmp_path), {WALL, START, GOAL})):
        assert set(np.flatnonzero(given_tokens(samples.inputs, samples.labels, data.vocab_size))) == tokens
    samples = Guess().samples("test")
    samples.labels[samples.inputs == 3] = 3  # kept by chance
    assert not given_tokens(samples.inputs, samples.labels, Guess.vocab_size).any()


@pytest.mark.parametrize("size", [4, 6])
def test_corruptions_of_sudoku(tmp_path: Path, size: int) -> None:
    data, rows = sudoku(tmp_path, size)
    given = rows.inputs > 1
    for kind, strength in (("wrong", 2), ("missing", 2), ("extra", 2), ("contradictory", 1), ("unused", 2)):
        questions = changed(data, rows, kind, strength)
        new = questions != rows.inputs
        assert (new.sum(1) == strength).all()
        if kind == "wrong":
            assert (given & (questions > 1))[new].all()
            assert not data.valid(questions, rows.labels).any()
        elif kind == "missing":
            assert given[new].all()
            assert (questions[new] == 1).all()
            assert data.valid(questions, rows.labels).all()
        elif kind == "extra":
            assert not given[new].any()
            assert data.valid(questions, rows.labels).all()
        elif kind == "contradictory":
            assert not given[new].any()
            for question in questions:
                with pytest.raises(InputError, match="more than once"):
                    data.parse(data.write(question))
        else:
            assert (questions[new] == 0).all()


def test_corruptions_of_a_maze(tmp_path: Path) -> None:
    data, rows = maze(tmp_path)
    for kind, cells, tokens in (
        ("wrong", rows.labels == PATH, {WALL}),
        ("missing", rows.inputs == WALL, {FREE}),
        ("extra", (rows.inputs == FREE) & (rows.labels != PATH), {WALL}),
        ("contradictory", rows.inputs == FREE, {START, GOAL}),
        ("unused", rows.inputs > 0, {0, PATH}),
    ):
        questions = changed(data, rows, kind, 2)
        new = questions != rows.inputs
        assert (new.sum(1) == 2).all()
        assert cells[new].all()
        assert set(questions[new]) == tokens
        if kind == "extra":
            assert data.valid(questions, np.where(new, WALL, rows.labels).astype(np.uint8)).all()
        if kind == "contradictory":
            for question in questions:
                with pytest.raises(InputError, match="exactly one is needed"):
                    data.parse(data.write(question))


def test_without_givens_only_wrong_tokens_are_possible() -> None:
    data = Guess()
    samples = data.samples("test")
    assert {kind for kind in CORRUPTIONS if data.replacements(kind, samples)[..., 1:].any()} == {"wrong"}
    assert (changed(data, samples, "wrong", 3) != samples.inputs).sum() == 3 * len(samples.inputs)


def test_padding_is_left_alone() -> None:
    data = Guess()
    samples = data.samples("test")
    samples.inputs[:, :4] = 0
    assert all(not data.replacements(kind, samples)[:, :4].any() for kind in CORRUPTIONS)
    assert all(not data.replacements(kind, samples)[..., 0].any() for kind in CORRUPTIONS)


def test_greater_strengths_include_smaller_ones_and_the_seed_decides(tmp_path: Path) -> None:
    data, rows = sudoku(tmp_path)
    one, two = (changed(data, rows, "wrong", strength) for strength in (1, 2))
    new = one != rows.inputs
    assert (one == two)[new].all()
    assert (one == changed(data, rows, "wrong", 1)).all()
    assert (one != changed(data, rows, "wrong", 1, seed=1)).any()
    assert len({tuple(np.flatnonzero(row)) for row in new}) > 3
