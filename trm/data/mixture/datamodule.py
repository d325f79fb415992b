"""The Mixture data module: several families in one run, each with a share of the draws.

Shapes: N samples, L grid cells and V tokens of the mixture.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from trm.batch import Batch
from trm.data.base import PuzzleData
from trm.data.boards import Board
from trm.data.corruption import Corruption
from trm.data.mixture.member import Member, join, joint_vocabulary, members
from trm.data.mixture.metric import SolvedByFamily
from trm.data.samples import Completion, Samples, Tokens, Verdict, Views, hex_hash
from trm.data.turns import BLOCK, Turns
from trm.errors import InputError, counted

MOST_TOKENS = 256
"""Tokens are bytes."""


class Mixture(PuzzleData):
    """Several families of puzzles, which share the blocks of one network.

    The vocabulary is that of all families: families of one class share their tokens, others have tokens, and so rows of
    the embedding and of the answer head, of their own. Boards are padded to the largest; a smaller grid lies in the
    upper left corner. Each family has puzzle ids of its own, whose embedding is its family token; a network without
    puzzle tokens can tell families apart only by their tokens and sizes.

    Every thousand draws have exactly the shares, in a random order. Evaluation logs ``solved`` over all puzzles, and
    for each family ``solved_NAME``, such as ``solved_maze``. A family's name is that of its class in lower case;
    several of one class are numbered, as ``sudoku_1`` and ``sudoku_2``. Votes of ARC are not counted.

    Args:
        families: the families, each with ``class_path`` and ``init_args``; of their arguments slots, steps_per_batch,
            eval_batch_size and workers have no effect.
        shares: share of the draws of each family, in the same order; null for equal shares.
        only: name of one family; the others are then neither drawn nor evaluated, but keep their tokens and ids.
        slots: puzzles in training at once, over all devices: the global batch size of a supervision step.
        steps_per_batch: supervision steps, each with its own optimizer update, per Lightning batch.
        eval_batch_size: puzzles per batch in evaluation, over all devices; null for as many as slots.
        workers: processes that prepare batches, per device.
        seed: seed of the order in which the families take turns; each family has a seed of its own.

    Raises:
        InputError: if there are fewer than two families, two are the same, the shares do not fit them, or their tokens
            are too many.
    """

    padded: ClassVar[bool] = True

    def __init__(
        self,
        families: list[PuzzleData],
        shares: list[float] | None = None,
        only: str | None = None,
        slots: int = 768,
        steps_per_batch: int = 16,
        eval_batch_size: int | None = None,
        workers: int = 2,
        seed: int = 0,
    ) -> None:
        names = _checked_names(families)
        self.init_args = {**self.init_args, "families": [family.family for family in families]}  # plain values
        super().__init__(slots, steps_per_batch, eval_batch_size, workers, seed)
        self.families = families
        self.members, size = members(families, names)
        self.seq_len, self.vocab_size = self.members[0].seq_len, len(self.members[0].own)
        grids, vocabularies = {family.grid for family in families}, {family.token_names for family in families}
        same_symbols = len(vocabularies) == len({family.num_symbols for family in families}) == 1
        self.num_symbols = families[0].num_symbols if same_symbols else 0
        self.grid = size if len(grids) > 1 else grids.pop()
        self.corrupt = max(family.corrupt for family in families)
        self.shares = _checked_shares(shares, len(families))
        self.turns = Turns(self.shares, seed)
        if only is not None and only.lower() not in names:
            raise InputError(f"the mixture has no family {only!r}; its families are {', '.join(names)}")
        self.chosen = self.members if only is None else [self.members[names.index(only.lower())]]

    # -- checkpoints --------------------------------------------------------------------------------------------------

    def kept_samples(self) -> dict[str, Tensor]:
        """Return the samples that the families keep in a checkpoint, by family and name, such as "pairs/test"."""
        return {
            f"{member.name}/{name}": samples
            for member in self.chosen
            for name, samples in member.family.kept_samples().items()
        }

    def recall(self, kept: Mapping[str, Tensor], arguments: Mapping[str, Any]) -> None:
        """Let each family use the samples that it has kept if its source is gone."""
        for member, theirs in zip(self.members, arguments.get("families", ()), strict=False):
            prefix = f"{member.name}/"
            own = {name.removeprefix(prefix): kept[name] for name in kept if name.startswith(prefix)}
            member.family.recall(own, theirs["init_args"])

    def missing(self, split: str) -> str:
        """Return why a split of a family cannot be loaded here; "" if all can."""
        return next(filter(None, (member.family.missing(split) for member in self.chosen)), "")

    # -- sizes and ids ------------------------------------------------------------------------------------------------

    @property
    def token_names(self) -> tuple[str, ...]:
        """Names of the tokens of all families."""
        return tuple(joint_vocabulary(self.families))

    @cached_property
    def first_ids(self) -> list[int]:
        """First puzzle id of each family, and the number of all ids."""
        return [0, *np.cumsum([max(1, family.num_puzzles) for family in self.families]).tolist()]

    @property
    def num_puzzles(self) -> int:  # type: ignore[override]  # that of ARC reads its data
        """Number of puzzle ids of all families."""
        return self.first_ids[-1]

    @property
    def first_id(self) -> int:  # type: ignore[override]
        """Puzzle id of a question without one of its own."""
        return self.first_ids[self.chosen[0].number] + self.chosen[0].family.first_id

    @property
    def table_hash(self) -> str:
        """Hash of the families and of the puzzles that their ids denote."""
        facts = [(f.token_names, f.seq_len, f.num_puzzles, f.table_hash) for f in self.families]
        return hex_hash(repr(facts).encode())

    # -- samples and draws --------------------------------------------------------------------------------------------

    def load(self, split: str) -> Samples:
        """Return a split: those of the families, one after the other."""
        return join([self._encoded(member, member.family.samples(split)) for member in self.chosen])

    def prepare(self, stage: str) -> None:
        """Load the splits of a stage of all families."""
        for member in self.chosen:
            member.family.prepare(stage)

    def draw(self, first: int, count: int) -> Batch:
        """Return the augmented training samples of ``count`` draws from draw ``first`` on, (count, ...)."""
        if len(self.chosen) == 1:
            return self._drawn(self.chosen[0], first, count)
        streams = [partial(self._drawn, member) for member in self.chosen]
        return self.turns.draw(streams, first, count)

    def pass_size(self) -> int:
        """Return the fewest draws that offer every training sample of every family once."""
        if len(self.chosen) == 1:
            return self.chosen[0].family.pass_size()
        sizes = zip(self.families, self.shares, strict=True)
        return max(int(np.ceil(family.pass_size() / share)) for family, share in sizes)

    def eval_size(self, split: str) -> int:
        """Return the number of samples of a split in evaluation."""
        return sum(member.family.eval_size(split) for member in self.chosen)

    def eval_samples(self, split: str, first: int, count: int) -> Samples:
        """Return up to ``count`` samples of a split from index ``first`` on."""
        parts, last = [], first + count
        for member in self.chosen:
            size = member.family.eval_size(split)
            begin, end = max(first, 0), min(last, size)
            if begin < end:
                parts.append(self._encoded(member, member.family.eval_samples(split, begin, end - begin)))
            first, last = first - size, last - size
        if not parts:
            parts = [self._encoded(member, member.family.eval_samples(split, 0, 0)) for member in self.chosen]
        return join(parts)

    @cached_property
    def training_puzzles(self) -> int:
        """Number of different training puzzles of all families, before augmentation."""
        return sum(member.family.training_puzzles for member in self.chosen)

    @property
    def training_hash(self) -> str:
        """Hash of the sets of training puzzles."""
        hashes = [member.family.training_hash for member in self.chosen]
        return hex_hash(repr(hashes).encode())

    def scorer(self, split: str) -> Metric | None:
        """Return the metric of the solved share of each family; None for a single one."""
        if len(self.chosen) == 1:
            return None
        return SolvedByFamily([member.name for member in self.members], self.first_ids[1:])

    def _encoded(self, member: Member, samples: Samples) -> Samples:
        return member.samples(samples, self.first_ids[member.number])

    def _drawn(self, member: Member, first: int, count: int) -> Batch:
        return member.batch(member.family.draw(first, count), self.first_ids[member.number], self._answers)

    @cached_property
    def _answers(self) -> int:
        """Most right answers to a training puzzle; 0 if every family gives one."""
        shapes = [member.family.draw(0, 1).labels.shape for member in self.chosen]
        return max((shape[1] for shape in shapes if len(shape) == 3), default=0)

    # -- rules, by the family of each question ------------------------------------------------------------------------

    def _owners(self, questions: Tokens) -> NDArray[np.intp]:
        """Return the place among those chosen of the first family that each question can be of, (N, L) to (N,).

        Raises:
            InputError: if it can be of none.
        """
        owned = np.stack([member.owns(questions) for member in self.chosen])  # (families, N)
        if not owned.any(0).all():
            raise InputError(
                f"question {int(owned.any(0).argmin())}, counted from 0, is a puzzle of none of the families "
                f"{', '.join(member.name for member in self.chosen)}"
            )
        return np.asarray(owned.argmax(0))

    def _owner(self, question: Tokens) -> Member:
        """Return the first family that a question, (L,), can be of."""
        return self.chosen[int(self._owners(question[None])[0])]

    def verify(self, question: Tokens, answer: Tokens) -> Verdict:
        """Check an answer by the rules of the question's family; cells outside of its board do not count."""
        member = self._owner(question)
        return member.family.verify(member.decode(question), member.decode(answer))

    def valid(self, questions: Tokens, answers: Tokens) -> NDArray[np.bool_] | None:
        """Return which answers are valid, 2 x (N, L) to (N,); None if a family has no rules to check."""
        owners, found = self._owners(questions), np.zeros(len(questions), dtype=np.bool_)
        for place, member in enumerate(self.chosen):
            mine = owners == place
            verdicts = member.family.valid(member.decode(questions[mine]), member.decode(answers[mine]))
            if verdicts is None:
                return None
            found[mine] = verdicts
        return found

    def symmetry_keys(self, samples: Samples) -> NDArray[np.uint64]:
        """Return a hash of each puzzle, equal for symmetric puzzles of its family."""
        keys = np.zeros(len(samples.inputs), dtype=np.uint64)
        for member, mine, own in self._by_family(samples):
            keys[mine] = member.family.symmetry_keys(own)
        return keys

    def replacements(self, kind: Corruption, samples: Samples) -> NDArray[np.bool_]:
        """Return which tokens may replace which cells in one kind of corruption of its family, (N, L, V)."""
        allowed = np.zeros((len(samples.inputs), self.seq_len, self.vocab_size), dtype=np.bool_)
        for member, mine, own in self._by_family(samples):
            allowed[np.ix_(mine, member.cells, member.tokens)] = member.family.replacements(kind, own)
        return allowed

    def _by_family(self, samples: Samples) -> Iterator[tuple[Member, NDArray[np.intp], Samples]]:
        """Yield each family, the indices of its samples among those of the mixture, and the samples as its own."""
        owners = self._owners(samples.inputs)
        for place in np.unique(owners):
            member, mine = self.chosen[place], np.flatnonzero(owners == place)
            inputs, labels = (member.decode(boards[mine]) for boards in samples[:2])
            yield member, mine, Samples(inputs, labels, samples.puzzle_ids[mine])

    # -- one family ---------------------------------------------------------------------------------------------------

    @property
    def _one(self) -> Member:
        """The family that questions and text are of.

        Raises:
            InputError: if there are several.
        """
        if len(self.chosen) > 1:
            names = [member.name for member in self.members]
            raise InputError(
                f"the puzzles are a mixture of {', '.join(names)}: name the one to use, such as --family {names[0]}, "
                f"in a configuration data.only"
            )
        return self.chosen[0]

    def parse(self, text: str) -> Tokens:
        """Return the tokens of a question in the text form of the family, (L,)."""
        member = self._one
        return member.encode(member.family.parse(text))

    def split_text(self, lines: Iterable[str]) -> Iterator[Board]:
        """Yield the questions in lines of text."""
        return self._one.family.split_text(lines)

    def write(self, tokens: Tokens) -> str:
        """Return tokens (L,) as one line of text in the notation of the family."""
        member = self._one
        return member.family.write(member.decode(tokens))

    def render_board(self, answer: Tokens, question: Tokens | None = None, color: bool = False) -> str:
        """Return tokens (L,) as text for people."""
        member = self._one
        return member.family.render_board(
            member.decode(answer), None if question is None else member.decode(question), color
        )

    def givens(self, question: Tokens) -> NDArray[np.bool_]:
        """Return which cells of a question (L,) an answer must leave unchanged, (L,); not those of padding."""
        member, found = self._owner(question), np.zeros(len(question), dtype=np.bool_)
        found[member.cells] = member.family.givens(member.decode(question))
        return found

    def misread(self, question: Tokens) -> str:
        """Return why tokens (L,) cannot be a question of the family."""
        member = self._one
        if not member.owns(question[None])[0]:
            return f"tokens that are no board of {member.name}"
        return member.family.misread(member.decode(question))

    def views(self, count: int, seed: int = 0) -> Views:
        """Return symmetries of the family's puzzles, the identity first."""
        return self._one.views(count, seed)

    def complete(self, question: Tokens, logs: NDArray[np.floating]) -> Completion | None:
        """Return the answer of the family's exact solver, if it has one."""
        member = self._one
        found = member.family.complete(member.decode(question), logs[member.cells][:, member.tokens])
        return None if found is None else found._replace(answer=member.encode(found.answer))


