"""The loop over supervision steps, with early exit of each puzzle.

Letters in shape comments: B puzzles, L grid cells, V vocabulary.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from trm.errors import InputError
from trm.inference.halting import HaltingContext, HaltingRule
from trm.nn import TRM, State


class Answers(NamedTuple):
    """The answer to each puzzle of a batch, from the step at which it halted."""

    logits: Tensor
    """(B, L, V)."""
    halt: Tensor
    """Halting logits, (B,): their sigmoid is the predicted probability that the answer is right."""
    steps: Tensor
    """Supervision steps taken, (B,)."""

    @property
    def tokens(self) -> Tensor:
        """The most likely token of each cell, (B, L)."""
        return self.logits.argmax(-1)


class Prediction(NamedTuple):
    """What ``Trainer.predict`` returns of a batch: little enough to keep for a whole split."""

    tokens: Tensor
    """Tokens of the answers, (B, L)."""
    halt: Tensor
    """Halting logits, (B,)."""
    steps: Tensor
    """Supervision steps taken, (B,)."""
    logits: Tensor | None = None
    """Logits of the answers, (B, L, V), where they were asked for."""

    @property
    def confidence(self) -> Tensor:
        """Halting probability: how likely the answer is right, as the model has it, (B,)."""
        return self.halt.sigmoid()


StateNoise = Callable[[State, Tensor], State]
"""Returns a changed state, given a state and the indices of its puzzles in the batch, (B,)."""


@torch.no_grad()
def think(
    core: TRM,
    inputs: Tensor,
    puzzles: Tensor,
    max_steps: int,
    halting: HaltingRule | None = None,
    disturb: StateNoise | None = None,
) -> Answers:
    """Take supervision steps until every puzzle has halted.

    Args:
        core: the network, in evaluation mode.
        inputs: tokens of the questions, (B, L).
        puzzles: puzzle ids, (B,).
        max_steps: most supervision steps.
        halting: early-exit rule; the puzzles that have not halted go on in a smaller batch. Padding, samples whose
            question is empty, halts after the first step. None takes ``max_steps`` steps for all, as the official
            evaluation.
        disturb: changes the state before each supervision step.
    """
    rows = None if core.puzzle_embedding is None else core.puzzle_embedding(puzzles)
    state = State(*(part.contiguous() for part in core.start(inputs.shape[0])))  # as it will be, for the compiler
    everyone = torch.arange(inputs.shape[0], device=inputs.device)
    if halting is None:
        for _ in range(max_steps):
            output = core(disturb(state, everyone) if disturb else state, inputs, rows)
            state = output.state
        return Answers(output.logits, output.halt, torch.full_like(puzzles, max_steps))
    going = everyone  # indices of the puzzles in the shrinking batch
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


def check_questions(inputs: Tensor, seq_len: int, vocab_size: int) -> None:
    """Refuse questions that a network cannot read: they would broadcast, or end a GPU's process by an assertion.

    What a person types is checked by ``PuzzleData.parse``.

    Args:
        inputs: tokens of the questions, (B, L).
        seq_len: cells of a question that the network was built for.
        vocab_size: size of its vocabulary, tokens 0 to V - 1.

    Raises:
        InputError: naming the shape, or the first token outside the vocabulary and its place.
    """
    if inputs.ndim != 2 or inputs.shape[1] != seq_len:
        raise InputError(
            f"the questions have shape {tuple(inputs.shape)}, but the network takes (questions, {seq_len})"
        )
    unknown = ((inputs < 0) | (inputs >= vocab_size)).nonzero()
    if len(unknown):
        row, cell = unknown[0].tolist()
        raise InputError(
            f"question {row} has token {int(inputs[row, cell])} in cell {cell}, counted from 0, but the network knows "
            f"tokens 0 to {vocab_size - 1}"
        )
