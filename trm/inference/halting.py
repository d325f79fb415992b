"""Early exit: the rules by which a puzzle halts before its last supervision step.

Shapes: B puzzles that have not halted, L grid cells, S sequence, D hidden size.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from trm.arguments import EarlyExit
from trm.data import PuzzleData
from trm.errors import InputError, check_choice
from trm.nn import State, StepOutput


class HaltingContext(NamedTuple):
    """Input of a halting rule: the puzzles of a batch after a supervision step."""

    inputs: Tensor
    """Tokens of the questions, (B, L)."""
    output: StepOutput
    """Output of the step."""
    tokens: Tensor
    """The most likely token of each cell, (B, L)."""
    unchanged: Tensor
    """Number of consecutive supervision steps, up to this one, that changed no token, (B,)."""
    before: State
    """State before the step, 2 x (B, S, D)."""
    indices: Tensor
    """Index of each puzzle in the batch that was passed to ``think``, (B,)."""


HaltingRule = Callable[[HaltingContext], Tensor]
"""Returns which puzzles halt, (B,) bool; called after every supervision step."""


TRAINING_THRESHOLD = 0.5
"""Halting probability above which slots halt in training."""


def head(threshold: float = TRAINING_THRESHOLD) -> HaltingRule:
    """Return the rule that halts a puzzle when its halting probability exceeds a threshold; by default as in training.

    The halting probability is the sigmoid of the halting logit minus the continue logit, which is zero without a
    continue loss.

    Raises:
        InputError: if the threshold is not between 0 and 1.
    """
    if not 0 < threshold < 1:
        raise InputError(f"halt_threshold is {threshold}, but must be greater than 0 and less than 1")
    logit = math.log(threshold / (1 - threshold))
    return lambda context: context.output.halt - context.output.proceed > logit


def confident(rule: HaltingRule, least: float) -> HaltingRule | None:
    """Return a rule that halts as ``rule`` does, but only above a halting probability; None, for never, if it is 1."""
    if least >= 1:
        return None
    sure = head(least)
    return lambda context: rule(context) & sure(context)


def stable(steps: int = 1) -> HaltingRule:
    """Return the rule that halts a puzzle when this many consecutive supervision steps have not changed its answer."""
    return lambda context: context.unchanged >= steps


def rules(data: PuzzleData) -> HaltingRule:
    """Return the rule that halts a puzzle when its answer is valid; the family must have rules."""

    def answer_is_valid(context: HaltingContext) -> Tensor:
        valid = obeys(data, context.inputs, context.tokens)
        if valid is None:
            raise InputError(f"the early-exit rule rules needs rules, which {type(data).__name__} does not have")
        return valid

    return answer_is_valid


def halting_rule(name: EarlyExit, threshold: float, data: object, auto: EarlyExit = "head") -> HaltingRule | None:
    """Return an early-exit rule by its name; None for "never".

    Args:
        name: name of the rule.
        threshold: halting probability above which "head" halts a puzzle.
        data: the family, which "rules" requires.
        auto: the name that "auto" is replaced with.

    Raises:
        InputError: if there is no rule of that name, or the name is "rules" and the family has no rules.
    """
    check_choice("halting", get_args(EarlyExit), rule=name)
    name = auto if name == "auto" else name
    if name == "rules":
        if not (isinstance(data, PuzzleData) and has_rules(data)):
            raise InputError(
                f"halt is 'rules', but {type(data).__name__} has no rules to check an answer by; "
                "never, head and stable need none"
            )
        return rules(data)
    return {"never": None, "head": head(threshold), "stable": stable()}[name]


def obeys(data: PuzzleData, inputs: Tensor, tokens: Tensor) -> Tensor | None:
    """Return which answers are valid by the rules of a family, 2 x (B, L) to (B,) bool; None if it has no rules.

    Padding samples, whose question is empty, are not valid and are not passed to the family.
    """
    real = inputs.any(-1)
    questions, answers = (part[real].to(torch.uint8).cpu().numpy() for part in (inputs, tokens))
    verdicts = data.valid(questions, answers)
    return None if verdicts is None else real.masked_scatter(real, torch.from_numpy(verdicts).to(real.device))


def has_rules(data: PuzzleData) -> bool:
    """Return whether a family can check answers by rules."""
    nothing = np.zeros((0, data.seq_len), dtype=np.uint8)
    return data.valid(nothing, nothing) is not None
