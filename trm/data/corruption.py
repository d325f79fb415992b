"""Corruption of questions, for measuring robustness and for training: five kinds, and random corruptions of each.

Shapes: N samples, M of them, L grid cells, V vocabulary.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trm.data.samples import Samples, Tokens
from trm.data.sampling import DrawGenerator

Bools = NDArray[np.bool_]

Corruption = Literal["wrong", "missing", "extra", "contradictory", "unused"]
CORRUPTIONS: tuple[Corruption, ...] = ("wrong", "missing", "extra", "contradictory", "unused")
"""Kinds of corruption of a cell: replace a given by another, blank a given, fill in the answer, break a rule directly,
or insert a token that no question contains."""
MOST_CONTRADICTIONS = 4
"""Most cells of a training question that ``data.corrupt`` replaces."""


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


class RandomCorruptions:
    """Random corruptions of questions; a corruption of a greater strength includes those of smaller strengths.

    Args:
        questions: tokens, (N, L).
        allowed: which tokens may replace which cells, (N, L, V).
        tokens: random numbers from 0 to 1 that choose the new token of each cell, (N, L, V).
        cells: random numbers from 0 to 1 that choose the order of the cells, (N, L).
    """

    def __init__(
        self, questions: Tokens, allowed: Bools, tokens: NDArray[np.floating], cells: NDArray[np.floating]
    ) -> None:
        self.questions = questions
        self._tokens = (tokens + allowed).argmax(-1).astype(np.uint8)  # an allowed token has a greater number, (N, L)
        changeable = allowed.any(-1)  # (N, L)
        self._ranks = np.argsort(np.argsort(cells + ~changeable, axis=1), axis=1)  # (N, L), changeable cells first
        self.max_strength = changeable.sum(1)
        """Greatest strength for each question, its number of cells that can be corrupted, (N,)."""

    def apply(self, strength: int | NDArray[np.integer], which: NDArray[np.intp]) -> Tokens:
        """Return the questions ``which``, (M,), with ``strength`` cells corrupted, or as many as can be, (M, L).

        Args:
            strength: number of cells, for all or for each question, (M,).
            which: indices of the questions, (M,).
        """
        corrupted = self._ranks[which] < np.minimum(strength, self.max_strength[which])[:, None]
        return np.where(corrupted, self._tokens[which], self.questions[which])


def corrupt(samples: Samples, allowed: Bools, share: float, generator: DrawGenerator) -> Samples:
    """Make a random share of the questions contradict themselves, and take their labels away.

    Args:
        samples: N samples.
        allowed: which tokens make a question contradict itself in which cells, (N, L, V).
        share: probability of each question.
        generator: random numbers of the N samples.
    """
    chances = generator.uniforms(2 + samples.inputs.shape[1])  # (N, 2 + L): whether, how much, and in which cells
    inputs, changed = contradict(samples.inputs, allowed, chances[:, 1:], generator)
    chosen = (chances[:, 0] < share) & changed
    return samples._replace(
        inputs=np.where(chosen[:, None], inputs, samples.inputs),
        labels=samples.labels * ~chosen.reshape(-1, *[1] * (samples.labels.ndim - 1)),
    )


def contradict(
    questions: Tokens, allowed: Bools, chances: NDArray[np.floating], generator: DrawGenerator
) -> tuple[Tokens, Bools]:
    """Return questions with one to ``MOST_CONTRADICTIONS`` cells replaced, (N, L), and which have such a cell, (N,).

    Args:
        questions: tokens, (N, L).
        allowed: which tokens may replace which cells, (N, L, V).
        chances: random numbers from 0 to 1 that choose the number of cells and their order, (N, 1 + L).
        generator: random numbers that choose the new token of each cell.
    """
    tokens = generator.uniforms(allowed[0].size).reshape(allowed.shape)
    corruptions = RandomCorruptions(questions, allowed, tokens, chances[:, 1:])
    strength = 1 + (chances[:, 0] * MOST_CONTRADICTIONS).astype(np.int64)
    return corruptions.apply(strength, np.arange(len(strength))), corruptions.max_strength > 0
