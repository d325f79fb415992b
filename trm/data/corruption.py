"""Questions that are not like those of training: which changes of single cells make them so, and random ones of these.

Letters in shape comments: N rows, L grid cells, V vocabulary.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Tokens = NDArray[np.uint8]

Kind = Literal["wrong", "missing", "extra", "contradictory", "unused"]
KINDS: tuple[Kind, ...] = ("wrong", "missing", "extra", "contradictory", "unused")
"""What a change does to a question: replace a given by another, blank it, give away a cell of the answer, break a rule
at once, or show a token that is in the vocabulary but in no question."""


def given_tokens(questions: Tokens, labels: Tokens, vocab_size: int) -> Bools:
    """Tell which tokens are givens, which answers keep wherever questions show them: the digits of Sudoku, (V,).

    Where more than one token is not kept, the blank, answers are no completed questions, and nothing is a given: so in
    ARC, where a colour may be kept by chance.

    Args:
        questions: tokens, (N, L).
        labels: tokens of the answers, 0 where no answer is asked, (N, L).
        vocab_size: V.
    """
    asked = labels != 0
    shown = np.bincount(questions[asked], minlength=vocab_size) > 0
    replaced = np.bincount(questions[asked & (questions != labels)], minlength=vocab_size) > 0
    return np.asarray(shown & ~replaced & (replaced.sum() == 1))


def changes(kind: Kind, questions: Tokens, labels: Tokens, vocab_size: int) -> Bools:
    """Tell which tokens may be put into which cells to change questions in this way, (N, L, V).

    Nothing is known here of rules, so that no change is known to break one; and where there are no givens, nothing can
    be missing or given away, and every token that questions show may be wrong.

    Args:
        kind: one of ``KINDS``.
        questions: tokens, (N, L); 0 is padding, which is left alone.
        labels: tokens of the answers, 0 where no answer is asked, (N, L).
        vocab_size: V.
    """
    tokens = np.arange(vocab_size)
    shown = np.bincount(questions.ravel(), minlength=vocab_size) > 0
    given = given_tokens(questions, labels, vocab_size)
    blank = shown & ~given & (tokens > 0)
    states = given if given.any() else blank  # tokens that say something about the puzzle
    cells, news = {
        "wrong": (states[questions], states),
        "missing": (given[questions], blank),
        "extra": (~given[questions] & (labels != 0) & given.any(), labels[..., None] == tokens),
        "contradictory": (np.zeros(questions.shape, dtype=np.bool_), shown),
        "unused": (questions > 0, ~shown),
    }[kind]
    return np.asarray(cells[..., None] & news & (tokens != questions[..., None]))


class Changes:
    """Random changes of questions: those of strength k are k of the changes of any greater strength.

    Args:
        questions: tokens, (N, L).
        allowed: which tokens may be put into which cells, (N, L, V).
        rng: the source of randomness.
    """

    def __init__(self, questions: Tokens, allowed: Bools, rng: np.random.Generator) -> None:
        self.questions = questions
        keys = rng.random(allowed.shape, dtype=np.float32) + allowed  # an allowed token has a greater key
        self._tokens = keys.argmax(-1).astype(np.uint8)  # (N, L): the new token of each cell
        changeable = allowed.any(-1)  # (N, L)
        self._cells = np.argsort(rng.random(changeable.shape) + ~changeable, axis=1)  # (N, L), changeable ones first
        self.most = changeable.sum(1)
        """How many cells of each question can be changed, (N,)."""

    def apply(self, strength: int, which: NDArray[np.intp]) -> Tokens:
        """Return some of the questions, (M,), with ``strength`` cells changed, (M, L); they must have so many."""
        changed, cells = self.questions[which], self._cells[which, :strength]
        np.put_along_axis(changed, cells, np.take_along_axis(self._tokens[which], cells, axis=1), axis=1)
        return changed
