"""Corruption of questions, for measuring robustness and for training: five kinds, and random corruptions of each.

Shapes: N samples, M of them, L grid cells, V vocabulary.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trm.data.samples import Tokens

Bools = NDArray[np.bool_]

Corruption = Literal["wrong", "missing", "extra", "contradictory", "unused"]
CORRUPTIONS: tuple[Corruption, ...] = ("wrong", "missing", "extra", "contradictory", "unused")
"""Kinds of corruption of a cell: replace a given by another, blank a given, fill in the answer, break a rule directly,
or insert a token that no question contains."""


def given_tokens(questions: Tokens, labels: Tokens, vocab_size: int) -> Bools:
    """Return which tokens are givens, (V,): every answer keeps them wherever they occur, such as the digits of Sudoku.

    Answers must replace exactly one token, the blank. Otherwise they are not completed questions and no token is a
    given; in ARC, for example, answers may keep a colour by chance.

    Args:
        questions: tokens, (N, L).
        labels: tokens of the answers, 0 for cells without an answer, (N, L).
        vocab_size: V.
    """
    asked = labels != 0
    shown = np.bincount(questions[asked], minlength=vocab_size) > 0
    replaced = np.bincount(questions[asked & (questions != labels)], minlength=vocab_size) > 0
    return np.asarray(shown & ~replaced & (replaced.sum() == 1))


def replacements(kind: Corruption, questions: Tokens, labels: Tokens, vocab_size: int) -> Bools:
    """Return which tokens may replace which cells in this kind of corruption, (N, L, V).

    The rules of the family are not used, so nothing is "contradictory". Without givens nothing is "missing" or
    "extra", and any token that occurs in questions may be "wrong".

    Args:
        kind: one of ``CORRUPTIONS``.
        questions: tokens, (N, L); padding, 0, is left unchanged.
        labels: tokens of the answers, 0 for cells without an answer, (N, L).
        vocab_size: V.
    """
    tokens = np.arange(vocab_size)
    shown = np.bincount(questions.ravel(), minlength=vocab_size) > 0
    given = given_tokens(questions, labels, vocab_size)
    blank = shown & ~given & (tokens > 0)
    states = given if given.any() else blank  # tokens that define the puzzle
    cells, news = {
        "wrong": (states[questions], states),
        "missing": (given[questions], blank),
        "extra": (~given[questions] & (labels != 0) & given.any(), labels[..., None] == tokens),
        "contradictory": (np.zeros(questions.shape, dtype=np.bool_), shown),
        "unused": (questions > 0, ~shown),
    }[kind]
    return np.asarray(cells[..., None] & news & (tokens != questions[..., None]))


def contradict(questions: Tokens, allowed: Bools, chances: NDArray[np.float64], most: int = 4) -> Tokens:
    """Return questions with one to ``most`` of their cells replaced, as many as can be, (N, L).

    Args:
        questions: tokens, (N, L).
        allowed: which tokens may replace which cells, (N, L, V).
        chances: random numbers from 0 to 1 that choose the number of cells, the cells and the tokens, (N, 1 + 2 L).
        most: greatest number of cells.
    """
    cells = questions.shape[1]
    possible = allowed.any(-1)  # (N, L)
    ranks = (chances[:, 1 : 1 + cells] + ~possible).argsort(axis=1).argsort(axis=1)  # cells that can be replaced first
    replaced = (ranks <= chances[:, :1] * most) & possible
    choice = np.floor(chances[:, 1 + cells :] * allowed.sum(-1))[..., None] + 1  # of the allowed tokens, from 1
    tokens = (allowed.cumsum(-1) == choice).argmax(-1)
    return np.where(replaced, tokens, questions).astype(np.uint8)


class RandomCorruptions:
    """Random corruptions of questions; a corruption of a greater strength includes those of smaller strengths.

    Args:
        questions: tokens, (N, L).
        allowed: which tokens may replace which cells, (N, L, V).
        rng: random generator.
    """

    def __init__(self, questions: Tokens, allowed: Bools, rng: np.random.Generator) -> None:
        self.questions = questions
        keys = rng.random(allowed.shape, dtype=np.float32) + allowed  # an allowed token has a greater key
        self._tokens = keys.argmax(-1).astype(np.uint8)  # (N, L): the new token of each cell
        changeable = allowed.any(-1)  # (N, L)
        self._cells = np.argsort(rng.random(changeable.shape) + ~changeable, axis=1)  # (N, L), changeable ones first
        self.max_strength = changeable.sum(1)
        """Greatest strength for each question, its number of cells that can be corrupted, (N,)."""

    def apply(self, strength: int, which: NDArray[np.intp]) -> Tokens:
        """Return the questions ``which``, (M,), with ``strength`` cells corrupted, (M, L); see ``max_strength``."""
        changed, cells = self.questions[which], self._cells[which, :strength]
        np.put_along_axis(changed, cells, np.take_along_axis(self._tokens[which], cells, axis=1), axis=1)
        return changed
