"""Samples of a split, their symmetries, and verdicts on answers.

Shapes: N samples or boards, L grid cells, V vocabulary, K views.
"""

import hashlib
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from trm.batch import IGNORE, Batch
from trm.errors import InputError, counted

Tokens = NDArray[np.uint8]


class Samples(NamedTuple):
    """Samples of a split; token 0 is padding, and label 0 marks a cell without an answer."""

    inputs: Tokens
    """Tokens of the questions, (N, L)."""
    labels: Tokens
    """Tokens of the answers, (N, L); of up to A right answers to each (N, A, L), zeros where there are fewer."""
    puzzle_ids: NDArray[np.int32]
    """Puzzle ids, which index the puzzle embedding, (N,)."""

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Which samples have a label in some cell, (N,)."""
        return np.asarray((self.answers != 0).any(axis=(1, 2)))

    @property
    def answers(self) -> Tokens:
        """All right answers that are given, (N, A, L); A is 1 in a family of one answer."""
        return self.labels if self.labels.ndim == 3 else self.labels[:, None]

    @property
    def first(self) -> Tokens:
        """The first right answer to each question, (N, L)."""
        return self.answers[:, 0]

    def take(self, which: slice | NDArray[Any]) -> "Samples":
        """Return the samples at an index, (M,), or in a slice."""
        return Samples(self.inputs[which], self.labels[which], self.puzzle_ids[which])


def check_samples(given: Any, seq_len: int, vocab_size: int, num_puzzles: int, where: str) -> Samples:
    """Return what a family has loaded as samples of the documented types, after a check of shapes, types and values.

    Args:
        given: samples, or three arrays of integers of any type: (N, L), (N, L) or (N, A, L), and (N,).
        seq_len: L.
        vocab_size: V, at most 256.
        num_puzzles: number of puzzle ids; 0 if the family has none, which leaves them unchecked.
        where: beginning of the message of an error, which ends in a verb such as "returns".

    Raises:
        InputError: if a shape, type or value is wrong; the message names the first.
    """
    parts = [np.asarray(part) for part in given] if isinstance(given, (tuple, list)) else []
    shapes = ", ".join(f"{part.shape} {part.dtype}" for part in parts) or type(given).__name__
    size = len(parts[0]) if len(parts) == 3 and parts[0].ndim else 0
    several = len(parts) == 3 and parts[1].ndim == 3 and parts[1].shape[1] > 0
    answers = parts[1].shape[1:2] if several else ()
    expected = [(size, seq_len), (size, *answers, seq_len), (size,)]
    if [part.shape for part in parts] != expected or any(part.dtype.kind not in "iu" for part in parts):
        raise InputError(
            f"{where} {shapes}; expected are inputs (N, {seq_len}), labels (N, {seq_len}) and puzzle ids (N,) of "
            "integers; with several right answers labels (N, answers, cells)"
        )
    if vocab_size > 256:
        raise InputError(f"the vocabulary has {counted(vocab_size, 'token')}, but at most 256 are supported")
    limits = (vocab_size, vocab_size, num_puzzles or np.iinfo(np.int32).max)
    for name, part, limit in zip(("inputs", "labels", "puzzle ids"), parts, limits, strict=True):
        if size and not 0 <= int(part.min()) <= int(part.max()) < limit:
            place = np.argwhere((part < 0) | (part >= limit))[0]
            cell = f", cell {place[-1]}" if part.ndim > 1 else ""
            none = "; 0 is the label of a cell without an answer" if name == "labels" else ""
            raise InputError(
                f"{where} {name} with {part[tuple(place)]} in sample {place[0]}{cell}; accepted are 0 to "
                f"{limit - 1}{none}"
            )
    inputs, labels, ids = parts
    return Samples(inputs.astype(np.uint8, copy=False), labels.astype(np.uint8, copy=False), ids.astype(np.int32))


class Views(NamedTuple):
    """Symmetries of a family's puzzles: each permutes the cells and the tokens."""

    cells: NDArray[np.intp]
    """The source of each cell of a view, (K, L)."""
    tokens: Tokens
    """The replacement of each token, (K, V)."""

    def apply(self, boards: Tokens, which: NDArray[np.integer]) -> Tokens:
        """Return each board under one of the views, (N, L) and (N,) to (N, L); or A boards of each, (N, A, L)."""
        if boards.ndim == 3:
            flat = self.apply(boards.reshape(-1, boards.shape[-1]), np.repeat(which, boards.shape[1]))
            return flat.reshape(boards.shape)
        moved = np.take_along_axis(boards, self.cells[which], axis=1)
        return np.take_along_axis(self.tokens[which], moved.astype(np.intp), axis=1)

    def undo(self, boards: Tokens, which: NDArray[np.integer]) -> Tokens:
        """Return the boards that ``apply`` turned into these views, (N, L) and (N,) to (N, L)."""
        named = np.take_along_axis(np.argsort(self.tokens, axis=1)[which], boards.astype(np.intp), axis=1)
        back = np.empty_like(boards)
        np.put_along_axis(back, self.cells[which], named.astype(boards.dtype), axis=1)
        return back


