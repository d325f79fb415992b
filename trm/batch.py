"""The batch: the tensors that data modules produce and the model consumes."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from trm.errors import InputError

IGNORE = -100
"""Label of a cell without an answer, the default of torch's losses: padding in a sample, or a sample of padding."""


def labelled(labels: Tensor) -> Tensor:
    """Return which cells have an answer, (..., L) bool."""
    return labels != IGNORE


def exact_match(tokens: Tensor, labels: Tensor) -> Tensor:
    """Return whether all labelled cells of a sample are right, 2 x (..., L) to (...); True if none is labelled."""
    return ((tokens == labels) | ~labelled(labels)).all(-1)


class Batch(NamedTuple):
    """Puzzles as tensors with the same leading axes: (B,) in evaluation, (K, B) in training."""

    inputs: Tensor
    """Tokens of the questions, (..., B, L) int32."""
    labels: Tensor
    """Tokens of the answers, ``IGNORE`` where there is none, (..., B, L) int32; of up to A right answers to each puzzle
    (..., B, A, L)."""
    puzzle_ids: Tensor
    """Puzzle ids, (..., B) int32."""


def as_batch(given: Any, seq_len: int, vocab_size: int, chunked: bool) -> Batch:
    """Return a batch of a data loader as a ``Batch``, after a check of shapes, types and tokens.

    Args:
        given: a ``Batch``, or a sequence of inputs, labels and, optionally, puzzle ids; integers, (B, L), (B, L) and
            (B,). Labels of up to A right answers are (B, A, L). In training all may have a leading axis of K chunks,
            one per supervision step.
        seq_len: cells of a puzzle, L.
        vocab_size: tokens of the network, V.
        chunked: return (K, B, ...), as training requires; a batch without chunks becomes one chunk.

    Raises:
        InputError: if a shape, type or token is wrong; the message names it and what is expected.
    """
    expected = f"expected are inputs (B, {seq_len}), labels (B, {seq_len}) and puzzle ids (B,) of integers"
    if chunked:
        expected += ", or the same with an axis of chunks in front"
    if not (isinstance(given, (tuple, list)) and len(given) in (2, 3) and all(isinstance(p, Tensor) for p in given)):
        raise InputError(f"the data loader yields {_described(given)}; {expected}")
    inputs, labels = given[0], given[1]
    ids = given[2] if len(given) == 3 else inputs.new_zeros(inputs.shape[:-1], dtype=torch.int32)
    axes = (2, 3) if chunked else (2,)
    one_answer = labels.select(-2, 0) if labels.dim() == inputs.dim() + 1 and labels.shape[-2] else labels
    if inputs.dim() not in axes or inputs.shape[-1] != seq_len or one_answer.shape != inputs.shape:
        raise InputError(f"the data loader yields {_described(given)}; {expected}")
    if ids.shape != inputs.shape[:-1] or any(part.is_floating_point() or part.is_complex() for part in given):
        raise InputError(f"the data loader yields {_described(given)}; {expected}")
    if not inputs.is_cuda:  # a GPU would have to be waited for
        _check_tokens(inputs, labels, vocab_size)
    parts = (part.unsqueeze(0) if chunked and inputs.dim() == 2 else part for part in (inputs, labels, ids))
    return Batch(*(part.int() for part in parts))


def _check_tokens(inputs: Tensor, labels: Tensor, vocab_size: int) -> None:
    for name, tokens, also in (("inputs", inputs, ""), ("labels", labels, f", and {IGNORE} for a cell without one")):
        if not tokens.numel():
            continue
        known = tokens if name == "inputs" else tokens.masked_fill(tokens == IGNORE, 0)
        least, most = (int(end) for end in known.aminmax())
        if least < 0 or most >= vocab_size:
            token = least if least < 0 else most
            raise InputError(
                f"the data loader yields the token {token} in {name}; the network has 0 to {vocab_size - 1}{also}"
            )


def _described(given: Any) -> str:
    if isinstance(given, Tensor):
        return f"one tensor of shape {tuple(given.shape)}, {given.dtype}"
    if isinstance(given, (tuple, list)):
        return f"{type(given).__name__}({', '.join(_described(part) for part in given)})"
    return f"a {type(given).__name__}"
