"""``EdgeSolver``: ``trm.Solver`` for an exported model, in numpy: depth, early exit, views and the check of the rules.

Shapes: N puzzles, B puzzles of a batch, L grid cells, E size of a puzzle vector, V vocabulary.
"""

import math
import reprlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trm.edge import rules
from trm.edge.description import EXITS, head_threshold
from trm.edge.model import EdgeModel, Floats, Step
from trm.errors import InputError, check_choice, check_range, counted

SHORTENED = reprlib.Repr()
SHORTENED.maxstring = 120
"""Shows a board of 81 cells in full in a message."""
HALTING = ("auto", *EXITS)
SELECTIONS = ("halting", "verifier")
Tokens = NDArray[np.int64]


class EdgeSolution(NamedTuple):
    """The solution of one puzzle; its text is a line that can be read back, and a remark."""

    question: Tokens
    """(L,)."""
    answer: Tokens
    """(L,)."""
    text: str
    """The answer in the notation of the family; its tokens if the family has none of a character per cell."""
    confidence: float
    """Mean halting probability of the views with this answer."""
    steps: int
    """Supervision steps spent, over all views."""
    valid: bool | None
    """Whether the answer obeys the rules; None if the file describes none."""
    reason: str
    """The broken rule."""
    views: int
    """Number of views solved."""
    agreement: float
    """Share of the views with this answer."""

    @property
    def sentence(self) -> str:
        """One line: the verdict, the steps spent and the confidence."""
        verdict = "obeys the rules" if self.valid else f"breaks the rules: {self.reason}"
        if self.valid is None:
            verdict = "not checked, as the file describes no rules"
        return f"{verdict}; {counted(self.steps, 'supervision step')}, confidence {self.confidence:.1%}"

    def __str__(self) -> str:
        return f"{self.text}  ; {self.sentence}"


