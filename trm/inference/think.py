"""The loop over supervision steps, with early exit per puzzle.

Shapes: B puzzles, L grid cells, V vocabulary.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from trm.errors import InputError
from trm.inference.halting import HaltingContext, HaltingRule
from trm.nn import TRM, State


class Answers(NamedTuple):
    """The answers to the puzzles of a batch, each from the step at which the puzzle halted."""

    logits: Tensor
    """Logits of the answers, (B, L, V)."""
    halt: Tensor
    """Halting logits, (B,); the sigmoid is the predicted probability that the answer is right."""
    steps: Tensor
    """Supervision steps taken, (B,)."""

    @property
    def tokens(self) -> Tensor:
        """The most likely token of each cell, (B, L)."""
        return self.logits.argmax(-1)


class Prediction(NamedTuple):
    """What ``Trainer.predict`` returns for a batch, small enough to keep for a whole split."""

    tokens: Tensor
    """Tokens of the answers, (B, L)."""
    halt: Tensor
    """Halting logits, (B,)."""
    steps: Tensor
    """Supervision steps taken, (B,)."""
    logits: Tensor | None = None
    """Logits of the answers, (B, L, V), if ``TRMModule.predict_logits`` is true."""

    @property
    def confidence(self) -> Tensor:
        """Halting probability, (B,): the predicted probability that the answer is right."""
        return self.halt.sigmoid()


StateNoise = Callable[[State, Tensor], State]
"""Returns a state with noise, given a state and the indices of its puzzles in the batch, (B,)."""


@torch.no_grad()
def think(
    core: TRM,
    inputs: Tensor,
    puzzle_ids: Tensor,
    max_steps: int,
    halting: HaltingRule | None = None,
    add_noise: StateNoise | None = None,
    latents: Tensor | None = None,
) -> Answers:
    """Return the answers to puzzles after supervision steps until each has halted.

    Args:
        core: the network, in evaluation mode.
        inputs: tokens of the questions, (B, L).
        puzzle_ids: puzzle ids, (B,).
        max_steps: maximum number of supervision steps.
        halting: early-exit rule; the puzzles that have not halted continue in a smaller batch. Padding samples, whose
            question is empty, halt after the first step. With None all puzzles take ``max_steps`` steps, as in the
            official evaluation.
        add_noise: function applied to the state before each supervision step.
        latents: number of the latent that each puzzle starts with, from 0, (B,), for a network that has several; None
            for the first of them.
    """
    vectors = None if core.puzzle_embedding is None else core.puzzle_embedding(puzzle_ids)
    state = State(
        *(part.contiguous() for part in core.start(inputs.shape[0], *([] if latents is None else [latents])))
    )  # the layout of later states: one compilation
    indices = torch.arange(inputs.shape[0], device=inputs.device)  # of the puzzles that have not halted
    if halting is None:
        for _ in range(max_steps):
            output = core(add_noise(state, indices) if add_noise else state, inputs, vectors)
            state = output.state
        return Answers(output.logits, output.halt, torch.full_like(puzzle_ids, max_steps))
    tokens, unchanged = torch.full_like(inputs, -1), torch.zeros_like(indices)
    for step in range(1, max_steps + 1):
        before = add_noise(state, indices) if add_noise else state
        output = core(before, inputs, vectors)
        state, last, tokens = output.state, tokens, output.logits.argmax(-1)
        unchanged = torch.where((tokens == last).all(-1), unchanged + 1, 0)
        if step == 1:
            answers = Answers(output.logits.clone(), output.halt.clone(), torch.ones_like(puzzle_ids))
        else:
            answers.logits[indices], answers.halt[indices], answers.steps[indices] = output.logits, output.halt, step
        done = halting(HaltingContext(inputs, output, tokens, unchanged, before, indices)) | ~inputs.any(-1)
        rest = (~done).nonzero().squeeze(-1)  # the only synchronisation with a GPU
        if not len(rest):
            break
        if len(rest) < len(indices):
            indices, inputs, tokens, unchanged = indices[rest], inputs[rest], tokens[rest], unchanged[rest]
            vectors = None if vectors is None else vectors[rest]
            state = State(state.y[rest], state.z[rest])
    return answers


def check_questions(inputs: Tensor, seq_len: int, vocab_size: int) -> None:
    """Check the shape and tokens of questions: wrong ones would broadcast, or fail an assertion on the GPU.

    Text is checked by ``PuzzleData.parse``.

    Args:
        inputs: tokens of the questions, (B, L).
        seq_len: number of cells of a question that the network accepts.
        vocab_size: size V of the vocabulary; tokens are 0 to V - 1.

    Raises:
        InputError: if one is wrong; the message names the shape, or the first wrong token and its cell.
    """
    if inputs.ndim != 2 or inputs.shape[1] != seq_len:
        raise InputError(
            f"the questions have shape {tuple(inputs.shape)}, but the network takes (questions, {seq_len})"
        )
    unknown = ((inputs < 0) | (inputs >= vocab_size)).nonzero()
    if len(unknown):
        row, cell = unknown[0].tolist()
        raise InputError(
            f"question {row} has token {int(inputs[row, cell])} in cell {cell}, counted from 0, but the network "
            f"accepts tokens 0 to {vocab_size - 1}"
        )
