"""The rules that a file describes are those of the family, in the same words."""

import numpy as np
import pytest

from trm.data import Maze, PuzzleData, Sudoku
from trm.edge import rules
from trm.errors import InputError
from trm.export.description import rules_as_data

SIZES = {"train_size": 4, "val_size": 0, "test_size": 40}
FAMILIES = (Sudoku(size=4, clues=(8, 8), **SIZES), Sudoku(size=6, **SIZES), Maze(size=5, kind="hard", **SIZES))


@pytest.mark.parametrize("data", FAMILIES, ids=["sudoku-4x4", "sudoku-6x6", "maze"])
def test_verdicts_are_those_of_the_family(data: PuzzleData) -> None:
    samples = data.eval_samples("test", 0, 40)
    described = rules_as_data(data)
    assert described is not None
    generator = np.random.default_rng(0)
    reasons = set()
    for question, label in zip(samples.inputs, samples.labels, strict=True):
        for changes in (0, 1, 2, 4):
            answer = label.copy()
            cells = generator.choice(len(answer), changes, replace=False)
            answer[cells] = generator.integers(1, data.vocab_size, changes)
            verdict = data.verify(question, answer)
            assert rules.broken(described, question, answer) == ("" if verdict.valid else verdict.reason)
            reasons.add(verdict.reason.split(" ")[-1])
    assert len(reasons) > 2


def test_a_detour_is_longer_than_the_shortest_path() -> None:
    data = Maze(size=3, **SIZES)
    described, question = rules_as_data(data), data.parse("S.G.#....")
    assert described is not None
    detour = np.array([3, 2, 4, 5, 1, 5, 5, 5, 5], dtype=np.uint8)
    reason = rules.broken(described, question, detour)
    assert reason == data.verify(question, detour).reason
    assert reason.startswith("longer than the shortest path")


@pytest.mark.parametrize(
    ("data", "text"),
    [(FAMILIES[0], "11.............."), (Maze(size=3, **SIZES), "S.S.#...G"), (Maze(size=3, **SIZES), "S#.##...G")],
)
def test_a_question_without_a_solution_at_first_sight_is_refused_in_the_words_of_the_family(
    data: PuzzleData, text: str
) -> None:
    known = {"S": 3, "G": 4, "#": 1, ".": 1 if isinstance(data, Sudoku) else 2, "1": 2}
    fault = rules.fault(rules_as_data(data), np.array([known[character] for character in text]))
    with pytest.raises(InputError) as refused:
        data.parse(text)
    assert fault
    assert fault in str(refused.value)


def test_a_family_of_ones_own_has_rules_of_its_own() -> None:
    class Diagonal(Sudoku):
        """Its rules are not those of Sudoku."""

    assert rules_as_data(Diagonal(size=4, **SIZES)) is None
    assert rules.fault(None, np.zeros(16)) == ""
