"""Solving: think about each puzzle for as long as its halting head asks for."""

from typing import NamedTuple

import torch
from torch import Tensor

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


@torch.no_grad()
def think(core: TRM, inputs: Tensor, puzzles: Tensor, max_steps: int, early: bool) -> Answers:
    """Take supervision steps until every puzzle is done.

    Args:
        core: the network, in evaluation mode.
        inputs: tokens of the questions, (B, L).
        puzzles: rows of the puzzle table, (B,).
        max_steps: supervision steps to take at most.
        early: stop a puzzle as soon as the model holds it for done and go on with a smaller batch. Without it all
            puzzles take ``max_steps`` steps, as in the official evaluation.
    """
    rows = None if core.puzzles is None else core.puzzles(puzzles)
    state = core.start(len(inputs))
    unsolved = torch.arange(len(inputs), device=inputs.device)  # which puzzles the shrinking batch holds
    parts: list[Answers] = []
    order: list[Tensor] = []
    for step in range(1, max_steps + 1):
        thought = core(state, inputs, rows)
        state = thought.state
        if step < max_steps and not early:
            continue
        done = thought.done if step < max_steps else torch.ones_like(unsolved, dtype=torch.bool)
        parts.append(Answers(thought.logits[done], thought.halt[done], torch.full_like(unsolved[done], step)))
        order.append(unsolved[done])
        going = ~done
        unsolved, inputs, state = unsolved[going], inputs[going], State(state.y[going], state.z[going])
        rows = None if rows is None else rows[going]
        if not len(unsolved):
            break
    back = torch.cat(order).argsort()
    return Answers(*(torch.cat(field)[back] for field in zip(*parts, strict=True)))