def _checked_names(families: Sequence[PuzzleData]) -> list[str]:
    """Return a name for each family: that of its class in lower case, with a number if there are several.

    Raises:
        InputError: if the families cannot be mixed.
    """
    if not isinstance(families, Sequence) or len(families) < 2:
        kind = type(families).__name__
        given = f"has {counted(len(families), 'family')}" if isinstance(families, Sequence) else f"is a {kind}"
        raise InputError(f"data.families {given}; accepted is a list of two or more families")
    for place, family in enumerate(families):
        if isinstance(family, Mixture) or not isinstance(family, PuzzleData):
            raise InputError(
                f"data.families has a {type(family).__name__} as number {place + 1}; accepted are families such as "
                "Sudoku, and no mixture of them"
            )
        if any(other.family == family.family for other in families[:place]):
            raise InputError(
                f"data.families has {type(family).__name__.lower()} with the same arguments twice; accepted is each "
                "family once"
            )
    if (count := len(joint_vocabulary(families))) > MOST_TOKENS:
        raise InputError(f"data.families have {counted(count, 'token')} together; accepted are at most {MOST_TOKENS}")
    kinds = [type(family).__name__.lower() for family in families]
    return [
        kind if kinds.count(kind) == 1 else f"{kind}_{kinds[: place + 1].count(kind)}"
        for place, kind in enumerate(kinds)
    ]


def _checked_shares(shares: Sequence[float] | None, count: int) -> list[float]:
    """Return the share of each family.

    Raises:
        InputError: if there is not one for each, one is out of range, or their sum is not 1.
    """
    shares = [1 / count] * count if shares is None else list(shares)
    if len(shares) != count:
        raise InputError(
            f"data.shares has {counted(len(shares), 'value')}, but data.families has {counted(count, 'family')}"
        )
    for place, share in enumerate(shares):
        if not 1 / BLOCK <= share <= 1:
            raise InputError(f"data.shares has {share} for family number {place + 1}; accepted are {1 / BLOCK} to 1")
    if abs(sum(shares) - 1) > 1 / BLOCK:
        raise InputError(f"data.shares is {shares}, with the sum {sum(shares):g}; accepted are shares with the sum 1")
    return shares
