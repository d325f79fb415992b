"""The Sudoku data module: tokens, symmetries, text and rules of boards from 4x4 to 16x16."""

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from trm.data.base import PuzzleData
from trm.data.boards import Board, split_boards
from trm.data.cache import cache_folder
from trm.data.corruption import Corruption
from trm.data.drawing import highlight
from trm.data.samples import Completion, Samples, Tokens, Verdict, Views, name_cell
from trm.data.sampling import DrawGenerator
from trm.data.splits import MOST_SOLUTIONS, Counts, check_sizes, check_solutions, check_wanted, generated_sizes
from trm.data.sudoku.complete import first_solutions
from trm.data.sudoku.generator import SOLUTIONS_4X4, fingerprint
from trm.data.sudoku.solver import BOX_SHAPES, geometry, is_valid_grid, solve
from trm.data.sudoku.sources import generated, tabled
from trm.data.sudoku.text import SYMBOLS, broken_rule, draw_board, notation, read_board
from trm.errors import InputError, check_range


class Sudoku(PuzzleData):
    """Sudoku puzzles, by default with exactly one solution; token 1 is a blank cell, token d + 1 the digit d.

    Each draw is augmented by a random symmetry: digits, bands, stacks, rows, columns and, where boxes are square, the
    transpose.

    Args:
        size: cells in a row: 4, 6, 9 or 16.
        source: "generate"; or a folder with ``train.csv`` and ``test.csv``, or one file for all splits, see
            ``docs/inference.md``; or "hub" for sapientinc/sudoku-extreme.
        train_size: training puzzles; from a table a seeded subset, null for all.
        val_size: validation puzzles; from a table they are held out of its training file.
        test_size: test puzzles; from a table a seeded subset, null for all.
        clues: fewest and most clues of generated puzzles; null for minimal puzzles, in which no clue can be removed
            without a second solution.
        solutions: fewest and most solutions of generated puzzles; all solutions of a puzzle are its labels, and an
            answer is compared with the nearest. null for exactly one. Boards of 4x4 have 1 to 10, 12, 18, 24 or 36.
        min_rating: leave out the puzzles of a table with a lower rating.
        symmetries: augment the training puzzles.
        easier: probability that a draw of the training puzzles has a random part of its blanks filled in, from none to
            all of them (after arXiv 2601.10679).
        corrupt: probability that a draw of the training puzzles is made to contradict itself: one to four blanks are
            filled with a digit that their row, column or box already has. Its halting target is 0, so that the
            confidence in a question without a solution is low; the answer to it is not trained.
        replay: another source and a share of the draws, such as old.csv:0.3: that share is of its training puzzles, so
            that a network which was trained on them keeps them. The other arguments are those given here.
        root: folder for downloads and for generated puzzles, which are made once; by default the folder that the
            environment variable TRM_CACHE names, or else trm in the user's cache folder.
        slots: puzzles in training at once, over all devices: the global batch size of a supervision step.
        steps_per_batch: supervision steps, each with its own optimizer update, per Lightning batch.
        eval_batch_size: puzzles per batch in evaluation, over all devices; null for as many as slots.
        workers: processes that prepare batches, per device.
        seed: seed of generator, subsets, order and augmentation.

    Raises:
        InputError: if an argument is out of its range.
    """

    num_puzzles = 1
    sizes: ClassVar = tuple(BOX_SHAPES)
    folders: ClassVar = {"source": ("generate", "hub"), "replay": (), "root": ()}
    tunable: ClassVar = {"symmetries": (True, False), "easier": (0.0, 0.5)}

    def __init__(
        self,
        size: int = 9,
        source: str = "generate",
        train_size: int | None = 1000,
        val_size: int = 1000,
        test_size: int | None = 1000,
        clues: tuple[int, int] | None = None,
        solutions: tuple[int, int] | None = None,
        min_rating: float = 0,
        symmetries: bool = True,
        easier: float = 0.0,
        corrupt: float = 0.0,
        replay: str | None = None,
        root: str | None = None,
        slots: int = 768,
        steps_per_batch: int = 16,
        eval_batch_size: int | None = None,
        workers: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__(slots, steps_per_batch, eval_batch_size, workers, seed)
        try:
            self.geometry = geometry(size)
        except ValueError as error:
            raise InputError(f"data.size: {error}") from error
        self.size = size
        self.vocab_size = size + 2
        self.seq_len = size * size
        self.num_symbols = size
        self.grid = (size, size, self.geometry.box_rows, self.geometry.box_cols)
        self.source = source
        self.counts: Counts = {"train": train_size, "val": val_size, "test": test_size}
        check_solutions(solutions, source)
        if size == 4 and solutions and not any(solutions[0] <= count <= solutions[1] for count in SOLUTIONS_4X4):
            raise InputError(
                f"data.solutions is {list(solutions)}, but no 4x4 board has that many solutions; there are boards with "
                f"{', '.join(str(count) for count in SOLUTIONS_4X4 if count <= MOST_SOLUTIONS)}"
            )
        check_sizes(self.counts, source, solutions[1] if solutions else 1)
        self.clues = clues
        self.solutions = solutions if solutions and solutions[1] > 1 else None
        self.min_rating = min_rating
        check_range("data", 0, 1, easier=easier, corrupt=corrupt)
        self.symmetries = symmetries
        self.easier = easier
        self.corrupt = corrupt
        self.root = cache_folder(root)
        self.replay = self.replayed(replay)

    def load(self, split: str) -> Samples:
        """Return a split of the source."""
        return self.load_first(split, self.known_sizes.get(split, 0))

    def load_first(self, split: str, count: int) -> Samples:
        """Return at least the first ``count`` samples of a split; of a table, all."""
        check_wanted(self.counts, self.source, split)
        if self.source == "generate":
            boards = generated(
                split, count, self.size, self.known_sizes, self.clues, self.solutions, self.seed, self.root
            )
        else:
            boards = tabled(split, self.size, self.counts, self.source, self.min_rating, self.seed, self.root)
        questions, answers = boards
        questions, answers = questions + np.uint8(1), answers + (answers > 0).astype(np.uint8)
        return Samples(questions, answers, np.zeros(len(questions), dtype=np.int32))

    @property
    def known_sizes(self) -> Mapping[str, int]:
        """Sizes of generated splits."""
        return generated_sizes(self.counts, self.source)

    def augment(self, samples: Samples, generator: DrawGenerator) -> Samples:
        """Return each board under a random symmetry, some of them made easier."""
        if self.symmetries:
            views, each = self._symmetries(generator, len(samples.inputs)), np.arange(len(samples.inputs))
            samples = Samples(views.apply(samples.inputs, each), views.apply(samples.labels, each), samples.puzzle_ids)
        return self._made_easier(samples, generator) if self.easier else samples

    def _made_easier(self, samples: Samples, generator: DrawGenerator) -> Samples:
        """Fill in a random part of the blanks of a random share ``easier`` of the boards."""
        chances = generator.uniforms(2 + self.seq_len)  # (N, 2 + L): whether, how much, and in which cells
        filled = (chances[:, :1] < self.easier) & (chances[:, 2:] < chances[:, 1:2])  # (N, L)
        inputs = np.where(filled, samples.first, samples.inputs)
        if samples.labels.ndim == 2:
            return samples._replace(inputs=inputs)
        still = ((samples.labels == inputs[:, None]) | (inputs == 1)[:, None]).all(-1, keepdims=True)  # right answers
        return samples._replace(inputs=inputs, labels=samples.labels * still)

    def views(self, count: int, seed: int = 0) -> Views:
        """Return random symmetries of the board, the identity first."""
        views = self._symmetries(DrawGenerator(seed, 0, count), count)
        same = super().views(1)
        views.cells[0], views.tokens[0] = same.cells[0], same.tokens[0]
        return views

    def _symmetries(self, generator: DrawGenerator, count: int) -> Views:
        size, geo = self.size, self.geometry
        kept = np.broadcast_to(np.arange(2), (count, 2))
        tokens = np.concatenate([kept, generator.permutations(size) + 2], axis=1).astype(np.uint8)  # (count, V)
        row = _shuffled_lines(generator, size, geo.box_rows)[:, :, None]  # (count, size, 1)
        column = _shuffled_lines(generator, size, geo.box_cols)[:, None, :]  # (count, 1, size)
        source = row * size + column  # (count, size, size): the source of each cell
        if geo.box_rows == geo.box_cols:
            source = np.where(generator.coins()[:, None, None], source.transpose(0, 2, 1), source)
        return Views(source.reshape(count, -1), tokens)

    def split_text(self, lines: Iterable[str]) -> Iterator[Board]:
        """Yield the boards in lines of text; see ``trm.data.boards``."""
        return split_boards(lines, notation(self.size))

    def parse(self, text: str) -> Tokens:
        """Return the tokens of a solvable board: digits row by row; ".", "0", "_" or "*" for a blank.

        White space is ignored, and so are rulers, comments and titles between rows.

        Raises:
            InputError: if the text is not such a board.
        """
        return read_board(text, self.size) + np.uint8(1)

    def write(self, tokens: Tokens) -> str:
        """Return a board on one line, "." for a blank."""
        return "".join(("?." + SYMBOLS)[token] for token in tokens)

    def render_board(self, answer: Tokens, question: Tokens | None = None, color: bool = False) -> str:
        """Return a board with its boxes; with ``color``, digits that are not givens are green."""
        filled = np.zeros(self.seq_len, dtype=bool) if question is None else question == 1
        return draw_board(highlight(self.write(answer), filled & color), self.geometry)

    def givens(self, question: Tokens) -> NDArray[np.bool_]:
        """Return which cells contain a digit."""
        return np.asarray(question > 1)

    def verify(self, question: Tokens, answer: Tokens) -> Verdict:
        """Check that the answer keeps the givens, leaves no blank, and has each digit once in every unit."""
        if (answer < 2).any():
            return Verdict(False, f"{name_cell(int((answer < 2).argmax()), self.size)} is blank")
        changed = (question > 1) & (question != answer)
        if changed.any():
            return Verdict(False, f"{name_cell(int(changed.argmax()), self.size)} is not the given digit")
        broken = broken_rule(answer - np.uint8(1), self.geometry)
        return Verdict(not broken, broken)

    def valid(self, questions: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        """Return which answers are valid; all are checked at once."""
        kept = ((questions == 1) | (questions == answers)).all(axis=1)
        return np.asarray(kept & is_valid_grid(answers - np.uint8(1), self.size))

    def complete(self, question: Tokens, logs: NDArray[np.floating]) -> Completion | None:
        """Return a solution, found by a search that tries the most probable digits first.

        A valid answer of the network is found without backtracking. The time of a search is not bounded.
        """
        boards, guesses = first_solutions(question[None] - np.uint8(1), logs[None, :, 2:], self.geometry)
        return Completion(boards[0] + np.uint8(1), int(guesses[0])) if boards.all() else None

    def symmetry_keys(self, samples: Samples) -> NDArray[np.uint64]:
        """Return a hash of clues and solution, equal for symmetric puzzles; of the question if the answer is wrong."""
        questions, answers = samples.inputs - np.uint8(1), samples.labels - (samples.labels > 0).astype(np.uint8)
        keys = super().symmetry_keys(samples).copy()
        given = samples.answers - (samples.answers > 0).astype(np.uint8)  # (N, A, L)
        right = is_valid_grid(given.reshape(-1, self.seq_len), self.size).reshape(given.shape[:2])
        complete = np.asarray((right | ~given.any(-1)).all(1) & given[:, 0].any(-1))
        keys[complete] = fingerprint(questions[complete], answers[complete], self.size, grid_only=False)
        return keys

    def faults(self, samples: Samples) -> dict[str, int]:
        """Return the numbers of wrong answers, and of questions not proven to have the solutions that are given."""
        most = self.solutions[1] if self.solutions else 1
        counts = solve(samples.inputs - np.uint8(1), self.size, limit=most + 1).counts
        unsolvable, several, open_ = (int((counts == count).sum()) for count in (0, most + 1, -1))
        faults = super().faults(samples) | {
            "questions without a solution": unsolvable,
            f"questions with {f'more than {most}' if self.solutions else 'several'} solutions": several,
            "questions too hard to prove": open_,
        }
        if self.solutions:
            missing = (counts <= most) & (counts > samples.answers.any(-1).sum(1))
            faults["questions with solutions that are not given"] = int(missing.sum())
        return faults

    def replacements(self, kind: Corruption, samples: Samples) -> NDArray[np.bool_]:
        """Return the replacements; in a blank, a digit that is given in its row, column or box is contradictory."""
        if kind != "contradictory":
            return super().replacements(kind, samples)
        given = samples.inputs[..., None] == np.arange(self.vocab_size)  # (N, L, V)
        given[..., :2] = False
        in_unit = given[:, self.geometry.units].any(2)  # (N, units, V)
        near = in_unit[:, self.geometry.cell_units].any(2)  # (N, L, V)
        return np.asarray(near & (samples.inputs == 1)[..., None])


def _shuffled_lines(generator: DrawGenerator, size: int, box: int) -> NDArray[np.int64]:
    """Return a random order of ``size`` lines that keeps the lines of a band together, (count, size)."""
    bands = generator.permutations(size // box)  # (count, bands)
    within = np.stack([generator.permutations(box) for _ in range(size // box)], axis=1)  # (count, bands, box)
    return (bands[:, :, None] * box + within).reshape(len(bands), size)
