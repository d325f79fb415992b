"""The backend of onnxruntime: an exported network, and the family of its puzzles to read and check them.

Shapes: N questions, L grid cells.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trm.arguments import class_path
from trm.checkpoints.files import read_facts
from trm.checkpoints.load import load_family
from trm.data import ARC
from trm.data.samples import Tokens
from trm.edge import EdgeSolution, EdgeSolver
from trm.edge.solver import SELECTIONS
from trm.errors import InputError, check_choice
from trm.inference.choice import abstain_threshold
from trm.serve.backend import Puzzle, parse_board
from trm.training import checkpoint_keys as keys

NO_TASKS = "{name} is a model of ARC, which onnxruntime does not serve; accepted is its checkpoint with --backend torch"
ENDING = ".onnx"
"""What the name of an exported file ends in."""


def onnx_backend(
    name: str,
    file: str | Path,
    family: str = "",
    module: str = "",
    abstain: float | Literal["auto"] = 0.0,
    **options: Any,
) -> "OnnxBackend":
    """Return the backend of an exported file, or of a checkpoint, which is exported to memory.

    Args:
        name: name of the model, for messages.
        file: a file of ``trm export --format onnx``, or a checkpoint.
        family: dotted path of your own family; see ``load_checkpoint``.
        module: dotted paths of your own classes; see ``load_checkpoint``.
        abstain: confidence below which an answer is marked as abstaining; auto for the threshold that a checkpoint
            contains.
        **options: arguments of ``EdgeSolver``.

    Raises:
        InputError: if the model cannot be loaded or exported, is one of ARC, or an extra is missing.
    """
    is_file = Path(file).suffix == ENDING
    facts = {} if is_file else read_facts(file)
    threshold = abstain_threshold(abstain, facts.get(keys.METRICS, {}).get(keys.ABSTAIN_BELOW))
    check_choice("serve", SELECTIONS, select=options.get("select", SELECTIONS[0]))
    if facts.get(keys.FAMILY, {}).get("class_path") == class_path(ARC):
        raise InputError(NO_TASKS.format(name=name))
    if is_file:
        solver = EdgeSolver(file, **options)
    else:
        from trm.export.model import export_onnx

        solver = EdgeSolver(export_onnx(str(file), family=family, module=module).content, **options)
    if threshold:  # no puzzle halts at a confidence that abstains, as in Solver
        solver.least = math.log(threshold / (1 - threshold)) if threshold < 1 else math.inf
    return OnnxBackend(name, solver, family, threshold)


class OnnxBackend:
    """Solves questions of one board with an ``EdgeSolver``.

    Questions are read, and answers checked, by the family, as with torch.

    Args:
        name: name of the model, for messages.
        solver: the solver.
        family: dotted path of your own family; see ``load_checkpoint``.
        abstain: confidence below which an answer is marked as abstaining.

    Raises:
        InputError: if the family cannot be loaded, or is ARC: an exported file has the vector of one puzzle alone.
    """

    kind = "onnx"

    def __init__(self, name: str, solver: EdgeSolver, family: str = "", abstain: float = 0.0) -> None:
        about = solver.model.about
        if not isinstance(about.get("family"), dict) or about["family"].keys() != {"class_path", "init_args"}:
            raise InputError(f"{name} does not describe the family of its puzzles, which reads them")
        described = {keys.FAMILY: about["family"], keys.VERSION: str(about["written_by"]).removeprefix("trm ")}
        self.data = load_family(name, described, family)
        if isinstance(self.data, ARC):
            raise InputError(NO_TASKS.format(name=name))
        if (self.data.seq_len, self.data.vocab_size) != (solver.model.cells, solver.model.tokens):
            raise InputError(f"{name} describes another family than that of its network")
        self.solver, self.abstain = solver, abstain
        self.family, self.cells = type(self.data).__name__, self.data.seq_len
        self.parameters: int | None = about.get("parameters")

    def parse(self, puzzle: Puzzle) -> Tokens:
        """Return the tokens of a puzzle, (L,)."""
        return parse_board(self.data, puzzle)

    def __call__(self, questions: Sequence[Tokens], traced: Sequence[bool]) -> list[dict[str, Any]]:
        """Return the solutions of N questions, each (L,), with a trace where ``traced`` (N,) is true."""
        boards = np.stack(questions).astype(np.int64)
        solutions = [self._as_dict(solution) for solution in self.solver.solve(boards)]
        if any(traced):
            chosen = np.flatnonzero(traced)
            for number, steps in zip(chosen, self.solver.trace(boards[chosen]), strict=True):
                solutions[number]["trace"] = self._trace(questions[int(number)], steps)
        return solutions

    def _trace(self, question: Tokens, steps: list[tuple[NDArray[np.int64], float]]) -> list[dict[str, Any]]:
        """Return the steps of a puzzle as plain values, given the answer and its halting probability after each."""
        answers = [answer.astype(np.uint8) for answer, _ in steps]
        return [
            {
                "step": step,
                "answer": self.data.write(answer),
                "valid": self.data.verify(question, answer).valid,
                "confidence": round(confidence, 4),
            }
            for step, (answer, (_, confidence)) in enumerate(zip(answers, steps, strict=True), 1)
        ]

    def _as_dict(self, found: EdgeSolution) -> dict[str, Any]:
        """Return a solution as ``trm.solution.Solution.as_dict`` does."""
        question, answer = (tokens.astype(np.uint8) for tokens in (found.question, found.answer))
        verdict = self.data.verify(question, answer)
        return {
            "question": self.data.write(question),
            "answer": self.data.write(answer),
            "valid": verdict.valid,
            "reason": verdict.reason,
            "abstains": found.confidence < self.abstain,
            "abstain_below": self.abstain,
            "steps": found.steps,
            "gflop": None,
            "confidence": round(found.confidence, 4),
            "agreement": round(found.agreement, 4),
            "rollouts": found.views,
            "guesses": None,
            "alternatives": [],
        }
