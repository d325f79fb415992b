"""What must hold of an output of a task, as far as its train pairs tell: a check of answers that knows no solution."""

from collections.abc import Callable

import numpy as np

from trm.data.arc.grids import Grid
from trm.data.arc.tasks import Task
from trm.data.samples import Verdict

Shape = tuple[int, ...]


def consistent(task: Task, question: Grid, grid: Grid) -> Verdict:
    """Check the shape and the colours of an answer against the train pairs.

    * Shape: if every train output is as large as its input, so is the answer; failing that, if all are of one shape,
      so is the answer; failing that, if all are the same multiple of their inputs, or the same part, so is the answer.
    * Colours: each is in a train output or in the test input.

    It refuses few right answers: 1 of the 835 test outputs of ARC-AGI-1 (0.1 %), 10 of the 1,243 of ARC-AGI-2 (0.8 %),
    training and evaluation subsets together. Of wrong answers it catches, likewise of ARC-AGI-1 and ARC-AGI-2:

    * the first test output of another task, drawn at random: 94 and 91 %;
    * the right answer without its last row: 87 and 84 %;
    * the right answer with one cell in another colour, both drawn at random: 46 and 40 %;
    * the first train output of the task itself: 39 and 42 %; the test input as it is: 22 and 17 %;
    * answers of a hardly trained model (64 channels, 320 steps on 20 tasks of ARC-AGI-1), nearly all on tasks unknown
      to it, of 60 tasks each: 59 of 66 in training and 55 of 64 in evaluation, mostly by their shape.

    So an answer that passes is not thereby likely to be right.

    Args:
        task: the task; its test pairs are not looked at.
        question: the test input.
        grid: the answer; one without cells is none.
    """
    if not grid.size:
        return Verdict(False, "the answer is no grid")
    pairs = [(pair.input, pair.output) for pair in task.train if pair.output is not None]
    shapes = [(shown.shape, output.shape) for shown, output in pairs]
    for rule in (_same, _constant, _scaled):
        if (why := rule(shapes, question.shape, grid.shape)) is not None:
            if why:
                return Verdict(False, why)
            break
    known = np.unique(np.concatenate([question.ravel(), *(output.ravel() for _, output in pairs)]))
    new = np.setdiff1d(grid, known)
    if new.size:
        return Verdict(False, f"colour {new[0]} is in no train output and not in the test input")
    return Verdict(True, "")


Rule = Callable[[list[tuple[Shape, Shape]], Shape, Shape], str | None]
"""What keeps an answer of this shape, for this question, from following the train pairs; an empty string if nothing
does, None if the train pairs themselves do not follow the rule."""


def _same(pairs: list[tuple[Shape, Shape]], question: Shape, answer: Shape) -> str | None:
    if any(shown != output for shown, output in pairs):
        return None
    if answer == question:
        return ""
    return f"the answer is {_name(answer)}, but train outputs are as large as their inputs, here {_name(question)}"


def _constant(pairs: list[tuple[Shape, Shape]], question: Shape, answer: Shape) -> str | None:
    outputs = {output for _, output in pairs}
    if len(outputs) > 1 or len(pairs) < 2:
        return None
    (only,) = outputs
    return "" if answer == only else f"the answer is {_name(answer)}, but all train outputs are {_name(only)}"


def _scaled(pairs: list[tuple[Shape, Shape]], question: Shape, answer: Shape) -> str | None:
    """Compare each side by itself: an output may be twice as wide and just as high."""
    shown, output = pairs[0]
    whole = all(a % b == 0 or b % a == 0 for a, b in zip(shown, output, strict=True))
    if len(pairs) < 2 or not whole or any(_crossed(pair, pairs[0]) for pair in pairs):
        return None
    if not _crossed((question, answer), pairs[0]):
        return ""
    factors = " by ".join(f"{b // a}" if b >= a else f"1/{a // b}" for a, b in zip(shown, output, strict=True))
    return f"the answer is {_name(answer)}, but train outputs are {factors} times their inputs, here {_name(question)}"


def _crossed(pair: tuple[Shape, Shape], other: tuple[Shape, Shape]) -> bool:
    """Tell whether two pairs have other proportions of output to input."""
    return any(a * d != b * c for a, b, c, d in zip(*pair, *other, strict=True))


def _name(shape: Shape) -> str:
    return "x".join(map(str, shape))
