"""``Backend``, the seam between the service and what runs a network; and the backend of torch.

Shapes: N questions, L grid cells.
"""

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trm.data import ARC
from trm.data.samples import Tokens
from trm.errors import InputError
from trm.inference import HaltingContext, think
from trm.solver import Solver


class Backend(Protocol):
    """Reads and solves questions of one family: all that the service needs to know of a model.

    The service calls it from several threads to read, and from one to solve, with one batch at a time.
    """

    family: str
    """Name of the family, such as Sudoku."""
    cells: int
    """Number of cells L of a question."""
    parameters: int
    """Number of trained parameters."""

    def parse(self, text: str) -> Tokens:
        """Return the tokens of a question, (L,).

        Raises:
            InputError: if the text is not a question of the family.
        """

    def __call__(self, questions: Tokens, traced: NDArray[np.bool_]) -> list[dict[str, Any]]:
        """Return the solutions of questions (N, L) as plain values, as ``Solution.as_dict`` does.

        A question of ``traced`` (N,) gets a further entry ``trace``: the answer after each supervision step.
        """


class TorchBackend:
    """Solves with a ``Solver``.

    Args:
        name: name of the model, for the message.
        solver: the solver.

    Raises:
        InputError: if the family is ARC, whose questions are tasks of several grids.
    """

    def __init__(self, name: str, solver: Solver) -> None:
        if isinstance(solver.data, ARC):
            raise InputError(
                f"{name} is a model of ARC, whose questions are tasks of several grids; trm serve accepts models of "
                "one board per question, and trm solve answers ARC tasks"
            )
        self.solver, self.parse = solver, solver.data.parse
        self.family, self.cells = type(solver.data).__name__, solver.data.seq_len
        self.parameters = sum(parameter.numel() for parameter in solver.module.core.parameters())
        _ = solver.gflop_per_step  # counted once, now, by a supervision step, which also warms up the network

    def __call__(self, questions: Tokens, traced: NDArray[np.bool_]) -> list[dict[str, Any]]:
        """Return the solutions of questions (N, L), with a trace where ``traced`` (N,) is true."""
        solutions = [solution.as_dict() for solution in self.solver.solve_all(questions)]
        if traced.any():
            for number, steps in zip(np.flatnonzero(traced), self._trace(questions[traced]), strict=True):
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
        think(solver.module.core, inputs, torch.zeros_like(inputs[:, 0]), solver.depth, record)
        return steps
