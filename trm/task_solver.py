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
    abstain: float
    """Confidence below which the solver abstains."""

    @property
    def abstains(self) -> list[bool]:
        """Whether the first attempt at each test input is missing, or its confidence below ``abstain``."""
        return [not best or best[0].confidence < self.abstain for best in self.elected]

    @property
    def complete(self) -> bool:
        """Whether every attempt is a grid."""
        return all(best and all(answer.grid.size for answer in best) for best in self.elected)

    def as_dict(self) -> dict[str, Any]:
        """Return the attempts in Kaggle's format, with votes, confidence, abstentions, consistency and scores."""
        submission, unanswered = self.query.votes.submission()
        return {
            "attempts": submission[self.task.name],
            "votes": [[answer.votes for answer in best] for best in self.elected],
            "confidence": [[round(answer.confidence, 4) for answer in best] for best in self.elected],
            "abstains": self.abstains,
            "abstain_below": self.abstain,
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
        steps = int(rollouts.steps[own].sum())
        solutions.append(TaskSolution(task, query, query.votes.elected(), steps, solver.abstain))
        first += len(query.ids)
    return solutions
