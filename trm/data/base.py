"""What all puzzle families share: rows, draws, loaders. A family is a subclass of ``PuzzleData``.

Letters in shape comments: N rows, L grid cells, B slots, K supervision steps per Lightning batch.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler
from torchmetrics import Metric

from trm.batch import Batch
from trm.classes import RecordsArguments, class_path
from trm.data.corruption import Kind, changes
from trm.data.samples import Completion, Samples, Tokens, Verdict, Views, hash_bytes, to_batch
from trm.data.sampling import DrawGenerator, EvalBatches, TrainBatches, TrainLoader, TrainSampler, permutation
from trm.errors import InputError, check_range

SPLITS_OF_STAGE = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "predict": ("test",),
}


class PuzzleData(RecordsArguments, LightningDataModule, ABC):
    """Base of the puzzle families.

    Training never repeats a stored batch: draw number d names a row (by a fresh permutation for every pass over the
    split) and how it is augmented, both as a pure function of ``(seed, d)``. Supervision step s offers the draws
    s * slots .. (s + 1) * slots, so a run resumes at any step, and neither the number of workers nor that of devices
    changes the data. An epoch is one pass: as many batches as offer each training sample once, rounded up.

    A subclass sets the three sizes and implements ``load``, ``parse``, ``write`` and ``verify``. ``augment`` makes more
    of its puzzles, ``views`` asks them from several sides, ``draw_board`` shows answers nicer, ``valid`` checks faster,
    ``complete`` repairs them.

    Args:
        slots: puzzles in training at once, over all devices: the global batch size of a supervision step.
        steps_per_batch: supervision steps K, each with its own optimizer update, per Lightning batch.
        eval_batch_size: puzzles per batch in evaluation, over all devices; 0 for as many as slots.
        workers: processes that prepare batches, per device.
        seed: seed of subsets, order and augmentation.
    """

    vocab_size: int
    seq_len: int
    num_puzzles: int
    padded: ClassVar[bool] = False
    """Whether questions may hold token 0, padding, since they are smaller than the grid."""
    numbered_by: tuple[str, ...] = ()
    """Arguments that decide which puzzle has which puzzle id, beside the puzzles themselves."""
    folders: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Arguments that may name a folder of this machine, and what else they may be: a model goes to others without."""

    def __init__(
        self, slots: int = 768, steps_per_batch: int = 16, eval_batch_size: int = 0, workers: int = 2, seed: int = 0
    ) -> None:
        super().__init__()
        self.save_hyperparameters(self.init_args)
        check_range("data", 1, slots=slots, steps_per_batch=steps_per_batch)
        check_range("data", 0, eval_batch_size=eval_batch_size, workers=workers, seed=seed)
        self.slots = slots
        self.steps_per_batch = steps_per_batch
        self.eval_batch_size = eval_batch_size or slots
        self.workers = workers
        self.seed = seed
        self._splits: dict[str, Samples] = {}

    # -- what a family defines --------------------------------------------------------------------------------------

    @abstractmethod
    def load(self, split: str) -> Samples:
        """Return a split ("train", "val" or "test").

        Raises:
            InputError: if the source is missing or not what it should be.
        """

    def augment(self, rows: Samples, generator: "DrawGenerator") -> Samples:
        """Transform each row into an equivalent puzzle, as ``generator`` says; by default leave it."""
        return rows

    def views(self, count: int, seed: int = 0) -> Views:
        """Return symmetries under which to ask a puzzle, the first of which leaves it as it is; by default just that.

        Raises:
            InputError: if a family has not so many.
        """
        if count > 1:
            raise InputError(f"views is {count}, but {type(self).__name__} knows no symmetries of its puzzles")
        return Views(np.arange(self.seq_len)[None], np.arange(self.vocab_size, dtype=np.uint8)[None])

    @abstractmethod
    def parse(self, text: str) -> Tokens:
        """Read a question as people write it, to tokens (L,).

        Raises:
            InputError: if it is not a question of this family.
        """

    @abstractmethod
    def write(self, tokens: Tokens) -> str:
        """Write tokens (L,) on one line, the way ``parse`` reads them."""

    def draw_board(self, answer: Tokens, question: Tokens | None = None, color: bool = False) -> str:
        """Draw tokens (L,) for people; with ``color``, what the answer adds to the question may stand out.

        By default it is the line that ``write`` writes, question first.
        """
        return "\n".join(self.write(tokens) for tokens in (question, answer) if tokens is not None)

    def givens(self, question: Tokens) -> NDArray[np.bool_]:
        """Tell which cells of a question (L,) an answer must leave as they are, (L,); by default none."""
        return np.zeros(len(question), dtype=np.bool_)

    @abstractmethod
    def verify(self, question: Tokens, answer: Tokens) -> Verdict:
        """Check an answer by the rules alone, without knowing the label."""

    def valid(self, questions: Tokens, answers: Tokens) -> NDArray[np.bool_] | None:
        """Tell which answers ``verify`` accepts, 2 x (N, L) to (N,); None if a family has no rules to check."""
        pairs = zip(questions, answers, strict=True)
        return np.array([self.verify(question, answer).valid for question, answer in pairs], dtype=np.bool_)

    def complete(self, question: Tokens, logs: NDArray[np.floating]) -> Completion | None:
        """Search for an answer that obeys the rules, led by what a network holds likely.

        Args:
            question: tokens of a question that ``parse`` accepts, (L,).
            logs: log probability of each token in each cell, (L, V).

        Returns:
            The answer; None if there is none, or the family has no exact solver, as by default.
        """
        return None

    def published(self, split: str) -> Samples:
        """Return the rows of a split that ``trm data check`` looks at: all, without augmentation."""
        return self.rows(split)

    def symmetry_keys(self, rows: Samples) -> NDArray[np.uint64]:
        """Return a hash of each row's puzzle, (N,), equal for symmetric ones; by default of the question as it is."""
        return hash_bytes(map(bytes, rows.inputs))

    def faults(self, rows: Samples) -> dict[str, int]:
        """Count the rows with each fault that a row can have by itself."""
        valid = self.valid(rows.inputs, rows.labels) if len(rows.inputs) else None
        return {} if valid is None else {"answers that break the rules": int((~valid).sum())}

    def changes(self, kind: Kind, rows: Samples) -> NDArray[np.bool_]:
        """Return which tokens may replace which cells to corrupt questions in a way, (N, L, V).

        By default it follows from the tokens of questions and answers alone; see ``trm.data.corruption``.
        """
        return changes(kind, rows.inputs, rows.labels, self.vocab_size)

    def prepare(self, stage: str) -> None:
        """Read, and so check, what a stage needs ("fit", "validate", "test" or "predict"; else everything).

        Raises:
            InputError: if it is missing or wrong.
        """
        for split in SPLITS_OF_STAGE.get(stage, ("train", "val", "test")):
            self.rows(split)

    @cached_property
    def training_puzzles(self) -> int:
        """How many different puzzles training draws from, before augmentation."""
        return len(np.unique(hash_bytes(map(bytes, self.rows("train").inputs))))

    @property
    def table_hash(self) -> str:
        """Hash of which puzzle has which puzzle id; "" where puzzles have no rows of their own."""
        return ""

    def scorer(self, split: str) -> Metric | None:
        """Return a metric of the family's own for the evaluation of a split; by default there is none.

        Its ``update`` takes the tokens of the answers, (B, L), the halting logits, (B,), and the ``Batch``; its
        ``compute`` returns a dictionary of values to log.
        """
        return None

    @property
    def family(self) -> dict[str, Any]:
        """What a checkpoint stores to build this family again: its class and arguments."""
        return {"class_path": class_path(type(self)), "init_args": dict(self.init_args)}

    # -- Lightning ----------------------------------------------------------------------------------------------------

    def prepare_data(self) -> None:
        """Read what the coming stage needs, on one process of each node, before anything is written for the run."""
        if self._stage() == "fit":
            self.check_devices(self._rank()[1])
        self.prepare(self._stage())

    def check_devices(self, count: int) -> None:
        """Refuse a number of devices that cannot share the slots evenly.

        Raises:
            InputError: naming slots that they can share.
        """
        if self.slots % count:
            less, more = self.slots // count * count, -(-self.slots // count) * count
            near = f"{less} or {more}" if less else f"{more}"
            raise InputError(
                f"data.slots is {self.slots}, the total over all devices, which {count} devices cannot share evenly; "
                f"accepted are multiples of {count}, such as {near}"
            )

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the batches of an epoch, (K, B, ...), from where ``trainer.global_step`` stands.

        Raises:
            InputError: if the devices cannot share the slots evenly.
        """
        rank, world = self._rank()
        self.check_devices(world)
        length = -(-self.pass_size() // (self.slots * self.steps_per_batch))
        batches = TrainBatches(self.draw, self.slots, self.steps_per_batch, world, length)
        return self._loader(TrainLoader, batches, TrainSampler(batches, rank, self._batches_taken))

    def val_dataloader(self) -> DataLoader[Batch] | list[Any]:
        """Return the validation split in order, (B, ...); an empty list if it has no rows."""
        return self._eval_loader("val") if self.eval_size("val") else []

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return the test split in order, (B, ...)."""
        return self._eval_loader("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return the test split in order, (B, ...)."""
        return self._eval_loader("test")

    # -- rows and draws -----------------------------------------------------------------------------------------------

    def rows(self, split: str) -> Samples:
        """Return a split, loading it at first use.

        Raises:
            InputError: if it has no rows.
        """
        if split not in self._splits:
            rows = self.load(split)
            if not len(rows.inputs) and split != "val":  # a run may go without validation
                raise InputError(f"the {split} split of {type(self).__name__} has no rows")
            self._splits[split] = rows
        return self._splits[split]

    def draw(self, first: int, count: int) -> Batch:
        """Return the training rows of draws first .. first + count, augmented, (count, ...)."""
        rows = self.rows("train")
        size = len(rows.inputs)
        numbers = np.arange(first, first + count)
        index = np.empty(count, dtype=np.int64)
        for epoch in range(first // size, (first + count - 1) // size + 1):
            here = numbers // size == epoch
            index[here] = permutation(self.seed, epoch, size)[numbers[here] % size]
        return to_batch(self.augment(rows.take(index), DrawGenerator(self.seed, first, count)))

    def pass_size(self) -> int:
        """Return the number of draws in one pass over the training split."""
        return len(self.rows("train").inputs)

    def eval_size(self, split: str) -> int:
        """Return the number of rows of a split in evaluation."""
        return len(self.rows(split).inputs)

    def eval_rows(self, split: str, first: int, count: int) -> Samples:
        """Return up to ``count`` rows of a split from row ``first`` on; a family may make them only now."""
        return self.rows(split).take(slice(first, first + count))

    def __getstate__(self) -> dict[str, Any]:
        """Leave the trainer behind when a worker process receives this object."""
        return {**self.__dict__, "trainer": None}

    # -- private ------------------------------------------------------------------------------------------------------

    def _eval_loader(self, split: str) -> DataLoader[Batch]:
        rank, world = self._rank()
        size = -(-self.eval_batch_size // world)
        batches = EvalBatches(partial(self.eval_rows, split), self.eval_size(split), size, world)
        return self._loader(DataLoader, batches, DistributedSampler(batches, world, rank, shuffle=False))

    def _loader(
        self, kind: type[DataLoader[Batch]], batches: Dataset[Batch], sampler: DistributedSampler[int]
    ) -> DataLoader[Batch]:
        return kind(
            batches,
            batch_size=None,  # an item is a whole batch
            sampler=sampler,
            num_workers=self.workers,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.workers > 0,
        )

    def _stage(self) -> str:
        if self.trainer is None or self.trainer.state.fn is None:
            return ""
        return str(self.trainer.state.fn.value)

    def _batches_taken(self) -> int | None:
        return None if self.trainer is None else self.trainer.global_step // self.steps_per_batch

    def _rank(self) -> tuple[int, int]:
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
