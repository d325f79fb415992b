"""The Pairs data module: a file of questions and answers, whatever they are, without code."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from lightning_utilities.core.rank_zero import rank_zero_info, rank_zero_warn
from numpy.typing import NDArray
from torch import Tensor

from trm.arguments import listed
from trm.data.base import PuzzleData
from trm.data.boards import Board
from trm.data.pairs.cells import LONGEST_SYMBOL, MOST_CELLS
from trm.data.pairs.cells import SHORTENED as SHORT
from trm.data.pairs.contradictions import find_contradiction
from trm.data.pairs.sources import MOST_SYMBOLS
from trm.data.pairs.symmetries import OF_THE_SQUARE, SYMMETRIES, Group
from trm.data.pairs.table import OUTSIDE, Layout, Source, refuse_symmetries, split_rows
from trm.data.pairs.text import draw_grid, read_question, split_questions, symbol_rows, write_board
from trm.data.samples import Samples, Tokens, Verdict, Views
from trm.data.sampling import DrawGenerator
from trm.data.splits import Counts, check_sizes
from trm.errors import InputError, counted

DIVIDED_BY = ("symmetries", "seed", "val_size", "test_size")
"""Arguments that determine which pairs of a source are held out."""
MOST_KEPT = 1000
"""Most pairs of each held-out split that a checkpoint contains."""


class Pairs(PuzzleData):
    """Pairs of a question and an answer, read from a file; no rules are known to check an answer by.

    Token 0 is unused, and token t is the symbol t - 1 of the alphabet. If grids have several sizes, all lie in the
    upper left corner of a canvas, and token 1, the symbol "", fills the rest of question and answer alike: the network
    predicts the size of an answer too.

    Args:
        source: a file of pairs: JSON lines, JSON, or a table with columns such as question and answer; or a folder with
            train.jsonl and test.jsonl, or with questions.npy and answers.npy; see ``docs/your-own-puzzle.md``.
        train_size: training pairs; null for all that are not held out.
        val_size: validation pairs, held out of the training file unless the folder has a file of them; null for a tenth
            of it, at most 1,000, or all of their own file.
        test_size: test pairs; as val_size.
        symmetries: symmetries of the pairs, for augmentation: dihedral (the 8 of the square), transpose,
            horizontal_flip, vertical_flip, rows and columns (any order of them), symbols (any renaming).
        answer_size: same if every answer has the size of its question, any to allow others.
        replay: another source and a share of the draws, such as old.jsonl:0.3: that share is of its training pairs, so
            that a network which was trained on them keeps them; they have the symbols and the size of this source.
        alphabet: symbols of the tokens from 1 on; null to read them off the source.
        symbols: those that the symmetry symbols renames; null for all that occur in answers.
        size: rows and columns of the canvas, in which a question or answer of one row and as many cells is arranged;
            null for those of the largest grid.
        slots: puzzles in training at once, over all devices: the global batch size of a supervision step.
        steps_per_batch: supervision steps, each with its own optimizer update, per Lightning batch.
        eval_batch_size: puzzles per batch in evaluation, over all devices; null for as many as slots.
        workers: processes that prepare batches, per device.
        seed: seed of splits, order and augmentation.

    Raises:
        InputError: if an argument is out of its range, or the source is needed and malformed.
    """

    num_puzzles = 0
    folders: ClassVar = {"source": (), "replay": ()}
    read_off = ("alphabet", "symbols", "size")

    def __init__(
        self,
        source: str = "",
        train_size: int | None = None,
        val_size: int | None = None,
        test_size: int | None = None,
        symmetries: tuple[str, ...] = (),
        answer_size: Literal["same", "any"] = "same",
        replay: str | None = None,
        alphabet: tuple[str | int, ...] | None = None,
        symbols: tuple[str | int, ...] | None = None,
        size: tuple[int, int] | None = None,
        slots: int = 768,
        steps_per_batch: int = 16,
        eval_batch_size: int | None = None,
        workers: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__(slots, steps_per_batch, eval_batch_size, workers, seed)
        self.source = source
        self.counts: Counts = {"train": train_size, "val": val_size, "test": test_size}
        check_sizes(self.counts, source)
        self.symmetries, self.answer_size = tuple(symmetries), answer_size
        size = None if size is None else (int(size[0]), int(size[1]))
        alphabet, symbols = (None if given is None else tuple(map(str, given)) for given in (alphabet, symbols))
        _check(alphabet, symbols, size, self.symmetries, answer_size)
        self._given_size, self._given_symbols = size, symbols
        self._kept: dict[str, Samples] = {}
        renames = "symbols" in self.symmetries
        if alphabet is None or size is None or (symbols is None and renames):
            self.layout = self._source.layout(alphabet, symbols, size, renames)
        else:
            free = tuple(symbol for symbol in alphabet if renames and symbol in (symbols or ()))
            fixed = tuple(symbol for symbol in alphabet if symbol not in free)
            self.layout = Layout((*fixed, *free), free, size)
        self.vocab_size = 1 + len(self.layout.alphabet)
        self.grid = self.layout.size
        self.seq_len = self.grid[0] * self.grid[1]
        self.num_symbols = len(self.layout.symbols)
        self.group = Group(self.symmetries, self.grid, self.vocab_size, self.num_symbols, self.layout.outside)
        self.replay = self.replayed(replay)

    @property
    def family(self) -> dict[str, Any]:
        """What a checkpoint stores to build this family again, with what has been read off the source."""
        found = super().family
        found["init_args"] |= self.layout._asdict()
        return found

    @property
    def token_names(self) -> tuple[str, ...]:
        """Names of the tokens: the symbols."""
        return ("padding", *(f"Pairs {symbol}" for symbol in self.layout.alphabet))

    # -- the source ---------------------------------------------------------------------------------------------------

    @cached_property
    def _source(self) -> Source:
        return Source(self.source, self._given_size, self.answer_size == "same")

    @cached_property
    def _all_splits(self) -> Mapping[str, Samples]:
        """The splits of the source, checked and described once."""
        pairs = self._source.pairs(self.layout, self.origin)
        refuse_symmetries(pairs, self.group)
        rows, repeated = split_rows(self._source, pairs, self.group, self.counts, self.seed)
        sizes = ", ".join(f"{len(rows[split]):,} {split}" for split in ("train", "val", "test") if split in rows)
        rank_zero_info(
            f"{self.source}: {counted(len(pairs.questions), 'pair')} of {self.layout.sizes} in "
            f"{counted(len(self.layout.known), 'symbol')} ({SHORT.repr(' '.join(self.layout.known))[1:-1]}), divided "
            f"into {sizes}" + (f"; {counted(repeated, 'repeated pair')} left out" if repeated else "")
        )
        return {
            split: Samples(pairs.questions[own], pairs.answers[own], np.zeros(len(own), dtype=np.int32))
            for split, own in rows.items()
        }

    def load(self, split: str) -> Samples:
        """Return a split of the source; if that is gone, what a checkpoint has kept of a held-out one."""
        if split in self._kept and self._gone:
            rank_zero_info(f"{self.source or 'The source'} is not there: the {split} pairs are those of the checkpoint")
            return self._kept[split]
        if split not in self._all_splits:
            raise InputError(
                f"data.source is {self.source}, which has no {split} pairs; a {split}.jsonl is needed there"
            )
        return self._all_splits[split]

    def kept_samples(self) -> dict[str, Tensor]:
        """Return the validation and test pairs, up to ``MOST_KEPT`` each, for a checkpoint: questions and answers."""
        found: dict[str, Tensor] = {}
        for split in ("val", "test"):
            samples = self.samples(split).take(slice(MOST_KEPT)) if self._has(split) else None
            if samples is not None and len(samples.inputs):
                found[split] = torch.from_numpy(np.stack([samples.inputs, samples.labels], axis=1))
        return found

    def recall(self, kept: Mapping[str, Tensor], arguments: Mapping[str, Any]) -> None:
        """Use the pairs that ``kept_samples`` has put into a checkpoint, (N, 2, L), if its source is gone.

        If the source is there, warn if it is divided in another way than in training.
        """
        if arguments.get("source") != self.source:
            return
        settings = [(name, arguments.get(name), self.init_args[name]) for name in DIVIDED_BY]
        changes = [f"data.{name} was {listed(old)}" for name, old, new in settings if listed(old) != listed(new)]
        if changes:
            rank_zero_warn(
                f"In training {', '.join(changes)}, so other pairs of {self.source} were held out: pairs that are held "
                "out now may have been trained on"
            )
        for split, pairs in kept.items():
            parts = pairs.numpy() if pairs.ndim == 3 else np.zeros((0, 3, 0), dtype=np.uint8)
            samples = (*parts.transpose(1, 0, 2), np.zeros(len(parts), dtype=np.int32))
            self._kept[split] = self._checked(samples, "kept_samples", split)

    def missing(self, split: str) -> str:
        """Return that a checkpoint has kept no such pairs, if it has kept others and the source is gone; else ""."""
        if not self._kept or split in self._kept or not self._gone:
            return ""
        return f"{self.source or 'the source'} is not there, and a checkpoint keeps pairs for evaluation alone"

    def _has(self, split: str) -> bool:
        return split in (self._kept if self._gone else self._all_splits)

    @property
    def _gone(self) -> bool:
        """Whether the source is not there."""
        return not Path(self.source).exists()

    # -- symmetries ---------------------------------------------------------------------------------------------------

    @cached_property
    def tunable(self) -> Mapping[str, tuple[Any, ...]]:  # type: ignore[override]  # it depends on the pairs
        """The symmetries that ``trm tune`` tries: none, each that the pairs do not contradict, and all of these."""
        singles = [(name,) for name in SYMMETRIES if self._have((name,))]
        together: tuple[str, ...] = ()
        for (name,) in singles:
            part = name in OF_THE_SQUARE and "dihedral" in together
            together += (name,) if not part and self._have((*together, name)) else ()
        return {"symmetries": tuple(dict.fromkeys([(), *singles, together]))}

    def _have(self, names: tuple[str, ...]) -> bool:
        """Return whether the pairs can have symmetries: these fit their size, and none is contradicted."""
        layout = self._source.layout(self.layout.alphabet, self._given_symbols, self.layout.size, "symbols" in names)
        try:
            _check(layout.alphabet, layout.symbols, layout.size, names, self.answer_size)
            group = Group(names, layout.size, self.vocab_size, len(layout.symbols), layout.outside)
        except InputError:  # a grid that is not square has no transpose, and answers of any size no order of rows
            return False
        pairs = self._source.pairs(layout, self.origin)
        return find_contradiction(group, pairs.questions, pairs.answers) is None

    def augment(self, samples: Samples, generator: DrawGenerator) -> Samples:
        """Return each pair under a random symmetry."""
        if not self.group:
            return samples
        moves, tokens = self.group.draw(generator, len(samples.inputs))
        inputs, labels = (self.group.apply(moves, tokens, boards) for boards in (samples.inputs, samples.labels))
        return samples._replace(inputs=inputs, labels=labels)

    def views(self, count: int, seed: int = 0) -> Views:
        """Return symmetries of the pairs, the identity first.

        Raises:
            InputError: if there are fewer, or smaller grids would not stay in their corner.
        """
        return self.group.views(count, DrawGenerator(seed, 0, count)) if self.group else super().views(count, seed)

    def symmetry_keys(self, samples: Samples) -> NDArray[np.uint64]:
        """Return a hash of each question, equal for symmetric questions."""
        return self.group.keys(samples.inputs)

    # -- text ---------------------------------------------------------------------------------------------------------

    def split_text(self, lines: Iterable[str]) -> Iterator[Board]:
        """Yield the questions in lines of text: of a file of pairs, or one per line."""
        return split_questions(lines)

    def parse(self, text: str) -> Tokens:
        """Return the tokens of a question: as in a file of pairs, text of a row or of several, or a list in JSON.

        Raises:
            InputError: if a symbol or the size is not one that the model was trained on.
        """
        return read_question(text, self.layout)

    def write(self, tokens: Tokens) -> str:
        """Return a board on one line: its characters if they alone can be read back, otherwise a list in JSON."""
        return write_board(tokens, self.layout)

    def render_board(self, answer: Tokens, question: Tokens | None = None, color: bool = False) -> str:
        """Return a grid as rows, with the question on the left; with ``color``, cells that differ are green."""
        if self.grid[0] == 1:
            return "\n".join(self.write(tokens) for tokens in (question, answer) if tokens is not None)
        return draw_grid(answer, question, self.layout, color)

    # -- verdicts -----------------------------------------------------------------------------------------------------

    def verify(self, question: Tokens, answer: Tokens) -> Verdict:
        """Check the form of an answer; no rules are known to check more."""
        if (answer == 0).any():
            return Verdict(False, f"cell {int((answer == 0).argmax()) + 1} has no symbol")
        rows = symbol_rows(answer, self.layout)
        widths = {len(row) for row in rows}
        if len(widths) > 1 or widths == {0} or any(OUTSIDE in row for row in rows):
            return Verdict(False, "its cells form no grid")
        if self.answer_size == "same" and ((question == 1) != (answer == 1)).any() and self.layout.outside:
            return Verdict(False, "it has another size than the question")
        return Verdict(True, "well formed; no rules are known to check it by")

    def valid(self, questions: Tokens, answers: Tokens) -> None:
        """Return None, since no rules are known."""


def _check(
    alphabet: Sequence[str] | None,
    symbols: Sequence[str] | None,
    size: tuple[int, int] | None,
    symmetries: Sequence[str],
    answer_size: str,
) -> None:
    """Check arguments of ``Pairs`` that do not depend on the source."""
    if answer_size not in ("same", "any"):
        raise InputError(f"data.answer_size is {answer_size!r}; accepted are same and any")
    if answer_size == "any" and (orders := [name for name in ("rows", "columns") if name in symmetries]):
        raise InputError(
            f"data.symmetries has {orders[0]}, which needs answers of the same size; data.answer_size is any"
        )
    if size is not None and not (min(size) >= 1 and size[0] * size[1] <= MOST_CELLS):
        raise InputError(f"data.size is {list(size)}; accepted are rows and columns of at most {MOST_CELLS:,} cells")
    for name, given in (("alphabet", alphabet), ("symbols", symbols)):
        if given is None:
            continue
        twice = next((symbol for symbol in given if list(given).count(symbol) > 1), None)
        if twice is not None or len(given) > MOST_SYMBOLS + 1 or (name == "alphabet" and not given):
            what = f"has {twice!r} twice" if twice is not None else f"has {counted(len(given), 'symbol')}"
            raise InputError(f"data.{name} {what}; accepted are 1 to {MOST_SYMBOLS} different symbols")
        if long := [symbol for symbol in given if len(symbol) > LONGEST_SYMBOL or not symbol.isprintable()]:
            raise InputError(f"data.{name} has {SHORT.repr(long[0])}; accepted are printable symbols")
    if alphabet is not None and (others := [symbol for symbol in symbols or () if symbol not in alphabet]):
        raise InputError(f"data.symbols has {others[0]!r}, which is not in data.alphabet")
    if alphabet is not None and OUTSIDE in alphabet[1:]:
        raise InputError("data.alphabet has '', the outside of a grid, in another place than the first")
