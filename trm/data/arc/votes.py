"""Scoring ARC by majority vote over the answers to all augmentations of a test input.

Shapes: B samples of a batch, J test inputs, N ballots, V distinct answers, L grid cells.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from trm.batch import Batch
from trm.data.arc.augment import Augmentations
from trm.data.arc.grids import FIRST_COLOUR, Grid, Grids, Hashes, Integers, crop
from trm.data.arc.submission import ATTEMPTS, Submission, to_attempts
from trm.data.arc.tasks import Puzzle, Solutions
from trm.data.splitmix import GAMMA
from trm.data.voting import add_up, rank

KS = (1, 2, 5, 10, 100, 1000)
CONFIDENCE = 2**50
"""Confidence 1 as an integer: a sum of integers does not depend on their order, nor on the ranks."""


class Elected(NamedTuple):
    """An answer to a test input, with its votes."""

    grid: Grid
    """In colours; 0x0 if the tokens contain no grid."""
    votes: int
    confidence: float
    """Mean over its votes."""


class Votes(Metric):
    """Collects the answers of an evaluation and ranks them for each test input by majority vote.

    Each answer is cropped from its tokens, its augmentation is undone, and it counts as one vote. Answers to the same
    test input are ranked by votes, then by mean confidence, the sigmoid of the halting logit, then by hash to make the
    order independent of the ranks. ``compute`` returns a dictionary:

    * ``pass@K``: mean over tasks of the share of their test inputs whose right answer is among the first K. An
      unanswered test input counts as wrong.
    * ``tasks_solved``: share of tasks with every test input right in two attempts.
    * ``unanimous``: share of tasks with equal answers to all augmentations of every test input; it needs no solutions.

    The votes are those of one evaluation. The official code accumulates them over all evaluations.

    Args:
        puzzles: all puzzles, in the order of their ids.
        solutions: the withheld outputs; without them only ``unanimous`` is computed.
        augmentations: the symmetries of the ids.
        counted: which of the J test inputs are evaluated, (J,) bool; all by default.
    """

    full_state_update = False
    ballots: list[Tensor]
    cells: list[Tensor]

    def __init__(
        self,
        puzzles: Sequence[Puzzle],
        solutions: Solutions,
        augmentations: Augmentations,
        counted: NDArray[np.bool_] | None = None,
    ) -> None:
        super().__init__()
        self.augmentations = augmentations
        self.names = [puzzle.name for puzzle in puzzles]
        self.tasks = np.repeat(np.arange(len(puzzles)), [len(puzzle.test_inputs) for puzzle in puzzles])  # (J,)
        self.counted = np.ones(len(self.tasks), dtype=np.bool_) if counted is None else counted
        asked = Grids.stack([question for puzzle in puzzles for question in puzzle.test_inputs])
        # There is one box for each distinct test input of a task; a ballot contains the index of its box.
        self.keys, self.boxes = np.unique(_keys(self.tasks, asked.hashes()), return_inverse=True)
        answers = [answer for puzzle in puzzles if puzzle.test_inputs for answer in solutions[puzzle.name]]
        known = [answer for answer in answers if answer is not None]
        self.answers = Grids.stack(known).hashes() if len(known) == len(self.tasks) else None  # (J,)
        # A ballot is (box, hash of the answer, votes, sum of confidences, height, width), int64; the cells of all
        # answers, colour + 2, are concatenated.
        self.add_state("ballots", [], dist_reduce_fx="cat")
        self.add_state("cells", [], dist_reduce_fx="cat")

    def update(self, tokens: Tensor, halt: Tensor, batch: Batch) -> None:
        """Count the answers to a batch; samples whose question is not a test input, such as padding, are ignored.

        Args:
            tokens: tokens of the answers, (B, L).
            halt: halting logits, (B,).
            batch: the questions.
        """
        ids = batch.puzzle_ids.cpu().numpy()
        questions = self.augmentations.undo(crop(batch.inputs.to(torch.uint8).cpu().numpy()), ids)
        keys = _keys(self.augmentations.tasks[ids], questions.hashes())
        boxes = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        known = self.keys[boxes] == keys
        answers = self.augmentations.undo(crop(tokens.to(torch.uint8).cpu().numpy()[known]), ids[known])
        confidence = (halt.cpu().double().sigmoid().numpy()[known] * CONFIDENCE).astype(np.int64)
        boxes, hashes = boxes[known], answers.hashes().view(np.int64)
        first, (votes, sums) = add_up(boxes, hashes, np.ones_like(confidence), confidence)
        answers = answers.take(first)
        ballots = np.column_stack([boxes[first], hashes[first], votes, sums, answers.heights, answers.widths])  # (N, 6)
        self.ballots.append(torch.from_numpy(ballots).to(self.device))
        self.cells.append(torch.from_numpy(answers.cells[answers.cells >= FIRST_COLOUR]).to(self.device))

    def compute(self) -> dict[str, Tensor]:
        """Return the shares described at the class."""
        tally = self._tally()
        places = np.full(len(self.tasks), np.iinfo(np.int64).max)  # of the right answer in the ranking, (J,)
        alike = np.zeros(len(self.tasks), dtype=np.bool_)
        for test, box in enumerate(self.boxes):
            ranked = tally.hashes[tally.starts[box] : tally.starts[box + 1]]
            alike[test] = len(ranked) == 1
            if self.answers is not None and self.answers[test] in ranked:
                places[test] = (ranked == self.answers[test]).argmax()
        shares = {"unanimous": self._of_tasks(alike) == 1}
        if self.answers is not None:
            shares |= {f"pass@{k}": self._of_tasks(places < k) for k in KS}
            shares["tasks_solved"] = shares["pass@2"] == 1
        return {name: torch.tensor(share.mean(), dtype=torch.float32) for name, share in shares.items()}

    def submission(self) -> tuple[Submission, int]:
        """Return two attempts per test input, gathered from all ranks, and the number of test inputs without an answer.

        All ranks must call it. See ``to_attempts`` for missing answers.
        """
        tasks, winners = self.tasks[self.counted], self.elected()
        submission: Submission = {self.names[task]: [] for task in tasks}
        for task, best in zip(tasks, winners, strict=True):
            submission[self.names[task]].append(to_attempts([answer.grid for answer in best]))
        return submission, sum(not best for best in winners)

    def elected(self) -> list[list[Elected]]:
        """Return up to two answers per evaluated test input, the best first, gathered from all ranks.

        All ranks must call it.
        """
        with self.sync_context(dist_sync_fn=self.dist_sync_fn):
            tally = self._tally()
        ranges = (tally.starts[box : box + 2] for box in self.boxes[self.counted])
        return [[tally.answer(index) for index in range(a, min(b, a + ATTEMPTS))] for a, b in ranges]

    def _of_tasks(self, right: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return for each evaluated task the share of its evaluated test inputs that are right, (tasks,)."""
        tasks = self.tasks[self.counted]
        counts = np.bincount(tasks)
        sums = np.bincount(tasks, weights=right[self.counted])
        return np.asarray(sums[counts > 0] / counts[counts > 0])

    def _tally(self) -> "_Tally":
        """Return the ranked answers of each box, with the ballots for the same answer added up."""
        if not len(self.ballots):  # a list of batches, or one tensor if it comes from several ranks
            self.ballots, self.cells = [torch.zeros(0, 6, dtype=torch.int64)], [torch.zeros(0, dtype=torch.uint8)]
        ballots, cells = (dim_zero_cat(state).cpu().numpy() for state in (self.ballots, self.cells))
        ends = (ballots[:, 4] * ballots[:, 5]).cumsum()
        boxes, hashes, votes, sums = ballots[:, :4].T
        ranking = rank(boxes, hashes, votes, votes, sums)
        return _Tally(
            np.searchsorted(ranking.puzzles, np.arange(len(self.keys) + 1)),
            ranking.hashes.view(np.uint64),
            ranking.votes,
            ranking.confidences / CONFIDENCE,
            ballots[ranking.first, 4:],
            ends[ranking.first],
            cells,
        )


class _Tally(NamedTuple):
    """The distinct answers of each box, the best first."""

    starts: Integers
    """Index of the first answer of each box, and V at the end, (boxes + 1,)."""
    hashes: Hashes
    """(V,)."""
    votes: Integers
    """(V,)."""
    confidences: NDArray[np.float64]
    """Mean over the votes, (V,)."""
    shapes: Integers
    """(V, 2)."""
    ends: Integers
    """End of each answer's cells in ``cells``, (V,)."""
    cells: NDArray[np.uint8]

    def answer(self, index: int) -> Elected:
        """Return an answer in colours."""
        height, width = self.shapes[index]
        end = self.ends[index]
        grid = (self.cells[end - height * width : end] - np.uint8(FIRST_COLOUR)).reshape(height, width)
        return Elected(grid, int(self.votes[index]), float(self.confidences[index]))


def _keys(tasks: Integers, hashes: Hashes) -> Hashes:
    """Return a 64-bit key for each test input, distinct over all tasks."""
    return hashes ^ (tasks.astype(np.uint64) * GAMMA)