class Verdict(NamedTuple):
    """Result of checking an answer by the rules of a family."""

    valid: bool
    reason: str
    """The broken rule; for a valid answer a remark or an empty string."""

    @property
    def in_words(self) -> str:
        """The verdict as a phrase for people."""
        return self.reason or "obeys the rules" if self.valid else f"breaks the rules: {self.reason}"


class Finding(NamedTuple):
    """Result of one check of the samples of a split."""

    what: str
    """What was looked for, such as "train: duplicate questions"."""
    found: int
    """Number of samples that are so."""
    checked: int
    """Number of samples examined."""
    how: str = ""
    """The method, if there are several."""
    fault: bool = True
    """Whether such samples are wrong, or only worth knowing."""


class Completion(NamedTuple):
    """An answer that obeys the rules, found by a search that a network guides."""

    answer: Tokens
    """(L,)."""
    guesses: int
    """Number of branching nodes of the search."""


def matches(answers: Tokens, labels: Tokens) -> NDArray[np.bool_]:
    """Return which answers have every labelled cell of a label right; True for a sample without labels.

    Args:
        answers: tokens, (..., L).
        labels: tokens of the right answer, (..., L), or of several, (..., A, L), of which any counts; 0 for no label.
    """
    if labels.ndim == answers.ndim:
        return np.asarray(((answers == labels) | (labels == 0)).all(-1))
    given = labels.any(-1)  # (..., A)
    return np.asarray((matches(answers[..., None, :], labels) & given).any(-1) | ~given.any(-1))


def hash_bytes(strings: Iterable[bytes]) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each string, (N,); the strings are not kept in memory."""
    digests = (hashlib.blake2b(string, digest_size=8).digest() for string in strings)
    return np.fromiter((int.from_bytes(digest, sys.byteorder) for digest in digests), dtype=np.uint64)


def hex_hash(content: bytes) -> str:
    """Return a 64-bit hash as 16 hexadecimal digits, for a checkpoint."""
    return f"{hash_bytes([content])[0]:016x}"


def name_cell(cell: int, size: int) -> str:
    """Return the row and column of a cell, counted from 1, in a grid of ``size`` columns."""
    return f"row {cell // size + 1}, column {cell % size + 1}"


def to_batch(samples: Samples) -> Batch:
    """Return samples as tensors, with ``IGNORE`` as the label of cells without an answer."""
    labels = torch.from_numpy(samples.labels.astype(np.int32))
    return Batch(
        inputs=torch.from_numpy(samples.inputs.astype(np.int32)),
        labels=labels.masked_fill_(labels == 0, IGNORE),
        puzzle_ids=torch.from_numpy(samples.puzzle_ids.astype(np.int32)),
    )


def from_batch(batch: Batch) -> Samples:
    """Return a batch, (B, ...), as samples: the inverse of ``to_batch``."""
    known = batch.labels.masked_fill(batch.labels == IGNORE, 0)
    inputs, labels = (part.to(torch.uint8).cpu().numpy() for part in (batch.inputs, known))
    return Samples(inputs, labels, batch.puzzle_ids.cpu().numpy())
