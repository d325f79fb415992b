"""Solving: think about each puzzle for as long as a halting rule asks for."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from trm.inference.halting import HaltingContext, HaltingRule
from trm.nn import TRM, State


class Answers(NamedTuple):
    """The answer to each puzzle of a batch, from the step at which it stopped thinking."""

    logits: Tensor
    """(B, L, V)."""
    halt: Tensor
    """Halting logits, (B,): their sigmoid is the model's probability that its answer is right."""
    steps: Tensor
    """Supervision steps taken, (B,)."""

    @property
    def tokens(self) -> Tensor:
        """The most likely token of each cell, (B, L)."""
        return self.logits.argmax(-1)


StateNoise = Callable[[State, Tensor], State]
"""Changes a state before a supervision step, given also which rows of the batch its puzzles are, (B,)."""


@torch.no_grad()
def think(
    core: TRM,
    inputs: Tensor,
    puzzles: Tensor,
    max_steps: int,
    halting: HaltingRule | None = None,
    disturb: StateNoise | None = None,
) -> Answers:
    """Take supervision steps until every puzzle is done.

    Args:
        core: the network, in evaluation mode.
        inputs: tokens of the questions, (B, L).
        puzzles: puzzle ids, (B,).
        max_steps: supervision steps to take at most.
        halting: which puzzles to stop at earlier; the others go on in a smaller batch. Rows of padding, whose question
            is empty, stop after the first step. None lets all take ``max_steps`` steps, as in the official evaluation.
        disturb: changes the state before each supervision step.
    """
    rows = None if core.puzzle_embedding is None else core.puzzle_embedding(puzzles)
    state = State(*(part.contiguous() for part in core.start(len(inputs))))  # as it will be, for the compiler
    everyone = torch.arange(len(inputs), device=inputs.device)
    if halting is None:
        for _ in range(max_steps):
            output = core(disturb(state, everyone) if disturb else state, inputs, rows)
            state = output.state
        return Answers(output.logits, output.halt, torch.full_like(puzzles, max_steps))
    going = everyone  # which puzzles the shrinking batch holds
    tokens, unchanged = torch.full_like(inputs, -1), torch.zeros_like(going)
    for step in range(1, max_steps + 1):
        before = disturb(state, going) if disturb else state
        output = core(before, inputs, rows)
        state, last, tokens = output.state, tokens, output.logits.argmax(-1)
        unchanged = torch.where((tokens == last).all(-1), unchanged + 1, 0)
        if step == 1:
            answers = Answers(output.logits.clone(), output.halt.clone(), torch.ones_like(puzzles))
        else:
            answers.logits[going], answers.halt[going], answers.steps[going] = output.logits, output.halt, step
        done = halting(HaltingContext(inputs, output, tokens, unchanged, before, going)) | ~inputs.any(-1)
        rest = (~done).nonzero().squeeze(-1)  # the one moment at which a GPU is waited for
        if not len(rest):
            break
        if len(rest) < len(going):
            going, inputs, tokens, unchanged = going[rest], inputs[rest], tokens[rest], unchanged[rest]
            rows, state = None if rows is None else rows[rest], State(state.y[rest], state.z[rest])
    return answers