class EdgeSolver:
    """Solves puzzles with an exported model, without torch, as ``trm.Solver`` does with the same options.

    Args:
        file: a file written by ``trm export --format onnx``, or its content.
        depth: maximum number of supervision steps of a view; None for as many as in training.
        views: number of symmetries of the puzzle to solve, the puzzle itself included; None for what ``trm tune`` chose
            for the model, else 1.
        select: selection of the answer among those of the views: halting (the most confident) or verifier (the first
            that obeys the rules, which ends the search; without one, a majority vote).
        halt: early-exit rule: never, head (halting probability above a threshold), stable (answer unchanged by a step)
            or rules (answer is valid). auto is rules with select verifier, else what ``trm tune`` chose, else head.
        halt_threshold: halting probability above which the rule head exits; None for what ``trm tune`` chose, else for
            that of the model.
        threads: threads of a step.
        batch_size: number of puzzles in a batch.

    Raises:
        InputError: if an argument is out of its range or the file cannot be used.
    """

    def __init__(
        self,
        file: str | Path | bytes,
        *,
        depth: int | None = None,
        views: int | None = None,
        select: str = "halting",
        halt: str = "auto",
        halt_threshold: float | None = None,
        threads: int = 1,
        batch_size: int = 64,
    ) -> None:
        check_range("solver", 0, depth=depth)
        check_range("solver", 1, views=views, threads=threads, batch_size=batch_size)
        check_choice("solver", SELECTIONS, select=select)
        check_choice("solver", HALTING, halt=halt)
        self.model = EdgeModel(file, threads)
        about = self.model.about
        self.rules = about["rules"]
        self.depth = depth or about["supervision_steps"]
        self.cells, self.tokens = (np.array(about["views"][part]) for part in ("cells", "tokens"))
        chosen = about.get("inference") or {"halt": "head", "views": 1}
        self.views, self.select, self.batch_size = views or chosen["views"], select, batch_size
        if self.views > len(self.cells):
            raise InputError(f"solver.views is {views}, but the file describes {counted(len(self.cells), 'symmetry')}")
        self.halt = halt
        if halt == "auto":  # as trm.inference.choice.exit_of: a threshold alone stands for head
            self.halt = "rules" if select == "verifier" else "head" if halt_threshold else chosen["halt"]
        if self.rules is None and (self.halt == "rules" or select == "verifier"):
            raise InputError("the file describes no rules to check answers by; halt head, stable and never need none")
        threshold = halt_threshold or head_threshold(about)
        if not 0 < threshold < 1:
            raise InputError(f"solver.halt_threshold is {threshold}, but must be greater than 0 and less than 1")
        self.logit = math.log(threshold / (1 - threshold))
        self.least = -math.inf
        """Halting logit below which head and rules halt no puzzle; a service that abstains sets it."""

    @overload
    def solve(self, questions: str, puzzle_vectors: ArrayLike | None = None) -> EdgeSolution: ...

    @overload
    def solve(self, questions: Any, puzzle_vectors: ArrayLike | None = None) -> Any: ...

    def solve(self, questions: Any, puzzle_vectors: ArrayLike | None = None) -> EdgeSolution | list[EdgeSolution]:
        """Solve one puzzle or several.

        Args:
            questions: one puzzle or several, as text (a string or a list of strings), or as integers: (L,) for one,
                (N, L) for several.
            puzzle_vectors: vectors of the puzzle embedding, (N, E) or (E,); by default that of puzzle id 0, which the
                file contains. Only for a network with a puzzle embedding.

        Returns:
            A solution for one puzzle, a list of solutions for several.

        Raises:
            InputError: if a question or a vector is not accepted.
        """
        boards, single = self._read(questions)
        vectors = self._vectors(puzzle_vectors, len(boards))
        solutions: list[EdgeSolution] = []
        for part in self._batches(len(boards)):
            solutions += self._solve(boards[part], None if vectors is None else vectors[part])
        return solutions[0] if single else solutions

    def answers(self, boards: Tokens, vectors: Floats | None = None) -> Tokens:
        """Return the answers to questions under the first view, unchecked, (N, L) and (N, E) to (N, L)."""
        parts = [self._think(boards[p], None if vectors is None else vectors[p])[0] for p in self._batches(len(boards))]
        return np.concatenate(parts)

    def trace(self, boards: Tokens) -> list[list[tuple[Tokens, float]]]:
        """Return the answer, (L,), and its halting probability after each step, for each question, (N, L)."""
        steps: list[list[tuple[Tokens, float]]] = [[] for _ in boards]

        def record(indices: Tokens, tokens: Tokens, halts: Floats) -> None:
            for index, answer, halt in zip(indices, tokens, halts, strict=True):
                steps[first + index].append((answer, _sigmoid(halt)))

        vectors = self._vectors(None, len(boards))
        for part in self._batches(len(boards)):
            first = part.start
            self._think(boards[part], None if vectors is None else vectors[part], record)
        return steps

    def parse(self, text: str) -> Tokens:
        """Return the tokens of a question with a character per cell, (L,).

        Raises:
            InputError: if the text is not such a question.
        """
        known = self.model.about["symbols"]
        if known is None:
            raise InputError(f"the questions of {self.model.about['name']} have no text: pass tokens, (L,) integers")
        shown = SHORTENED.repr(text)
        compact = "".join(text.split()) if " " not in known or len(text) != self.model.cells else text
        if len(compact) != self.model.cells:
            raise InputError(
                f"the puzzle {shown} has {counted(len(compact), 'cell')}, but the model takes {self.model.cells}"
            )
        for cell, symbol in enumerate(compact):
            if symbol not in known:
                accepted = "".join(known)
                raise InputError(f"the puzzle {shown} has {symbol!r} in cell {cell + 1}; accepted are {accepted}")
        return np.array([known[symbol] for symbol in compact])

    def write(self, tokens: Tokens) -> str:
        """Return tokens (L,) as text, with a character per cell if the family has such a notation."""
        characters = self.model.about["write"]
        return " ".join(map(str, tokens)) if characters is None else "".join(characters[token] for token in tokens)

    # -- private ------------------------------------------------------------------------------------------------------

    def _batches(self, count: int) -> list[slice]:
        return [slice(first, first + self.batch_size) for first in range(0, count, self.batch_size)]

    def _read(self, questions: Any) -> tuple[Tokens, bool]:
        """Return the tokens of one question or several, (N, L), and whether it was one."""
        single = isinstance(questions, str)
        if single:
            questions = [questions]
        if isinstance(questions, Sequence) and questions and all(isinstance(text, str) for text in questions):
            boards = np.stack([self.parse(text) for text in questions])
        else:
            boards = np.asarray(questions)
            single = boards.ndim == 1
            boards = boards[None] if single else boards
        if boards.dtype.kind not in "iu" or boards.ndim != 2 or boards.shape[1] != self.model.cells or not len(boards):
            raise InputError(
                f"the questions have shape {boards.shape} and type {boards.dtype}, but the model takes text or "
                f"integers, ({self.model.cells},) or (N, {self.model.cells})"
            )
        wrong = np.argwhere((boards < 0) | (boards >= self.model.tokens))
        if len(wrong):
            row, cell = wrong[0]
            accepted = f"0 to {self.model.tokens - 1}"
            raise InputError(f"question {row} has token {boards[row, cell]} in cell {cell}; accepted are {accepted}")
        for board in boards:
            if reason := rules.fault(self.rules, board):
                raise InputError(f"the puzzle {self.write(board)} is unsolvable: {reason}")
        return boards.astype(np.int64), single

    def _vectors(self, given: ArrayLike | None, count: int) -> Floats | None:
        """Return the puzzle vector of each question, (N, E); None without a puzzle embedding."""
        own = self.model.puzzle_vector
        if own is None and given is None:
            return None
        if own is None:
            raise InputError(f"puzzle_vectors are given, but {self.model.about['name']} has no puzzle embedding")
        vectors = np.asarray(own if given is None else given, dtype=np.float32)
        if vectors.shape not in (own.shape, (count, *own.shape)):
            accepted = f"({count}, {len(own)}) or ({len(own)},)"
            raise InputError(f"puzzle_vectors has shape {vectors.shape}; accepted are {accepted}")
        return np.ascontiguousarray(np.broadcast_to(vectors, (count, *own.shape)))

    def _solve(self, boards: Tokens, vectors: Floats | None) -> list[EdgeSolution]:
        """Return the solutions of a batch of questions, (B, L): view by view, as long as one is undecided."""
        found: list[list[tuple[bytes, float, bool]]] = [[] for _ in boards]
        spent = np.zeros(len(boards), dtype=np.int64)
        undecided = np.arange(len(boards))
        for view in range(self.views):
            cells, names = self.cells[view], self.tokens[view]
            shown = names[boards[undecided][:, cells]]
            answers, halts, steps = self._think(shown, None if vectors is None else vectors[undecided])
            back = np.empty_like(answers)
            back[:, cells] = np.argsort(names)[answers]
            spent[undecided] += steps
            for puzzle, answer, halt in zip(undecided, back, halts, strict=True):
                valid = self.rules is not None and not rules.broken(self.rules, boards[puzzle], answer)
                found[puzzle].append((answer.tobytes(), _sigmoid(halt), valid))
            if self.select == "verifier":
                undecided = np.array([p for p in undecided if not found[p][-1][2]], dtype=np.int64)
                if not len(undecided):
                    break
        return [self._solution(*each) for each in zip(boards, found, spent.tolist(), strict=True)]

    def _solution(self, question: Tokens, found: list[tuple[bytes, float, bool]], steps: int) -> EdgeSolution:
        """Return the solution of a puzzle, given the answer of each view, its confidence and whether it is valid."""
        votes = Counter(answer for answer, _, _ in found)
        means = {answer: float(np.mean([c for other, c, _ in found if other == answer])) for answer in votes}
        if self.select == "halting":
            chosen = max(found, key=lambda each: each[1])[0]
        elif found[-1][2]:
            chosen = found[-1][0]
        else:
            chosen = max(votes, key=lambda answer: (votes[answer], means[answer]))
        answer = np.frombuffer(chosen, dtype=question.dtype)
        reason = "" if self.rules is None else rules.broken(self.rules, question, answer)
        valid = None if self.rules is None else not reason
        agreement = votes[chosen] / len(found)
        return EdgeSolution(
            question, answer, self.write(answer), means[chosen], steps, valid, reason, len(found), agreement
        )

    def _think(
        self, inputs: Tokens, vectors: Floats | None, record: Callable[[Tokens, Tokens, Floats], None] | None = None
    ) -> tuple[Tokens, NDArray[np.float64], Tokens]:
        """Return answers, (B, L), halting logits and steps, (B,); puzzles that have halted leave the batch.

        ``record`` gets the index, answer and halting logit of each puzzle in the batch after each step.
        """
        y, z = self.model.start(len(inputs))
        answers, halts = np.zeros_like(inputs), np.zeros(len(inputs))
        steps, indices, last = np.zeros(len(inputs), dtype=np.int64), np.arange(len(inputs)), np.full_like(inputs, -1)
        for step in range(1, self.depth + 1):
            output = self.model.step(inputs, y, z, vectors)
            tokens = output.logits.argmax(-1)
            answers[indices], halts[indices], steps[indices] = tokens, output.halt, step
            if record:
                record(indices, tokens, output.halt)
            rest = np.flatnonzero(~self._done(inputs, output, tokens, last) & inputs.any(-1))
            if not len(rest):
                break
            indices, inputs, last, y, z = indices[rest], inputs[rest], tokens[rest], output.y[rest], output.z[rest]
            vectors = None if vectors is None else vectors[rest]
        return answers, halts, steps

    def _done(self, inputs: Tokens, output: Step, tokens: Tokens, last: Tokens) -> NDArray[np.bool_]:
        """Return which puzzles halt after a step, (B,)."""
        logits = output.halt - output.proceed
        if self.halt == "head":
            return np.asarray(logits > max(self.logit, self.least))
        if self.halt == "stable":
            return np.asarray((tokens == last).all(-1))
        if self.halt == "rules":
            valid = [not rules.broken(self.rules, *pair) for pair in zip(inputs, tokens, strict=True)]
            return np.array(valid) & (logits > self.least)
        return np.zeros(len(inputs), dtype=np.bool_)


def _sigmoid(logit: float) -> float:
    """Return the probability of a logit; it cannot overflow."""
    return (1 + math.tanh(logit / 2)) / 2
