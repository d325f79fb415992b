"""All pairs of a source as tokens, what is read off them, and the splits.

Shapes: N pairs of all files, H x W canvas, L = H W cells, V vocabulary.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm.data.pairs.cells import MOST_CELLS, Shape, by_size
from trm.data.pairs.contradictions import find_contradiction
from trm.data.pairs.sources import Boards, PairFile, Symbols, find_files, read_pairs
from trm.data.pairs.symmetries import Group
from trm.data.samples import Tokens, hash_bytes
from trm.data.splitmix import mix
from trm.data.splits import Counts
from trm.errors import InputError, counted

OUTSIDE = ""
"""What stands in the alphabet for a cell outside of a grid that is smaller than the canvas."""
SHARE, MOST_HELD_OUT = 10, 1000
"""A split without a size is a tenth of the pairs that it is held out of, and at most this many."""


class Layout(NamedTuple):
    """What is read off a source: how its pairs become tokens."""

    alphabet: tuple[str, ...]
    """Symbols of the tokens from 1 on; ``OUTSIDE`` is the first if grids have several sizes."""
    symbols: tuple[str, ...]
    """Interchangeable symbols, the last ones of the alphabet."""
    size: Shape
    """Rows and columns of the canvas, the largest grid."""

    @property
    def outside(self) -> int:
        """Token of a cell outside of a grid; 0 if all grids fill the canvas."""
        return int(self.alphabet[:1] == (OUTSIDE,))

    @property
    def known(self) -> tuple[str, ...]:
        """Symbols of the cells of questions and answers."""
        return self.alphabet[self.outside :]

    @property
    def sizes(self) -> str:
        """Sizes of grids for people."""
        return f"{'at most ' * self.outside}{by_size(self.size)}"


class PairTokens(NamedTuple):
    """Pairs as tokens."""

    files: Sequence[PairFile]
    questions: Tokens
    """(N, L)."""
    answers: Tokens
    """(N, L)."""

    def where(self, row: int) -> str:
        """Return the file and line of a pair."""
        for file in self.files:
            if row < len(file.lines):
                return file.where(row)
            row -= len(file.lines)
        raise IndexError(row)


class Source:
    """The files of a source.

    Args:
        source: a file or a folder; see ``find_files``.
        size: rows and columns of the canvas; None for those of the largest grid.
        same_size: whether an answer must have the size of its question.

    Raises:
        InputError: if a file is missing or malformed.
    """

    def __init__(self, source: str, size: Shape | None, same_size: bool) -> None:
        self.name = source
        self.numbers = Symbols()
        self.files = {
            split: read_pairs(path, self.numbers, size, same_size) for split, path in find_files(source).items()
        }

    def layout(
        self, alphabet: Sequence[str] | None, symbols: Sequence[str] | None, size: Shape | None, renames: bool
    ) -> Layout:
        """Return the layout of the pairs, with those parts that are given.

        Args:
            alphabet: symbols of the tokens from 1 on.
            symbols: those that may be renamed; if null, all that occur in answers.
            size: the canvas.
            renames: whether the symmetry "symbols" is wanted.
        """
        boards = [part for file in self.files.values() for part in (file.questions, file.answers)]
        shapes = np.concatenate([part.shapes for part in boards])
        height, width = size or tuple(int(most) for most in shapes.max(axis=0))
        if height * width > MOST_CELLS:
            raise InputError(
                f"the grids of {self.name} have up to {counted(height, 'row')} and {counted(width, 'column')}, a "
                f"canvas of {counted(height * width, 'cell')}; accepted are at most {MOST_CELLS:,}"
            )
        several = bool((shapes != (height, width)).any())
        named = list(self.numbers)
        if symbols is None:
            used = np.unique(np.concatenate([file.answers.numbers for file in self.files.values()]))
            symbols = [named[number] for number in used] if renames else []
        kept = sorted(named, key=_order) if alphabet is None else [symbol for symbol in alphabet if symbol != OUTSIDE]
        fixed, free = ([symbol for symbol in kept if (symbol in symbols) == wanted] for wanted in (False, True))
        outside = [OUTSIDE] * (several if alphabet is None else OUTSIDE in alphabet)
        return Layout((*outside, *fixed, *free), tuple(free), (height, width))

    def pairs(self, layout: Layout, origin: Callable[[str], str]) -> PairTokens:
        """Return all pairs, those of each file in the order of ``self.files``.

        Args:
            layout: how they become tokens.
            origin: returns for a message where "size" and "alphabet" of the layout come from.

        Raises:
            InputError: if a symbol or a size is not of the layout, or a question has two answers.
        """
        tokens = {symbol: token for token, symbol in enumerate(layout.alphabet, 1)}
        codes = np.array([tokens.get(symbol, 0) for symbol in self.numbers], dtype=np.uint8)
        parts = [
            [_canvas(boards, codes, layout, origin, file, name, list(self.numbers)) for file in self.files.values()]
            for name, boards in (("question", "questions"), ("answer", "answers"))
        ]
        pairs = PairTokens([*self.files.values()], *(np.concatenate(part) for part in parts))
        _refuse_contradictions(pairs)
        return pairs


def _order(symbol: str) -> tuple[int, int, str]:
    """Return what to sort symbols by: numbers by value, before all others."""
    number = symbol.isascii() and symbol.isdecimal()
    return (0, int(symbol), symbol) if number else (1, 0, symbol)


def _canvas(
    boards: str,
    codes: NDArray[np.uint8],
    layout: Layout,
    origin: Callable[[str], str],
    file: PairFile,
    name: str,
    symbols: Sequence[str],
) -> Tokens:
    """Return the tokens of questions or answers of a file, (N, L)."""
    given: Boards = getattr(file, boards)
    numbers, shapes = given
    height, width = layout.size
    wrong = (shapes > layout.size).any(axis=1) | ((shapes != layout.size).any(axis=1) & (not layout.outside))
    if wrong.any():
        row = int(wrong.argmax())
        shape = by_size((int(shapes[row, 0]), int(shapes[row, 1])))
        raise InputError(f"{file.where(row)}: the {name} has {shape}; accepted are {layout.sizes} ({origin('size')})")
    tokens = codes[numbers]
    cells = shapes.prod(axis=1)
    if not tokens.all():
        cell = int((tokens == 0).argmax())
        row = int(np.searchsorted(np.cumsum(cells), cell, side="right"))
        raise InputError(
            f"{file.where(row)}: the {name} has {symbols[numbers[cell]]!r}; accepted are {' '.join(layout.known)} "
            f"({origin('alphabet')})"
        )
    if not layout.outside:
        return tokens.reshape(len(shapes), -1)
    rows, columns = np.indices((height, width))
    inside = (rows < shapes[:, 0, None, None]) & (columns < shapes[:, 1, None, None])  # (N, H, W)
    canvas = np.full(inside.shape, layout.outside, dtype=np.uint8)
    canvas[inside] = tokens
    return canvas.reshape(len(shapes), -1)


def _refuse_contradictions(pairs: PairTokens) -> None:
    """Refuse a question that occurs with two answers."""
    asked = hash_bytes(map(bytes, pairs.questions))
    order = np.argsort(asked, kind="stable")
    same = asked[order][1:] == asked[order][:-1]
    one, two = order[:-1][same], order[1:][same]
    wrong = (pairs.answers[one] != pairs.answers[two]).any(axis=1)
    if wrong.any():
        first, second = int(one[wrong][0]), int(two[wrong][0])
        raise InputError(
            f"{pairs.where(second)}: the question is that of {pairs.where(first)}, but with another answer; accepted "
            "is one answer to a question"
        )


def refuse_symmetries(pairs: PairTokens, group: Group) -> None:
    """Refuse symmetries that map a pair to the question of a pair with another answer.

    Raises:
        InputError: naming both pairs and the symmetry.
    """
    if not group or (found := find_contradiction(group, pairs.questions, pairs.answers)) is None:
        return
    target = "itself" if found.pair == found.other else f"that of {pairs.where(found.other)}"
    raise InputError(
        f"data.symmetries has {found.symmetry}, which maps the question of {pairs.where(found.pair)} to {target}, but "
        "its answer to another one: these pairs do not have this symmetry"
    )


def split_rows(
    source: Source, pairs: PairTokens, group: Group, counts: Counts, seed: int
) -> tuple[dict[str, NDArray[np.int64]], int]:
    """Return the rows of each split, and the number of repeated pairs, which are left out.

    What has no file of its own is held out of the training file: "test" first, then "val". Pairs with symmetric
    questions stay together. Which are held out depends on the questions and the seed alone, not on their order.

    Raises:
        InputError: if there are too few pairs.
    """
    ends = np.cumsum([len(file.lines) for file in source.files.values()])
    rows = {
        split: np.arange(end - len(file.lines), end)
        for (split, file), end in zip(source.files.items(), ends, strict=True)
    }
    keys = hash_bytes(map(bytes, pairs.questions))
    rows = {split: own[np.sort(np.unique(keys[own], return_index=True)[1])] for split, own in rows.items()}
    repeated = len(pairs.questions) - sum(map(len, rows.values()))
    found: dict[str, NDArray[np.int64]] = {}
    if "train" in rows:
        path, left = source.files["train"].path, rows.pop("train")
        held = [split for split in ("test", "val") if split not in rows]
        wanted = {split: _held_out_size(len(left), counts[split]) for split in held}
        _check_enough(path, len(left), {**wanted, "train": counts["train"] or 0})
        groups = group.keys(pairs.questions[left])
        order = np.argsort(mix(groups + _word(seed)), kind="stable")
        left, groups = left[order], groups[order]
        for split in held:
            chosen = _whole_groups(groups, wanted[split])
            found[split], left, groups = left[chosen], left[~chosen], groups[~chosen]
        found["train"] = left[: counts["train"]]
    for split, own in rows.items():
        _check_enough(source.files[split].path, len(own), {split: counts[split] or 0})
        order = np.argsort(mix(keys[own] + _word(seed)), kind="stable")
        found[split] = own[order][: counts[split]]
    return found, repeated


def _word(seed: int) -> NDArray[np.uint64]:
    """Return a scrambled word of a seed, (1,)."""
    return mix(np.array([seed], dtype=np.uint64))


def _held_out_size(total: int, count: int | None) -> int:
    return min(MOST_HELD_OUT, max(1, total // SHARE)) if count is None else count


def _check_enough(path: Path, total: int, wanted: Mapping[str, int]) -> None:
    needed = sum(max(1, count) if split == "train" else count for split, count in wanted.items())
    if total < needed:
        sizes = ", ".join(f"{count:,} for {split}" for split, count in wanted.items() if count)
        raise InputError(
            f"{path} has {counted(total, 'different pair')}, but the splits need at least {needed:,}"
            f"{f' ({sizes})' if sizes else ''}; data.train_size, val_size and test_size choose others"
        )


def _whole_groups(groups: NDArray[np.uint64], count: int) -> NDArray[np.bool_]:
    """Return which pairs are chosen, (N,): the first whole groups that fit into ``count``.

    Args:
        groups: the group of each pair, equal ones together, (N,).
        count: most pairs.
    """
    begins = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]]) if len(groups) else np.zeros(0, dtype=np.intp)
    sizes = np.diff(np.r_[begins, len(groups)])
    chosen = np.zeros(len(groups), dtype=np.bool_)
    for begin, size in zip(begins, sizes, strict=True):
        if size <= count:
            chosen[begin : begin + size] = True
            count -= size
        if not count:
            break
    return chosen
