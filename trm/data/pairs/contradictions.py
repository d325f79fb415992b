"""Whether pairs have the symmetries that are named: a search for a pair that one of them turns into a contradiction.

Shapes: N pairs, L cells, F symbols that may be renamed.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from trm.data.pairs.symmetries import CHUNK, OF_THE_SQUARE, SYMMETRIES, Group, Moves, Words
from trm.data.samples import Tokens

MOST_SWAPPED = 2**28
"""Cells of the images, under swaps of two rows or columns, that are compared; it bounds the time to some seconds."""


class Contradiction(NamedTuple):
    """Two pairs of which one is mapped to the question of the other, but to another answer."""

    pair: int
    """Index of the pair that is mapped."""
    other: int
    symmetry: str


def find_contradiction(group: Group, questions: Tokens, answers: Tokens) -> Contradiction | None:
    """Return a pair that a symmetry maps to the question of a pair with another answer, 2 x (N, L); None if none.

    Compared are all symmetries of the square in the group, swaps of two rows or columns (neighbours, and others as
    far as ``MOST_SWAPPED`` allows), each with all ways to rename symbols.
    """
    asked, pairs = _canonical_keys(group, questions, answers)
    order = np.argsort(asked, kind="stable")
    if (found := _exchangeable(group, questions, answers)) is not None:
        return Contradiction(found, found, "symbols")
    for name, moves in _generators(group, questions.size):
        everywhere = Moves(*(np.repeat(part, len(questions), axis=0) for part in moves))
        images = [
            np.take_along_axis(boards, group.sources(everywhere, boards), axis=1) for boards in (questions, answers)
        ]
        mapped, to = _canonical_keys(group, *images)
        place = np.searchsorted(asked[order], mapped).clip(max=len(order) - 1)
        other = order[place]
        wrong = (asked[other] == mapped) & (pairs[other] != to)
        if wrong.any():
            pair = int(wrong.argmax())
            return Contradiction(pair, int(other[pair]), name)
    return None


def _generators(group: Group, cells: int) -> Iterator[tuple[str, Moves]]:
    """Yield symmetries of the cells with the name of the one that they are of."""
    names = [name for name in SYMMETRIES if name in group.names]
    flips = "/".join(name for name in names if name in OF_THE_SQUARE)
    for number, moves in enumerate(group.images()):
        yield flips if number and flips else "symbols", moves
    identity = next(group.images())
    swaps = [
        (axis, name, pair)
        for axis, name, ordered in ((0, "rows", group.orders_rows), (1, "columns", group.orders_columns))
        for pair in itertools.combinations(range(group.size[axis]), 2)
        if ordered
    ]
    swaps.sort(key=lambda swap: swap[2][1] - swap[2][0])
    for axis, name, (one, two) in swaps[: max(sum(group.size), MOST_SWAPPED // max(cells, 1))]:
        ranks = (identity.rows, identity.columns)[axis].copy()
        ranks[0, [one, two]] = ranks[0, [two, one]]
        yield name, identity._replace(rows=ranks) if axis == 0 else identity._replace(columns=ranks)


def _exchangeable(group: Group, questions: Tokens, answers: Tokens) -> int | None:
    """Return a pair whose answer has a symbol that can be exchanged for another, as the question has neither."""
    if not group.renames:
        return None
    tokens = range(group.first, group.vocab_size)
    absent = np.stack([~(questions == token).any(axis=1) for token in tokens])  # (F, N)
    added = np.stack([(answers == token).any(axis=1) for token in tokens]) & absent
    wrong = (absent.sum(axis=0) > 1) & added.any(axis=0)
    return int(wrong.argmax()) if wrong.any() else None


def _canonical_keys(group: Group, questions: Tokens, answers: Tokens) -> tuple[Words, Words]:
    """Return hashes of questions, and of pairs, up to the names of symbols, 2 x (N,) (Zobrist 1970)."""
    cells = questions.shape[1]
    words = np.random.default_rng(0).integers(2**64, size=(2 * cells, group.vocab_size), dtype=np.uint64)
    asked, pairs = (np.empty(len(questions), dtype=np.uint64) for _ in range(2))
    rows = max(1, CHUNK // cells)
    for first in range(0, len(questions), rows):
        part = slice(first, first + rows)
        both = _renamed(group, np.concatenate([questions[part], answers[part]], axis=1))
        mixed = words[np.arange(2 * cells), both]
        asked[part] = mixed[:, :cells].sum(axis=1)
        pairs[part] = asked[part] + mixed[:, cells:].sum(axis=1)
    return asked, pairs


def _renamed(group: Group, boards: Tokens) -> Tokens:
    """Return boards with symbols renamed in the order in which they first occur."""
    if not group.renames:
        return boards
    length = boards.shape[1]
    places = np.empty((len(boards), group.vocab_size), dtype=np.int64)
    places[:, : group.first] = np.arange(-group.first, 0)
    for token in range(group.first, group.vocab_size):
        same = boards == token
        places[:, token] = np.where(same.any(axis=1), same.argmax(axis=1), length + token)
    ranks = np.argsort(np.argsort(places, axis=1), axis=1).astype(np.uint8)
    return np.take_along_axis(ranks, boards.astype(np.intp), axis=1)
