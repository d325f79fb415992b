"""When to stop thinking about a puzzle before its last supervision step.

Letters in shape comments: B puzzles still being thought about, L grid cells, V vocabulary.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from trm.data import PuzzleData
from trm.errors import InputError, check_choice
from trm.nn import State, StepOutput

RuleName = Literal["never", "head", "stable", "rules"]
RULES: tuple[RuleName, ...] = ("never", "head", "stable", "rules")


class HaltingContext(NamedTuple):
    """Where the puzzles of a batch stand after a supervision step."""

    inputs: Tensor
    """Tokens of the questions, (B, L)."""
    output: StepOutput
    """What the step returned."""
    tokens: Tensor
    """The most likely token of each cell, (B, L)."""
    unchanged: Tensor
    """For how many supervision steps all tokens have stayed the same, (B,)."""
    before: State
    """The state that the step began with, 2 x (B, S, D)."""
    rows: Tensor
    """Which rows of the batch that was asked these puzzles are, (B,)."""


HaltingRule = Callable[[HaltingContext], Tensor]
"""Tells which puzzles to stop thinking about, (B,) bool; it is asked after every supervision step."""


def head(threshold: float = 0.5) -> HaltingRule:
    """Stop where the halting head gives stopping more than this probability.

    That is the probability that the answer is right; with a continue loss, of stopping rather than going on. At 0.5
    it is how slots halt in training.

    Raises:
        InputError: if the threshold is not between 0 and 1.
    """
    if not 0 < threshold < 1:
        raise InputError(f"halt_threshold is {threshold}, but must be greater than 0 and less than 1")
    logit = math.log(threshold / (1 - threshold))
    return lambda context: context.output.halt - context.output.proceed > logit


def stable(steps: int = 1) -> HaltingRule:
    """Stop where the answer has stayed the same for so many supervision steps."""
    return lambda context: context.unchanged >= steps


def rules(data: PuzzleData) -> HaltingRule:
    """Stop where the answer obeys the rules of the family, which must have some."""

    def obeyed(context: HaltingContext) -> Tensor:
        valid = obeys(data, context.inputs, context.tokens)
        assert valid is not None
        return valid

    return obeyed


def halting_rule(name: RuleName, threshold: float, data: object) -> HaltingRule | None:
    """Return a rule by its name; None for "never".

    Args:
        name: one of ``RULES``.
        threshold: of "head".
        data: the family whose rules "rules" asks.

    Raises:
        InputError: if there is no such rule, or "rules" is asked of a family without any.
    """
    check_choice("halting", RULES, rule=name)
    if name == "rules":
        if not (isinstance(data, PuzzleData) and has_rules(data)):
            raise InputError(
                f"halt is 'rules', but {type(data).__name__} has no rules to check an answer by; "
                "never, head and stable need none"
            )
        return rules(data)
    return {"never": None, "head": head(threshold), "stable": stable()}[name]


def obeys(data: PuzzleData, inputs: Tensor, tokens: Tensor) -> Tensor | None:
    """Let a family check answers by its rules, 2 x (B, L) to (B,) bool; None if it has none.

    Rows of padding, whose question is empty, are not shown to it and obey nothing.
    """
    real = inputs.any(-1)
    questions, answers = (part[real].to(torch.uint8).cpu().numpy() for part in (inputs, tokens))
    verdicts = data.valid(questions, answers)
    return None if verdicts is None else real.masked_scatter(real, torch.from_numpy(verdicts).to(real.device))


def has_rules(data: PuzzleData) -> bool:
    """Tell whether a family can check answers by rules."""
    nothing = np.zeros((0, data.seq_len), dtype=np.uint8)
    return data.valid(nothing, nothing) is not None
