"""The tensors that travel from data to model: the one thing that both know of each other."""

from typing import NamedTuple

from torch import Tensor

IGNORE = -100
"""Label of a cell that has no answer: padding inside a row, or a whole row of padding."""


class Batch(NamedTuple):
    """Samples of puzzles, each tensor with the same leading axes: (B,) in evaluation, (K, B) in training."""

    inputs: Tensor
    """Tokens of the questions, (..., B, L) int32."""
    labels: Tensor
    """Tokens of the answers or ``IGNORE``, (..., B, L) int32."""
    puzzle_ids: Tensor
    """Puzzle ids, which index the puzzle embedding, (..., B) int32."""
