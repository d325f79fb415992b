"""Samples of puzzles, their symmetries, and what the rules say of an answer."""

import hashlib
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from trm.batch import IGNORE, Batch

Tokens = NDArray[np.uint8]


class Samples(NamedTuple):
    """One split of a puzzle set; token 0 is padding, and a label of 0 means "no answer asked here"."""

    inputs: Tokens
    """Tokens of the questions, (N, L)."""
    labels: Tokens
    """Tokens of the answers, (N, L)."""
    puzzle_ids: NDArray[np.int32]
    """Puzzle ids, which index the puzzle embedding, (N,)."""

    def take(self, which: slice | NDArray[Any]) -> "Samples":
        """Return some of the rows."""
        return Samples(self.inputs[which], self.labels[which], self.puzzle_ids[which])


class Views(NamedTuple):
    """Symmetries of a family's puzzles: each moves the cells and renames the tokens, (K, L) and (K, V)."""

    cells: NDArray[np.intp]
    """Which cell each cell of the view is taken from, (K, L)."""
    tokens: Tokens
    """What each token becomes, (K, V)."""

    def apply(self, boards: Tokens, which: NDArray[np.integer]) -> Tokens:
        """Return how each board looks under one of the views, (N, L) and (N,) to (N, L)."""
        moved = np.take_along_axis(boards, self.cells[which], axis=1)
        return np.take_along_axis(self.tokens[which], moved.astype(np.intp), axis=1)

    def undo(self, boards: Tokens, which: NDArray[np.integer]) -> Tokens:
        """Return the boards of which these are the views, (N, L) and (N,) to (N, L)."""
        named = np.take_along_axis(np.argsort(self.tokens, axis=1)[which], boards.astype(np.intp), axis=1)
        back = np.empty_like(boards)
        np.put_along_axis(back, self.cells[which], named.astype(boards.dtype), axis=1)
        return back


class Verdict(NamedTuple):
    """What the rules of a family say of an answer."""

    valid: bool
    reason: str
    """Which rule is broken, or an empty string."""

    @property
    def in_words(self) -> str:
        """What to tell people."""
        return self.reason or "obeys the rules" if self.valid else f"breaks the rules: {self.reason}"


class Completion(NamedTuple):
    """An answer that obeys the rules, found by search with a network's help."""

    answer: Tokens
    """(L,)."""
    guesses: int
    """Branching nodes of the search; 0 where none was needed."""


def hash_bytes(strings: Iterable[bytes]) -> NDArray[np.uint64]:
    """Return 64 bits for each string, (N,); nothing but these is held in memory."""
    digests = (hashlib.blake2b(string, digest_size=8).digest() for string in strings)
    return np.fromiter((int.from_bytes(digest, sys.byteorder) for digest in digests), dtype=np.uint64)


def to_batch(rows: Samples) -> Batch:
    """Turn rows into tensors, with ``IGNORE`` where no answer is asked."""
    labels = torch.from_numpy(rows.labels.astype(np.int32))
    return Batch(
        inputs=torch.from_numpy(rows.inputs.astype(np.int32)),
        labels=labels.masked_fill_(labels == 0, IGNORE),
        puzzle_ids=torch.from_numpy(rows.puzzle_ids.astype(np.int32)),
    )
