"""A check of answers against a task's train pairs, without its solution."""

from collections.abc import Callable

import numpy as np

from trm.data.arc.grids import Grid
from trm.data.arc.tasks import Task
from trm.data.samples import Verdict

Shape = tuple[int, ...]


def consistent(task: Task, question: Grid, grid: Grid) -> Verdict:
    """Check the shape and the colours of an answer against the train pairs.

    * Shape: the first of three rules that all train pairs follow also applies to the answer. The output has the shape
      of its input; all outputs have one shape; or every output is the same multiple or fraction of its input.
    * Colours: each is in a train output or in the test input.

    The check rejects few right answers: 1 of the 835 test outputs of ARC-AGI-1 (0.1 %) and 10 of the 1,243 of ARC-AGI-2
    (0.8 %), training and evaluation subsets together. It rejects these wrong answers, in ARC-AGI-1 and ARC-AGI-2:

    * the first test output of another task, chosen at random: 94 and 91 %;
    * the right answer without its last row: 87 and 84 %;
    * the right answer with one random cell in another random colour: 46 and 40 %;
    * the first train output of the same task: 39 and 42 %; the test input itself: 22 and 17 %;
    * answers of a hardly trained model (64 channels, 320 steps on 20 tasks of ARC-AGI-1) to 60 tasks of each subset,
      nearly all outside its training: 59 of 66 in training and 55 of 64 in evaluation, mostly by their shape.

    An answer that passes is therefore not necessarily likely to be right.

    Args:
        task: the task; its test pairs are not used.
        question: the test input.
        grid: the answer; a grid without cells is no answer.
    """
    if not grid.size:
        return Verdict(False, "the answer is not a grid")
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
"""Given the shapes of train pairs, question and answer, returns why the answer breaks the rule; an empty string if it
follows the rule, None if the train pairs do not follow it."""


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
    """Compare height and width separately: an output may be twice as wide and of equal height."""
    shown, output = pairs[0]
    whole = all(a % b == 0 or b % a == 0 for a, b in zip(shown, output, strict=True))
    if len(pairs) < 2 or not whole or any(_crossed(pair, pairs[0]) for pair in pairs):
        return None
    if not _crossed((question, answer), pairs[0]):
        return ""
    factors = " by ".join(f"{b // a}" if b >= a else f"1/{a // b}" for a, b in zip(shown, output, strict=True))
    return f"the answer is {_name(answer)}, but train outputs are {factors} times their inputs, here {_name(question)}"


def _crossed(pair: tuple[Shape, Shape], other: tuple[Shape, Shape]) -> bool:
    """Return whether two pairs have different ratios of output to input."""
    return any(a * d != b * c for a, b, c, d in zip(*pair, *other, strict=True))


def _name(shape: Shape) -> str:
    return "x".join(map(str, shape))
