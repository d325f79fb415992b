"""``Backend``, the seam between the service and what runs a network; and the backends of torch.

Shapes: N questions, L grid cells.
"""

import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from trm.checkpoints.load import load_checkpoint
from trm.data import ARC, PuzzleData
from trm.data.arc.query import TaskQuery, query_task, refuse_changed_tasks
from trm.data.arc.tasks import Task, to_task
from trm.data.samples import Tokens
from trm.errors import InputError, check_range, counted
from trm.inference import HaltingContext, think
from trm.solver import Solver
from trm.task_solver import TASK_VIEWS, solve_queries

Puzzle = str | Mapping[str, Any]
"""A puzzle of a request: text, or a task of ARC as decoded JSON."""


class Backend(Protocol):
    """Reads and solves questions of one family: all that the service needs to know of a model.

    The service calls it from several threads to read, and from one to solve, with one batch at a time.
    """

    kind: str
    """What runs the network: torch or onnx."""
    family: str
    """Name of the family, such as Sudoku."""
    cells: int
    """Number of cells L of a question."""
    parameters: int | None
    """Number of trained parameters; None if it is unknown."""

    def parse(self, puzzle: Puzzle) -> Any:
        """Return a puzzle as a question, in the form that the backend solves.

        Raises:
            InputError: if it is not a puzzle of the family.
        """

    def __call__(self, questions: Sequence[Any], traced: Sequence[bool]) -> list[dict[str, Any]]:
        """Return the solutions of N questions as plain values, as ``Solution.as_dict`` or ``TaskSolution.as_dict``.

        A question of ``traced`` (N,) gets a further entry ``trace``: the answer after each supervision step.
        """


def parse_board(data: PuzzleData, puzzle: Puzzle) -> Tokens:
    """Return the tokens of a puzzle that is given as text, (L,).

    Raises:
        InputError: if it is not a puzzle of the family.
    """
    if not isinstance(puzzle, str):
        raise InputError(
            f"the puzzle is an object, as a task of ARC, but a model of {type(data).__name__} takes text or a grid"
        )
    return data.parse(puzzle)


def torch_backend(
    name: str, checkpoint: str | Path, views: int | None = None, family: str = "", module: str = "", **options: Any
) -> Backend:
    """Return the backend of a checkpoint, on a GPU if there is one.

    Args:
        name: name of the model, for messages.
        checkpoint: a file, a hub folder, or the name of a model.
        views: symmetric forms of a puzzle to solve; None for ``TASK_VIEWS`` of a task of ARC, else as ``Solver``.
        family: dotted path of your own family; see ``load_checkpoint``.
        module: dotted paths of your own classes; see ``load_checkpoint``.
        **options: arguments of ``Solver``.

    Raises:
        InputError: if the checkpoint cannot be loaded, or an option is out of its range.
    """
    check_range("serve", 1, views=views)
    built, data = load_checkpoint(checkpoint, family, module)
    built.to("cuda" if torch.cuda.is_available() else "cpu")
    if isinstance(data, ARC):  # the views of a task are its augmentations, each with a puzzle id
        return TaskBackend(name, Solver(built, data, **options), views or TASK_VIEWS)
    return TorchBackend(Solver(built, data, views=views, **options))


class TorchBackend:
    """Solves questions of one board with a ``Solver``."""

    kind = "torch"

    def __init__(self, solver: Solver) -> None:
        self.solver = solver
        self.family, self.cells = type(solver.data).__name__, solver.data.seq_len
        self.parameters: int | None = sum(parameter.numel() for parameter in solver.module.core.parameters())
        _ = solver.gflop_per_step  # counted once, now, by a supervision step, which also warms up the network

    def parse(self, puzzle: Puzzle) -> Tokens:
        """Return the tokens of a puzzle, (L,)."""
        return parse_board(self.solver.data, puzzle)

    def __call__(self, questions: Sequence[Tokens], traced: Sequence[bool]) -> list[dict[str, Any]]:
        """Return the solutions of N questions, each (L,), with a trace where ``traced`` (N,) is true."""
        boards = np.stack(questions)
        solutions = [solution.as_dict() for solution in self.solver.solve_all(boards)]
        if any(traced):
            chosen = np.flatnonzero(traced)
            for number, steps in zip(chosen, self._trace(boards[chosen]), strict=True):
                solutions[number]["trace"] = steps
        return solutions

    def _trace(self, questions: Tokens) -> list[list[dict[str, Any]]]:
        """Return the answer to each question, unchanged and without noise, after each supervision step."""
        solver, data = self.solver, self.solver.data
        steps: list[list[dict[str, Any]]] = [[] for _ in questions]

        def record(context: HaltingContext) -> Tensor:
            answers = context.tokens.to(torch.uint8).cpu().numpy()
            confidences = context.output.halt.sigmoid().tolist()
            for index, answer, confidence in zip(context.indices.tolist(), answers, confidences, strict=True):
                verdict = data.verify(questions[index], answer)
                step = {"step": len(steps[index]) + 1, "answer": data.write(answer)}
                steps[index].append({**step, "valid": verdict.valid, "confidence": round(confidence, 4)})
            return solver.halting(context) if solver.halting else torch.zeros_like(context.unchanged, dtype=torch.bool)

        inputs = torch.from_numpy(questions.astype(np.int32)).to(solver.module.device)
        think(solver.module.core, inputs, torch.full_like(inputs[:, 0], data.first_id), solver.depth, record)
        return steps


class TaskBackend:
    """Solves tasks of ARC with a ``Solver``, as ``trm solve`` does: two attempts for each test input.

    Args:
        name: name of the model, for messages.
        solver: the solver.
        views: symmetries under which a task is solved.

    Raises:
        InputError: if the solver has options that tasks do not have, or its puzzle ids stand for other tasks.
    """

    kind = "torch"

    def __init__(self, name: str, solver: Solver, views: int) -> None:
        assert isinstance(solver.data, ARC)
        if solver.select not in ("halting", "vote"):
            raise InputError(
                f"select is {solver.select!r}, but the attempts of {name} at ARC tasks are elected by vote"
            )
        self.name, self.solver, self.data, self.views = name, solver, solver.data, views
        self.family, self.cells = type(solver.data).__name__, solver.data.seq_len
        self.parameters: int | None = sum(parameter.numel() for parameter in solver.module.core.parameters())
        refuse_changed_tasks(solver.data, solver.module.hparams["num_puzzles"])  # which also loads its tasks

    def parse(self, puzzle: Puzzle) -> tuple[Task, TaskQuery]:
        """Return a task, given as decoded JSON or by the name of one that the model was trained on, and its samples."""
        if not isinstance(puzzle, str):
            task: Task | None = to_task("of the request", puzzle, "the body")
        else:
            task = self.data.task(puzzle)
        if task is None:
            raise InputError(
                f"the puzzle is {reprlib.repr(puzzle)}, but a model of ARC needs a task: an object with the lists "
                f"'train' and 'test', or the name of one of its {counted(len(self.data.puzzles), 'task')}"
            )
        return task, query_task(self.data, task, self.views)

    def __call__(self, questions: Sequence[tuple[Task, TaskQuery]], traced: Sequence[bool]) -> list[dict[str, Any]]:
        """Return the solutions of N tasks, whose samples are solved together; they have no trace."""
        solutions = solve_queries(self.solver, questions)
        return [
            {"task": found.task.name, "valid": found.complete, "steps": found.steps, **found.as_dict()}
            for found in solutions
        ]
