"""``PuzzleData``, the base class of the puzzle families: what a family defines, its splits and its training stream.

Shapes: N samples, L grid cells, V vocabulary.
"""

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from trm.arguments import RecordsArguments, class_path, parameters_of
from trm.batch import Batch
from trm.data.boards import Board, one_a_line
from trm.data.corruption import Corruption, contradict, corrupt, replacements
from trm.data.drawing import highlight, side_by_side
from trm.data.loaders import PuzzleLoaders
from trm.data.samples import Completion, Samples, Tokens, Verdict, Views, check_samples, hash_bytes, hex_hash, to_batch
from trm.data.sampling import DrawGenerator, permutation
from trm.data.turns import BLOCK, Turns, split_share
from trm.errors import InputError, check_range

SPLITS_OF_STAGE = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "predict": ("test",),
}

MOST_PER_CELL = 8
"""Characters of a text for each cell of the largest board, beyond which its size is not looked for: a board has two to
four, with its rulers and separators, and to look through a long text that is no board would take minutes."""


class PuzzleData(RecordsArguments, PuzzleLoaders):
    """Base of the puzzle families.

    Training samples are chosen and augmented when a batch is made. Draw number d determines the index of a sample (by
    a new permutation for each pass over the split) and its augmentation, both as a pure function of ``(seed, d)``.
    Supervision step s offers draws s * slots to (s + 1) * slots - 1. A run therefore resumes at any step, and the
    number of workers or devices does not change the data. An epoch is one pass: the fewest batches that offer every
    training sample once.

    A subclass sets ``vocab_size``, ``seq_len`` and ``num_puzzles``, and implements ``load``, ``parse``, ``write`` and
    ``verify``. It may override ``augment`` (training augmentation), ``views`` (symmetries at test time),
    ``render_board`` (text for people), ``valid`` (a faster check) and ``complete`` (an exact solver).

    Args:
        slots: puzzles in training at once, over all devices: the global batch size of a supervision step.
        steps_per_batch: supervision steps K, each with its own optimizer update, per Lightning batch.
        eval_batch_size: puzzles per batch in evaluation, over all devices; null for as many as slots.
        workers: processes that prepare batches, per device.
        seed: seed of subsets, order and augmentation.
    """

    prefix = "data"
    vocab_size: int
    seq_len: int
    num_puzzles: int
    num_symbols: int = 0
    """Number of interchangeable symbols, the last tokens of the vocabulary: a puzzle with its symbols renamed has the
    renamed answer. The network symmetric needs them."""
    grid: tuple[int, ...] = ()
    """Rows and columns of the grid and, if it consists of boxes, rows and columns of a box; empty for a square without
    boxes. The position encoding grid needs it."""
    corrupt: float = 0.0
    """Probability that the question of a training draw is made to contradict itself; such a draw has no label, which
    teaches the halting head that its answer is wrong. It needs ``replacements`` of the kind "contradictory"."""
    first_id: int = 0
    """Puzzle id of a question that has none of its own."""
    replay: "PuzzleData | None" = None
    """Puzzles of another source, of which training replays some; see ``replayed``."""
    turns: Turns
    """Which draws are replayed."""
    sizes: ClassVar[Sequence[int]] = ()
    """Values of the argument ``size``, the rows of a square board, in a family whose tokens mean the same in all sizes;
    empty for other families."""
    padded: ClassVar[bool] = False
    """Whether questions may contain token 0, padding, because they are smaller than the grid."""
    numbered_by: tuple[str, ...] = ()
    """Names of the arguments that determine the puzzle ids, besides the puzzles themselves."""
    read_off: ClassVar[tuple[str, ...]] = ()
    """Names of the arguments that are read off the source if they are null; those of a checkpoint are kept for it."""
    origins: Mapping[str, str] = {}
    """What arguments that are null were taken over from, by name, such as a checkpoint; for messages."""
    tunable: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    """Names of the arguments that change the training augmentation, with the values that ``trm tune`` tries."""
    folders: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Names of the arguments that may name a local folder, with their other values; a shared model omits the folder."""

    def __init__(
        self,
        slots: int = 768,
        steps_per_batch: int = 16,
        eval_batch_size: int | None = None,
        workers: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__(slots, steps_per_batch, eval_batch_size, workers)
        self.save_hyperparameters(self.init_args)
        check_range("data", 0, 2**64 - 1, seed=seed)
        self.seed = seed
        self._splits: dict[str, Samples] = {}
        self._first: dict[str, Samples] = {}
        self._resized: dict[int, PuzzleData] = {}

    # -- what a family defines --------------------------------------------------------------------------------------

    @abstractmethod
    def load(self, split: str) -> Samples:
        """Return a split ("train", "val" or "test").

        Raises:
            InputError: if the source is missing or malformed.
        """

    @property
    def known_sizes(self) -> Mapping[str, int]:
        """Sizes of splits that are known before they are loaded; by default none."""
        return {}

    def load_first(self, split: str, count: int) -> Samples:
        """Return at least the first ``count`` samples of a split; by default all."""
        return self.load(split)

    @property
    def token_names(self) -> tuple[str, ...]:
        """A name for what each token means, (V,): tokens of two families that have one name are the same.

        They share a token in a mixture, and ``--weights`` copies what was learned of them. By default a token means the
        same in all sizes of a family, and something else in another family; token 0 is padding in all.
        """
        family = [kind for kind in type(self).__mro__ if issubclass(kind, PuzzleData)][-2]
        return tuple(default_token_names(family.__name__, self.vocab_size))

    def augment(self, samples: Samples, generator: DrawGenerator) -> Samples:
        """Return an equivalent puzzle for each sample, chosen by ``generator``; by default the samples unchanged."""
        return samples

    def views(self, count: int, seed: int = 0) -> Views:
        """Return ``count`` symmetries of the puzzles, the identity first; by default there is only the identity.

        Raises:
            InputError: if the family has fewer symmetries.
        """
        if count > 1:
            raise InputError(f"views is {count}, but {type(self).__name__} has no symmetries; accepted is 1")
        return Views(np.arange(self.seq_len)[None], np.arange(self.vocab_size, dtype=np.uint8)[None])

    @abstractmethod
    def parse(self, text: str) -> Tokens:
        """Return the tokens of a question in text form, (L,).

        Raises:
            InputError: if the text is not a question of this family.
        """

    def split_text(self, lines: Iterable[str]) -> Iterator[Board]:
        """Yield the questions in lines of text, each as text for ``parse``; by default one per line."""
        return one_a_line(lines)

    def resized(self, cells: int) -> "PuzzleData":
        """Return the family of square boards of so many cells; itself if it has none of that size.

        It is for solving: arguments that a subclass adds are kept, but those of the class that sets ``sizes`` have
        their defaults, because a source and what is drawn from it are of one size.
        """
        size = math.isqrt(cells)
        if cells == self.seq_len or size**2 != cells or size not in self.sizes or "size" not in self.init_args:
            return self
        if size not in self._resized:
            family = next(kind for kind in type(self).__mro__ if "sizes" in vars(kind))
            added = {name: self.init_args[name] for name in self.init_args.keys() - parameters_of(family).keys()}
            self._resized[size] = type(self)(**added, **{"size": size})
        return self._resized[size]

    def fitting(self, text: str) -> "PuzzleData":
        """Return the family of the size of the boards in a text; itself if they are of its size, or of none.

        If several sizes have their shape, it is the smallest that reads them all; if none reads them, the largest, of
        which they are the fewest boards, and whose ``parse`` raises what is wrong with them.
        """
        if len(text) > MOST_PER_CELL * max(self.sizes, default=0) ** 2:
            return self
        shapes = (len(board.question) == self.seq_len for board in self.split_text(text.splitlines()))
        if next(shapes, False) and all(shapes):
            return self
        shaped = self
        for other in (self.resized(size**2) for size in self.sizes):
            boards = [] if other is self else other.questions_in(text)
            if boards and all(other.can_read(board) for board in boards):
                return other
            shaped = other if boards else shaped
        return shaped

    def questions_in(self, text: str) -> list[str]:
        """Return the questions in a text; none if one of them is not of the shape of a board."""
        boards = list(self.split_text(text.splitlines()))
        shaped = all(not board.fault and len(board.question) == self.seq_len for board in boards)
        return [board.question for board in boards] if shaped else []

    def can_read(self, question: str) -> bool:
        """Return whether a text is a question of this family."""
        try:
            self.parse(question)
        except InputError:
            return False
        return True

    @abstractmethod
    def write(self, tokens: Tokens) -> str:
        """Return tokens (L,) as one line of text, in the notation of ``parse``."""

    def render_board(self, answer: Tokens, question: Tokens | None = None, color: bool = False) -> str:
        """Return tokens (L,) as text for people; with ``color``, cells that the answer adds may be highlighted.

        By default a square board with a character per cell is drawn as rows, with the question on the left. Of any
        other, the text is the line of ``write``, after that of the question if there is one.
        """
        lines = [self.write(tokens) for tokens in (question, answer) if tokens is not None]
        side = math.isqrt(self.seq_len)
        if side**2 != self.seq_len or any(len(line) != self.seq_len for line in lines):
            return "\n".join(lines)
        boards = [list(line) for line in lines]
        if color and question is not None:
            boards[-1] = highlight(boards[-1], question != answer)
        return "\n".join(side_by_side(boards, side))

    def misread(self, question: Tokens) -> str:
        """Return why tokens (L,) cannot be a question, as for digits taken for tokens; by default if one is padding."""
        padding = np.flatnonzero(question == 0)
        return f"token 0, which is padding, in cell {padding[0]}, counted from 0" if len(padding) else ""

    def givens(self, question: Tokens) -> NDArray[np.bool_]:
        """Return which cells of a question (L,) an answer must leave unchanged, (L,); by default none."""
        return np.zeros(len(question), dtype=np.bool_)

    @abstractmethod
    def verify(self, question: Tokens, answer: Tokens) -> Verdict:
        """Check an answer by the rules alone, without its label."""

    def valid(self, questions: Tokens, answers: Tokens) -> NDArray[np.bool_] | None:
        """Return which answers ``verify`` accepts, 2 x (N, L) to (N,); None if the family has no rules to check.

        Raises:
            InputError: if ``verify`` returns anything but a verdict.
        """
        verdicts = [self.verify(question, answer) for question, answer in zip(questions, answers, strict=True)]
        if others := {type(verdict).__name__ for verdict in verdicts if not isinstance(verdict, Verdict)}:
            raise InputError(f"{type(self).__name__}.verify returns {min(others)}; expected is trm.data.Verdict")
        return np.array([verdict.valid for verdict in verdicts], dtype=np.bool_)

    def valid_labels(self, samples: Samples) -> NDArray[np.bool_] | None:
        """Return which samples have only valid answers, (N,); None if the family has no rules to check."""
        answers = samples.answers  # (N, A, L)
        count, several, cells = answers.shape
        if several == 1:
            return self.valid(samples.inputs, samples.first)
        valid = self.valid(np.repeat(samples.inputs, several, axis=0), answers.reshape(-1, cells))
        return None if valid is None else np.asarray((valid.reshape(count, several) | ~answers.any(-1)).all(1))

    def complete(self, question: Tokens, logs: NDArray[np.floating]) -> Completion | None:
        """Search for an answer that obeys the rules, guided by the probabilities of a network.

        Args:
            question: tokens of a question that ``parse`` accepts, (L,).
            logs: log probability of each token in each cell, (L, V).

        Returns:
            The answer; None if there is none or the family has no exact solver, which is the default.
        """
        return None

    def scorer(self, split: str) -> Metric | None:
        """Return a metric specific to the family for the evaluation of a split; by default None.

        Its ``update`` takes the tokens of the answers, (B, L), the halting logits, (B,), and the ``Batch``. Its
        ``compute`` returns a dictionary of values to log.
        """
        return None

    def published(self, split: str) -> Samples:
        """Return the samples of a split that ``trm data check`` examines: all, without augmentation."""
        return self.samples(split)

    def symmetry_keys(self, samples: Samples) -> NDArray[np.uint64]:
        """Return a hash of each puzzle, (N,), equal for symmetric puzzles; by default a hash of the question.

        With it, ``trm data check`` finds all leaks between splits; without, it compares random augmentations.
        """
        return hash_bytes(map(bytes, samples.inputs))

    def faults(self, samples: Samples) -> dict[str, int]:
        """Return the number of samples with each fault that a single sample can have."""
        valid = self.valid_labels(samples.take(samples.labelled))  # the others have no answer
        return {} if valid is None else {"answers that break the rules": int((~valid).sum())}

    def replacements(self, kind: Corruption, samples: Samples) -> NDArray[np.bool_]:
        """Return which tokens may replace which cells in one kind of corruption, (N, L, V).

        By default this follows from the tokens of questions and answers alone; see ``trm.data.corruption``.
        """
        return replacements(kind, samples.inputs, samples.first, self.vocab_size)

    # -- what a checkpoint contains -----------------------------------------------------------------------------------

    @property
    def family(self) -> dict[str, Any]:
        """What a checkpoint stores to build this family again: its class and arguments."""
        return {"class_path": class_path(type(self)), "init_args": dict(self.init_args)}

    def take_over(self, names: Iterable[str], origin: str) -> None:
        """Record that arguments were null and have been taken over from a file, such as a checkpoint."""
        self.origins = {**self.origins, **dict.fromkeys(names, origin)}
        if self.replay is not None:
            self.replay.take_over(names, origin)

    def origin(self, name: str) -> str:
        """Return the name of an argument, and what it was taken over from, for a message."""
        return f"data.{name} of {self.origins[name]}" if name in self.origins else f"data.{name}"

    @property
    def table_hash(self) -> str:
        """Hash of the assignment of puzzle ids to puzzles; "" if puzzles have no ids of their own."""
        return ""

    @cached_property
    def training_puzzles(self) -> int:
        """Number of different training puzzles, before augmentation."""
        return len(self._training_keys)

    @property
    def training_hash(self) -> str:
        """Hash of the set of training puzzles."""
        return self.table_hash or hex_hash(self._training_keys.astype("<u8").tobytes())

    def kept_samples(self) -> dict[str, Tensor]:
        """Return samples that a checkpoint contains, for ``recall``; by default none, as most sources stay at hand."""
        return {}

    def recall(self, kept: Mapping[str, Tensor], arguments: Mapping[str, Any]) -> None:
        """Use the samples of ``kept_samples`` in a checkpoint if the source is gone.

        Args:
            kept: the samples.
            arguments: those of the family that the checkpoint was trained on.

        Raises:
            InputError: if they are malformed.
        """

    def missing(self, split: str) -> str:
        """Return why a split cannot be loaded here, though another one can: its source is gone; "" if it can be."""
        return ""

    # -- samples and draws --------------------------------------------------------------------------------------------

    def prepare(self, stage: str) -> None:
        """Load, and thereby check, the splits of a stage ("fit", "validate", "test" or "predict"; otherwise all).

        Raises:
            InputError: if a split is missing or malformed.
        """
        for split in SPLITS_OF_STAGE.get(stage, ("train", "val", "test")):
            self.samples(split)
            if self.replay is not None and split == "train":
                self.replay.samples(split)

    def samples(self, split: str) -> Samples:
        """Return a split; it is loaded at the first call.

        Raises:
            InputError: if it is malformed, or empty and not "val"; or if none of the training samples has a label.
        """
        if split not in self._splits:
            samples = self._checked(self.load(split), "load", split)
            if not len(samples.inputs) and split != "val":  # a run may go without validation
                raise InputError(f"the {split} split of {type(self).__name__} has no samples, but needs at least one")
            if split == "train" and not samples.labels.any():
                raise InputError(f"no sample of the train split of {type(self).__name__} has a label to learn from")
            self._splits[split] = samples
        return self._splits[split]

    def draw(self, first: int, count: int) -> Batch:
        """Return the augmented training samples of ``count`` draws from draw ``first`` on, (count, ...)."""
        if self.replay is None:
            return self._draw(first, count)
        return self.turns.draw([self._draw, self.replay.draw], first, count)

    def _draw(self, first: int, count: int) -> Batch:
        """Return draws of this source, which have numbers of their own."""
        samples = self.samples("train")
        size = len(samples.inputs)
        numbers = np.arange(first, first + count)
        index = np.empty(count, dtype=np.int64)
        for epoch in range(first // size, (first + count - 1) // size + 1):
            here = numbers // size == epoch
            index[here] = permutation(self.seed, epoch, size)[numbers[here] % size]
        generator = DrawGenerator(self.seed, first, count)
        drawn = self.augment(samples.take(index), generator)
        if self.corrupt:
            drawn = corrupt(drawn, self.replacements("contradictory", drawn), self.corrupt, generator)
        return to_batch(drawn)

    def replayed(self, text: str | None) -> "PuzzleData | None":
        """Return the family of another source, whose training puzzles get a share of the draws; None for null.

        A family that has an argument ``source`` sets ``self.replay`` to the result; see ``trm.data.turns``.

        Args:
            text: the source and its share, such as "boards.csv:0.3"; the other arguments are those of this family.

        Raises:
            InputError: if the text is not of this form, the share is not between 0 and 1, or the source is this one.
        """
        if text is None:
            return None
        source, share = split_share(text)
        if source == self.init_args.get("source"):
            raise InputError(f"data.replay is {text!r}, but data.source is {source!r} too; name the puzzles of before")
        self.turns = Turns([1 - share, share], self.seed)
        found = type(self)(**{**self.family["init_args"], "source": source, "replay": None})
        found.take_over([name for name in self.read_off if self.init_args[name] is None], str(self.init_args["source"]))
        return found

    def contradictions(self, samples: Samples, first: int) -> tuple[Tokens, NDArray[np.bool_]]:
        """Return questions made to contradict themselves, as ``corrupt`` does in training, and which of them could be.

        Args:
            samples: N samples of a split.
            first: index of the first one in its split; the changes depend on the index and the seed.

        Returns:
            Tokens, (N, L), and bool, (N,).
        """
        generator = DrawGenerator(self.seed, first, len(samples.inputs))
        allowed = self.replacements("contradictory", samples)
        return contradict(samples.inputs, allowed, generator.uniforms(1 + self.seq_len), generator)

    def pass_size(self) -> int:
        """Return the number of draws in one pass over the training split; those that replay others count too."""
        size = len(self.samples("train").inputs)
        return size if self.replay is None else math.ceil(size * BLOCK / self.turns.counts[0])

    def eval_size(self, split: str) -> int:
        """Return the number of samples of a split in evaluation."""
        if split not in self._splits and split in self.known_sizes:
            return self.known_sizes[split]
        return len(self.samples(split).inputs)

    def eval_samples(self, split: str, first: int, count: int) -> Samples:
        """Return up to ``count`` samples of a split from index ``first`` on; a family may create them on demand."""
        last = first + count
        if split in self._splits or last >= self.known_sizes.get(split, 0):
            return self.samples(split).take(slice(first, last))
        have = len(self._first[split].inputs) if split in self._first else 0
        if have < last:  # at least doubled, for callers that take one batch after the other
            count = min(max(last, 2 * have), self.known_sizes[split])
            self._first[split] = self._checked(self.load_first(split, count), "load_first", split)
        return self._first[split].take(slice(first, last))

    def __getattr__(self, name: str) -> Any:
        """Refuse a family that lacks one of its sizes; called for attributes that do not exist.

        Raises:
            InputError: if the attribute is one that every family sets.
            AttributeError: otherwise.
        """
        if name in ("vocab_size", "seq_len", "num_puzzles"):
            raise InputError(
                f"{type(self).__name__} sets no {name}; every family sets vocab_size, seq_len, num_puzzles"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # -- private ------------------------------------------------------------------------------------------------------

    def _checked(self, samples: Any, method: str, split: str) -> Samples:
        where = f"{type(self).__name__}.{method}({split!r}) returns"
        return check_samples(samples, self.seq_len, self.vocab_size, self.num_puzzles, where)

    @cached_property
    def _training_keys(self) -> NDArray[np.uint64]:
        """Hashes of the different training puzzles, sorted; those that are replayed count too."""
        sources = [self] if self.replay is None else [self, self.replay]
        return np.unique(np.concatenate([hash_bytes(map(bytes, s.samples("train").inputs)) for s in sources]))


def default_token_names(family: str, count: int) -> list[str]:
    """Return names of the tokens of a family that does not name them itself, (V,); the first is padding."""
    return ["padding", *(f"{family} {token}" for token in range(1, count))]
