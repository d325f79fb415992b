"""Solving ARC tasks with a ``Solver``: test inputs under many symmetries, and answers elected by vote."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from trm.data.arc.consistency import consistent
from trm.data.arc.query import TaskQuery
from trm.data.arc.tasks import Task
from trm.data.arc.votes import Elected
from trm.data.samples import to_batch
from trm.solver import Solver

TASK_VIEWS = 64
"""Symmetries of a task under which it is solved, unless another number is given."""


class TaskSolution(NamedTuple):
    """The solution of a task: two attempts at each of its test inputs."""

    task: Task
    query: TaskQuery
    """Its samples, and the votes on their answers."""
    elected: list[list[Elected]]
    """Up to two answers to each test input, the most frequent first."""
    steps: int
    """Supervision steps spent, over all samples."""

    @property
    def complete(self) -> bool:
        """Whether every attempt is a grid."""
        return all(best and all(answer.grid.size for answer in best) for best in self.elected)

    def as_dict(self) -> dict[str, Any]:
        """Return the attempts in Kaggle's format, with votes, confidence, consistency and scores, as plain values."""
        submission, unanswered = self.query.votes.submission()
        return {
            "attempts": submission[self.task.name],
            "votes": [[answer.votes for answer in best] for best in self.elected],
            "confidence": [[round(answer.confidence, 4) for answer in best] for best in self.elected],
            "consistent": [
                [consistent(self.task, pair.input, answer.grid).valid for answer in best]
                for pair, best in zip(self.task.test, self.elected, strict=True)
            ],
            "known": self.query.known,
            "unanswered": unanswered,
            "scores": {name: round(float(share), 4) for name, share in self.query.votes.compute().items()},
        }


def solve_queries(solver: Solver, asked: Sequence[tuple[Task, TaskQuery]]) -> list[TaskSolution]:
    """Return the solutions of tasks, whose samples are solved together; the views of the solver are not used.

    Args:
        solver: the solver, with a model of ARC.
        asked: the tasks, each with the result of ``query_task``.
    """
    inputs, ids = (
        np.concatenate([getattr(query.samples, part) for _, query in asked]) for part in ("inputs", "puzzle_ids")
    )
    rollouts = solver.roll_out(inputs, ids)
    solutions, first = [], 0
    for task, query in asked:
        own = np.flatnonzero((rollouts.puzzles >= first) & (rollouts.puzzles < first + len(query.ids)))
        samples = rollouts.puzzles[own] - first
        batch = to_batch(query.samples.take(samples))._replace(puzzle_ids=torch.from_numpy(query.ids[samples]))
        query.votes.update(torch.from_numpy(rollouts.answers[own]), torch.from_numpy(rollouts.halt[own]), batch)
        solutions.append(TaskSolution(task, query, query.votes.elected(), int(rollouts.steps[own].sum())))
        first += len(query.ids)
    return solutions
