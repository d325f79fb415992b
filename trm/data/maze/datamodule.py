"""The Maze data module: tokens, symmetries, text and rules of square mazes."""

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from trm.data.base import PuzzleData
from trm.data.boards import Board, split_boards
from trm.data.cache import cache_folder
from trm.data.corruption import Corruption
from trm.data.drawing import highlight
from trm.data.maze.complete import most_probable_path
from trm.data.maze.generator import KINDS, default_min_moves, layout_keys
from trm.data.maze.paths import (
    DIRECTIONS,
    FREE,
    GOAL,
    LABEL_RULES,
    PATH,
    SIZES,
    START,
    SYMBOLS,
    WALL,
    all_shortest_paths,
    count_shortest_paths,
    find_errors,
    find_faults,
    symmetry_cells,
)
from trm.data.maze.sources import generated, tabled
from trm.data.maze.text import notation, read_maze
from trm.data.samples import Completion, Samples, Tokens, Verdict, Views, hash_bytes
from trm.data.sampling import DrawGenerator
from trm.data.splits import Counts, check_sizes, check_solutions, check_wanted, generated_sizes
from trm.errors import InputError, counted

SYMMETRIES = ("relabel", "official", "none")


class Maze(PuzzleData):
    """Mazes whose answer is a shortest path; tokens 1 to 5 are wall, free cell, start, goal and path: ``# SGo``.

    Most mazes have many shortest paths, and ``label_rule`` selects the answer; the rule of Maze-Hard tries down, left,
    right and up. ``verify`` accepts every shortest path. Mazes of the kind "unique" have only one.

    Args:
        size: rows and columns, 3 to 64.
        source: "generate"; or a folder with ``train.csv`` and ``test.csv``, or one file for all splits, see
            ``docs/inference.md``; or "hub" for sapientinc/maze-30x30-hard-1k.
        train_size: training mazes; from a table a seeded subset, null for all.
        val_size: validation mazes; from a table they are held out of its training file.
        test_size: test mazes; from a table a seeded subset, null for all.
        kind: generated mazes: "hard" as in Maze-Hard, with many shortest paths; or "unique" with exactly one.
        min_moves: fewest moves of generated mazes from start to goal; null makes "hard" mazes as rare as Maze-Hard's
            109 moves at 30x30, and is twice the size for "unique" mazes.
        solutions: fewest and most shortest paths of generated mazes; all of them are its labels, and an answer is
            compared with the nearest. null for any number, of which ``label_rule`` selects the one label.
        label_rule: which shortest path is the answer: the order in which directions are tried at every step from the
            start; null to take the answers of a table unchanged.
        symmetries: augmentation of training mazes by turns and reflections: "relabel" to find the answer anew by the
            label rule; "official" to turn the answer along, which then follows another rule; or "none".
        replay: another source and a share of the draws, such as old.csv:0.3: that share is of its training puzzles, so
            that a network which was trained on them keeps them. The other arguments are those given here.
        root: folder for downloads and for generated mazes, which are made once; by default the folder that the
            environment variable TRM_CACHE names, or else trm in the user's cache folder.
        slots: puzzles in training at once, over all devices: the global batch size of a supervision step.
        steps_per_batch: supervision steps, each with its own optimizer update, per Lightning batch.
        eval_batch_size: puzzles per batch in evaluation, over all devices; null for as many as slots.
        workers: processes that prepare batches, per device.
        seed: seed of generator, subsets, order and augmentation.

    Raises:
        InputError: if an argument is out of its range.
    """

    vocab_size = len(SYMBOLS) + 1
    num_puzzles = 1
    sizes: ClassVar = SIZES
    folders: ClassVar = {"source": ("generate", "hub"), "replay": (), "root": ()}
    tunable: ClassVar = {"symmetries": ("relabel", "none")}

    def __init__(
        self,
        size: int = 30,
        source: str = "generate",
        train_size: int | None = 1000,
        val_size: int = 100,
        test_size: int | None = 1000,
        kind: str = "hard",
        min_moves: int | None = None,
        solutions: tuple[int, int] | None = None,
        label_rule: str | None = "down-left-right-up",
        symmetries: str = "relabel",
        replay: str | None = None,
        root: str | None = None,
        slots: int = 768,
        steps_per_batch: int = 16,
        eval_batch_size: int | None = None,
        workers: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__(slots, steps_per_batch, eval_batch_size, workers, seed)
        self.size = size
        self.seq_len = size * size
        self.source = source
        self.counts: Counts = {"train": train_size, "val": val_size, "test": test_size}
        check_solutions(solutions, source)
        check_sizes(self.counts, source, solutions[1] if solutions else 1)
        self.kind = kind
        self.solutions = solutions
        self.label_rule = label_rule
        self.symmetries = symmetries
        self.root = cache_folder(root)
        self.replay = self.replayed(replay)
        self._check_arguments(min_moves)
        self.min_moves = default_min_moves(size, kind) if min_moves is None else min_moves

    def _check_arguments(self, min_moves: int | None) -> None:
        if self.size not in SIZES:
            raise InputError(f"data.size is {self.size}; accepted are {SIZES[0]} to {SIZES[-1]}")
        if min_moves is not None and not 1 <= min_moves < self.seq_len:
            raise InputError(f"data.min_moves is {min_moves}; accepted are 1 to {self.seq_len - 1}, and null")
        for name, value, accepted in (("kind", self.kind, KINDS), ("symmetries", self.symmetries, SYMMETRIES)):
            if value not in accepted:
                raise InputError(f"data.{name} is {value!r}; accepted are {', '.join(accepted)}")
        if self.solutions and self.solutions[1] > 1 and self.kind == "unique":
            raise InputError(
                f"data.solutions is {list(self.solutions)}, but data.kind is 'unique': such mazes have exactly one "
                "shortest path; accepted is [1, 1], and any with 'hard'"
            )
        if self.label_rule is None:
            if self.source == "generate" or self.symmetries == "relabel":
                raise InputError(
                    "data.label_rule is null, which requires a table as data.source and 'official' or 'none' as "
                    f"data.symmetries; they are {self.source!r} and {self.symmetries!r}"
                )
        elif self.label_rule not in LABEL_RULES:
            raise InputError(
                f"data.label_rule is {self.label_rule!r}; accepted are the orders of {', '.join(DIRECTIONS)}, "
                "such as down-left-right-up, and null"
            )

    def load(self, split: str) -> Samples:
        """Return a split of the source."""
        return self.load_first(split, self.known_sizes.get(split, 0))

    def load_first(self, split: str, count: int) -> Samples:
        """Return at least the first ``count`` samples of a split; of a table, all."""
        check_wanted(self.counts, self.source, split)
        if self.source == "generate":
            source = self.kind, self.min_moves, self.solutions, self.seed, self.root
            questions = generated(split, count, self.size, self.known_sizes, *source)
            return self._samples(questions, self._label(questions))
        return self._samples(*tabled(split, self.size, self.counts, self.source, self.label_rule, self.seed, self.root))

    @property
    def known_sizes(self) -> Mapping[str, int]:
        """Sizes of generated splits."""
        return generated_sizes(self.counts, self.source)

    def augment(self, samples: Samples, generator: DrawGenerator) -> Samples:
        """Return each maze under a random one of the 8 symmetries of the square."""
        if self.symmetries == "none":
            return samples
        number = sum(generator.coins().astype(np.intp) << bit for bit in range(3))
        source = symmetry_cells(self.size)[number]  # (count, L): the source of each cell
        questions = np.take_along_axis(samples.inputs, source, axis=1)
        if (
            self.symmetries == "official" or samples.labels.ndim == 3
        ):  # turned paths are all the paths of the turned maze
            cells = source[:, None] if samples.labels.ndim == 3 else source
            return Samples(questions, np.take_along_axis(samples.labels, cells, axis=-1), samples.puzzle_ids)
        return self._samples(questions, self._label(questions))

    def views(self, count: int, seed: int = 0) -> Views:
        """Return ``count`` of the 8 symmetries of the square, the identity first.

        Raises:
            InputError: if ``count`` is greater.
        """
        cells = symmetry_cells(self.size)
        if count > len(cells):
            raise InputError(f"views is {count}, but a maze has {counted(len(cells), 'symmetry')}")
        others = 1 + np.random.default_rng(seed).permutation(len(cells) - 1)[: count - 1]
        return Views(cells[[0, *others]], np.tile(super().views(1).tokens, (count, 1)))

    def split_text(self, lines: Iterable[str]) -> Iterator[Board]:
        """Yield the mazes in lines of text; see ``trm.data.boards``."""
        return split_boards(lines, notation(self.size))

    def parse(self, text: str) -> Tokens:
        """Return the tokens of a solvable maze, written on one line or on one line per row.

        The symbols are "#" for a wall, "." or a space for a free cell, "S" for the start and "G" or "E" for the goal;
        or "1" for a wall and "0" for a free cell. The path of an answer, "o", is read as free.

        Raises:
            InputError: if the text is not such a maze.
        """
        return read_maze(text, self.size)

    def write(self, tokens: Tokens) -> str:
        """Return a maze on one line, "." for a free cell, since a terminal may drop spaces.

        In a shell the line needs quotes, since an unquoted word that begins with "#" is a comment.
        """
        return "".join(("?" + SYMBOLS)[token] for token in tokens).replace(" ", ".")

    def render_board(self, answer: Tokens, question: Tokens | None = None, color: bool = False) -> str:
        """Return a maze, one line per row, "." for a free cell; with ``color``, the path is green."""
        cells = list(self.write(answer))
        if color:
            cells = highlight(cells, answer == PATH)
        return "\n".join("".join(cells[row : row + self.size]) for row in range(0, self.seq_len, self.size))

    def givens(self, question: Tokens) -> NDArray[np.bool_]:
        """Return which cells are not free."""
        return np.asarray(question != FREE)

    def verify(self, question: Tokens, answer: Tokens) -> Verdict:
        """Check that the answer marks a shortest path and changes nothing else; it need not follow the label rule."""
        reason = find_errors(self._grid(question), self._grid(answer))[0]
        return Verdict(not reason, reason)

    def valid(self, questions: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        """Return which answers are valid; all are checked at once."""
        return np.array(
            [not error for error in find_errors(self._grid(questions), self._grid(answers))], dtype=np.bool_
        )

    def complete(self, question: Tokens, logs: NDArray[np.floating]) -> Completion | None:
        """Return the most probable of all right answers; it takes no guesses."""
        gains = (logs[:, PATH] - logs[:, FREE]).reshape(self.size, self.size)
        answer = most_probable_path(question.reshape(self.size, self.size), gains)
        return None if answer is None else Completion(answer.ravel(), 0)

    def symmetry_keys(self, samples: Samples) -> NDArray[np.uint64]:
        """Return a hash of each maze's walls, equal for symmetric mazes."""
        return hash_bytes(layout_keys(self._grid(samples.inputs)))

    def faults(self, samples: Samples) -> dict[str, int]:
        """Return the numbers of unsolvable mazes, wrong answers, and answers that do not follow ``label_rule``."""
        solvable = np.array([not fault for fault in find_faults(self._grid(samples.inputs))], dtype=np.bool_)
        samples = samples.take(solvable)
        others = 0
        answered = samples.take(samples.labelled)
        if self.label_rule is not None and len(answered.inputs) and samples.labels.ndim == 2:
            ruled = self._label(answered.inputs).reshape(answered.labels.shape)
            others = int((ruled != answered.labels).any(axis=1).sum())
        faults = {
            "questions without a solution": int((~solvable).sum()),
            **super().faults(samples),
            "answers that do not follow the label rule": others,
        }
        if self.solutions:
            paths, given = count_shortest_paths(self._grid(samples.inputs)), samples.answers.any(-1).sum(1)
            faults["questions with solutions that are not given"] = int((paths != given).sum())
        return faults

    def replacements(self, kind: Corruption, samples: Samples) -> NDArray[np.bool_]:
        """Return the replacements; a maze shows walls and free cells alike, so it has no blank cells.

        A wall on the path is wrong, a removed wall is missing, a wall beside the path is an extra hint, and a second
        start or goal is contradictory.
        """
        if kind == "unused":
            return super().replacements(kind, samples)
        free, paths = samples.inputs == FREE, samples.answers == PATH  # (N, L), (N, A, L)
        on_every = (paths | ~samples.answers.any(-1, keepdims=True)).all(1) & samples.labelled[:, None]
        cells, news = {
            "wrong": (free & on_every, (WALL,)),
            "missing": (samples.inputs == WALL, (FREE,)),
            "extra": (free & ~paths.any(1), (WALL,)),
            "contradictory": (free, (START, GOAL)),
        }[kind]
        return np.asarray(cells[..., None] & np.isin(np.arange(self.vocab_size), news))

    def _grid(self, tokens: Tokens) -> Tokens:
        return tokens.reshape(-1, self.size, self.size)

    def _label(self, questions: Tokens) -> Tokens:
        rule, grids = str(self.label_rule), self._grid(questions)
        if self.solutions and self.solutions[1] > 1:
            order = np.array([list(DIRECTIONS).index(direction) for direction in rule.split("-")])
            return all_shortest_paths(grids, order, self.solutions[1])
        return LABEL_RULES[rule](grids)

    def _samples(self, questions: Tokens, answers: Tokens) -> Samples:
        count, cells = len(questions), self.seq_len
        labels = answers.reshape(count, *answers.shape[1:-2], cells)
        return Samples(questions.reshape(count, cells), labels, np.zeros(count, dtype=np.int32))
