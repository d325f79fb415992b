"""The check of questions that come from a program: those that a person types are checked by ``PuzzleData.parse``."""

from torch import Tensor

from trm.errors import InputError


def check_questions(inputs: Tensor, seq_len: int, vocab_size: int) -> None:
    """Refuse questions that a network cannot read, which would broadcast, or end a GPU's process by an assertion.

    Args:
        inputs: tokens of the questions, (B, L).
        seq_len: cells of a question that the network was built for.
        vocab_size: tokens that it knows, 0 to V - 1.

    Raises:
        InputError: naming the shape, or the first token that is not known and its place.
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
