"""``Solver``: solve puzzles with a trained model, thinking as deep and as broad as they are worth.

Letters in shape comments: N puzzles, R rollouts of all puzzles, L grid cells.
"""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from functools import cached_property
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, get_args, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from trm.checkpoints.load import load_checkpoint
from trm.choices import EarlyExit, SelectionName
from trm.data import PuzzleData, Verdict
from trm.data.samples import Completion, Tokens, hash_bytes
from trm.data.voting import rank
from trm.errors import InputError, check_choice, check_range
from trm.inference import HaltingContext, halting_rule, think
from trm.inference.halting import has_rules
from trm.inference.questions import read_questions
from trm.inference.rollouts import Rollouts, gaussian_noise, relative_change
from trm.inference.selection import SELECTIONS
from trm.inference.think import check_questions
from trm.module import TRMModule
from trm.nn.flops import count_flops
from trm.nn.losses import LOG_PROBABILITIES
from trm.training.compatibility import refuse_other_sizes


class Candidate(NamedTuple):
    """An answer that some rollouts came to."""

    answer: Tokens
    """(L,)."""
    weight: float
    """Its share of the weight that the selection gave to all rollouts of the puzzle."""
    votes: int
    """How many rollouts came to it."""
    confidence: float
    """Mean halting probability of those."""
    valid: bool
    """Whether it obeys the rules; False where the family has none to check."""


class Solution(NamedTuple):
    """What the solver found for one puzzle; printed, the board and a sentence about it."""

    solver: "Solver"
    """The solver that found it, with the model and its family."""
    question: Tokens
    """(L,)."""
    candidates: list[Candidate]
    """The distinct answers, the elected one first."""
    verdict: Verdict
    """Of the rules, on the elected answer."""
    steps: int
    """Supervision steps spent, over all rollouts."""
    abstains: bool
    """Whether the confidence is below what was asked for."""
    completion: Completion | None = None
    """What an exact solver found where the elected answer breaks the rules and ``complete`` was asked for."""

    @property
    def data(self) -> PuzzleData:
        """The family."""
        return self.solver.data

    @property
    def gflop(self) -> float:
        """Billions of floating-point operations spent; counting those of a step takes a while, at the first call."""
        return self.steps * self.solver.gflop_per_step

    @property
    def answer(self) -> Tokens:
        """Tokens of the elected answer, or of the exact solver's, (L,)."""
        return self.completion.answer if self.completion else self.candidates[0].answer

    @property
    def confidence(self) -> float:
        """Mean halting probability of the rollouts that came to the elected answer."""
        return self.candidates[0].confidence

    @property
    def rollouts(self) -> int:
        """How often the puzzle was thought about."""
        return sum(candidate.votes for candidate in self.candidates)

    @property
    def agreement(self) -> float:
        """Share of the rollouts that came to the elected answer."""
        return self.candidates[0].votes / self.rollouts

    @property
    def sentence(self) -> str:
        """One line: whether the answer is valid, what it took, and the confidence."""
        verdict = self.verdict.in_words
        steps = f"{self.steps} supervision step{'s' if self.steps > 1 else ''}"
        if self.rollouts > 1:
            steps += f" in {self.rollouts} rollouts, of which {self.agreement:.0%} agree"
        if self.completion:
            verdict = f"completed by the exact solver with {self.completion.guesses} guesses, {verdict}"
        return f"{'abstains: ' if self.abstains else ''}{verdict}; {steps}, confidence {self.confidence:.1%}"

    def draw(self, color: bool = False) -> str:
        """Return the board and the sentence; with ``color``, in colors of a terminal."""
        return f"{self.data.render_board(self.answer, self.question, color=color)}\n{self.sentence}"

    def __str__(self) -> str:
        return self.draw()

    def _repr_html_(self) -> str:
        """Return a picture of the board and the sentence, for a notebook; nothing is fetched from elsewhere."""
        from trm.trace.picture import picture  # draws with Pillow, which solving does not need

        png = BytesIO()
        picture(self.data, self.question, self.answer).save(png, "PNG")
        source = f"data:image/png;base64,{b64encode(png.getvalue()).decode()}"
        board = escape(self.data.write(self.answer), quote=True)
        return f'<figure><img src="{source}" alt="{board}"><figcaption>{escape(self.sentence)}</figcaption></figure>'

    def as_dict(self) -> dict[str, object]:
        """Return the solution in plain values, as ``trm solve --json`` prints it."""
        return {
            "question": self.data.write(self.question),
            "answer": self.data.write(self.answer),
            "valid": self.verdict.valid,
            "reason": self.verdict.reason,
            "abstains": self.abstains,
            "steps": self.steps,
            "gflop": round(self.gflop, 3),
            "confidence": round(self.confidence, 4),
            "agreement": round(self.agreement, 4),
            "rollouts": self.rollouts,
            "guesses": self.completion.guesses if self.completion else None,
            "alternatives": [
                {
                    "answer": self.data.write(other.answer),
                    "valid": other.valid,
                    "weight": round(other.weight, 4),
                    "votes": other.votes,
                    "confidence": round(other.confidence, 4),
                }
                for other in self.candidates[1:]
            ],
        }


class Solver:
    """Solves puzzles with a trained model.

    A puzzle is thought about ``views * breadth`` times, each time in one of its symmetric forms, and from the second
    round of views on with noise; the first rollout of all is the puzzle as it is and without noise. The distinct
    answers are ranked by a selection:

    * ``halting``: the answer of the rollout with the highest halting probability (best-Q@K of PTRM, arXiv 2605.19943).
    * ``vote``: the most frequent answer.
    * ``confident``: the less confident half of the rollouts is dropped, the others vote with their halting
      probability (after DeepConf, arXiv 2508.15260).
    * ``residual``: the answer of the rollout whose state changed least in its last step (EqR, arXiv 2605.21488).
    * ``verifier``: the first answer that obeys the rules, with no further rollouts; without one, the vote.

    Noise and views depend on the seed and the puzzle, not on what else is asked with it.

    Args:
        model: a file written by ``trm fit``, or the name of a model of the zoo; or a module, or the pair of a module
            and its family.
        data: the family; a module needs it, a checkpoint on plain data loaders too.
        depth: most supervision steps of a rollout; 0 for as many as in training.
        breadth: rollouts in each view.
        noise: standard deviation of what is added to the latent before each supervision step.
        start_noise: that of what is added to answer and latent before the first step.
        views: symmetric forms of the puzzle.
        select: how the answer is elected.
        halt: early-exit rule of a rollout (see ``trm.inference.halting``); "auto" is "rules" with the verifier, else
            "head".
        halt_threshold: halting probability above which the rule head exits.
        budget: most supervision steps to spend on a puzzle, over all rollouts; 0 for no limit. No rollout is begun
            that might exceed it.
        abstain: confidence below which a solution says that it abstains.
        complete: where the elected answer breaks the rules, let an exact solver finish, led by what the network holds
            probable; the family must have one. Then only a question without a solution has no valid answer.
        seed: seed of views and noise.
        batch_size: rollouts that are thought about together.
        family: the class the checkpoint was trained on if it is your own, such as my_puzzles.Futoshiki.
        module: your own classes of the module and its network, by commas; see ``load_checkpoint``.

    Raises:
        InputError: if an argument is out of its range or the checkpoint cannot be used.
    """

    def __init__(
        self,
        model: str | Path | TRMModule | tuple[TRMModule, PuzzleData],
        data: PuzzleData | None = None,
        *,
        depth: int = 0,
        breadth: int = 1,
        noise: float = 0.0,
        start_noise: float = 0.0,
        views: int = 1,
        select: SelectionName = "halting",
        halt: EarlyExit = "auto",
        halt_threshold: float = 0.5,
        budget: int = 0,
        abstain: float = 0.0,
        complete: bool = False,
        seed: int = 0,
        batch_size: int = 256,
        family: str = "",
        module: str = "",
    ) -> None:
        check_range("solver", 0, depth=depth, budget=budget, noise=noise, start_noise=start_noise)
        check_range("solver", 1, breadth=breadth, views=views, batch_size=batch_size)
        check_range("solver", 0, 1, abstain=abstain)
        check_range("solver", 0, 2**32 - 1, seed=seed)
        check_choice("solver", SELECTIONS, select=select)
        check_choice("solver", get_args(EarlyExit), halt=halt)
        if breadth > 1 and not (noise or start_noise):
            raise InputError(
                f"breadth is {breadth}, but without noise all rollouts of a view are the same; "
                "pass a noise or a start_noise greater than 0"
            )
        self.module, self.data = _loaded(model, data, family, module)
        steps = depth or self.module.hparams["supervision_steps"]
        self.depth = min(steps, budget) if budget else steps
        self.breadth, self.noise, self.start_noise, self.seed = breadth, noise, start_noise, seed
        self.views = self.data.views(views, seed)
        self.select, self.budget, self.abstain, self.batch_size = select, budget, abstain, batch_size
        self.complete = complete
        if complete and type(self.data).complete is PuzzleData.complete:
            raise InputError(f"complete is true, but {type(self.data).__name__} has no exact solver")
        auto: EarlyExit = "rules" if select == "verifier" else "head"
        self.has_rules = has_rules(self.data)
        if select == "verifier" and not self.has_rules:
            raise InputError(f"select is 'verifier', but {type(self.data).__name__} has no rules to check answers by")
        self.halting = halting_rule(halt, halt_threshold, self.data, auto)

    @overload
    def solve(self, questions: str) -> Solution: ...

    @overload
    def solve(
        self, questions: Tokens | Tensor | Sequence[Any], puzzles: ArrayLike | None = None
    ) -> Solution | list[Solution]: ...

    def solve(
        self, questions: str | Tokens | Tensor | Sequence[Any], puzzles: ArrayLike | None = None
    ) -> Solution | list[Solution]:
        """Solve one puzzle or several.

        Args:
            questions: one puzzle or a list of them, each as people write it (a string), or as the family's tokens
                (numpy, torch or nested lists of integers): (L,) or a grid (h, w) for one, (N, L) or (N, h, w) for
                several.
            puzzles: puzzle ids, (N,) or one number; zeros by default.

        Returns:
            A solution for one puzzle, a list of them for several.

        Raises:
            InputError: if a question is none of the family.
        """
        boards, single = read_questions(questions, self.data)
        ids = np.zeros(len(boards), dtype=np.int32) if puzzles is None else np.asarray(puzzles).reshape(-1)
        if len(ids) != len(boards) or ids.dtype.kind not in "iu":
            raise InputError(f"puzzles has {ids.size} values of type {ids.dtype}, but must have {len(boards)} integers")
        solutions = self.solve_all(boards, ids)
        return solutions[0] if single else solutions

    def solve_all(self, questions: Tokens, puzzles: NDArray[np.integer] | None = None) -> list[Solution]:
        """Solve puzzles given as tokens, (N, L), with puzzle ids (N,); zeros by default."""
        rollouts = self.roll_out(questions, puzzles)
        spent = np.bincount(rollouts.puzzles, rollouts.steps, len(questions)).astype(np.int64)
        solutions = [
            Solution(
                self,
                question,
                candidates,
                self.data.verify(question, candidates[0].answer),
                int(steps),
                candidates[0].confidence < self.abstain,
            )
            for question, candidates, steps in zip(questions, elect(rollouts, self.select), spent, strict=True)
        ]
        return self._completed(solutions, puzzles) if self.complete else solutions

    def roll_out(self, questions: Tokens, puzzles: NDArray[np.integer] | None = None) -> Rollouts:
        """Think about puzzles, (N, L), as often as it takes; of each puzzle the rollouts come in their order."""
        check_questions(torch.from_numpy(np.ascontiguousarray(questions)), self.data.seq_len, self.data.vocab_size)
        puzzles = np.zeros(len(questions), dtype=np.int32) if puzzles is None else puzzles
        undecided = np.ones(len(questions), dtype=np.bool_)
        spent = np.zeros(len(questions), dtype=np.int64)
        parts: list[Rollouts] = []
        for first, last in self._waves():
            rows, numbers = self._affordable(undecided, spent, first, last)
            for start in range(0, len(rows), self.batch_size):
                part = slice(start, start + self.batch_size)
                parts.append(self._think(questions, puzzles, rows[part], numbers[part]))
                np.add.at(spent, parts[-1].puzzles, parts[-1].steps)
                if self.select == "verifier":
                    undecided[parts[-1].puzzles[parts[-1].valid]] = False
        return Rollouts.join(parts)

    @cached_property
    def gflop_per_step(self) -> float:
        """Billions of floating-point operations of a supervision step of one puzzle."""
        return count_flops(self.module.core, slots=1).forward / 1e9

    def _completed(self, solutions: list[Solution], puzzles: NDArray[np.integer] | None) -> list[Solution]:
        """Let the exact solver answer where the network could not, which says once more what it holds probable."""
        broken = [number for number, solution in enumerate(solutions) if not solution.verdict.valid]
        for start in range(0, len(broken), self.batch_size):
            part = broken[start : start + self.batch_size]
            questions = np.stack([solutions[number].question for number in part])
            ids = np.zeros(len(part)) if puzzles is None else puzzles[part]
            inputs, rows = (torch.from_numpy(a.astype(np.int32)).to(self.module.device) for a in (questions, ids))
            found = think(self.module.core, inputs, rows, self.depth, self.halting)
            logs = LOG_PROBABILITIES[self.module.hparams["loss"]](found.logits).cpu().numpy()  # (B, L, V)
            for number, log_probabilities, steps in zip(part, logs, found.steps.tolist(), strict=True):
                solution = solutions[number]
                if completion := self.data.complete(solution.question, log_probabilities):
                    verdict = self.data.verify(solution.question, completion.answer)
                    solutions[number] = solution._replace(verdict=verdict, completion=completion)
                more = solutions[number].steps + steps
                solutions[number] = solutions[number]._replace(steps=more)
        return solutions

    def _waves(self) -> Iterator[tuple[int, int]]:
        """Number the rollouts of a puzzle; where fewer may do, in waves that double: 0, 1, 2-3, 4-7, ..."""
        total = len(self.views.cells) * self.breadth
        first, last = 0, 1 if self.select == "verifier" or self.budget else total
        while first < total:
            yield first, last
            first, last = last, min(2 * last, total)

    def _affordable(
        self, undecided: NDArray[np.bool_], spent: NDArray[np.int64], first: int, last: int
    ) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Return the puzzles and the numbers of the rollouts of a wave, as far as the budget reaches."""
        count = np.where(undecided, last - first, 0)
        if self.budget:
            count = np.minimum(count, (self.budget - spent) // self.depth)
        rows = np.repeat(np.arange(len(count)), count)
        return rows, first + np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)

    def _think(
        self, questions: Tokens, puzzles: NDArray[np.integer], rows: NDArray[np.intp], numbers: NDArray[np.int64]
    ) -> Rollouts:
        """Think about some of the puzzles, each in the view and with the noise of its rollout's number."""
        device, which = self.module.device, numbers % len(self.views.cells)
        inputs = torch.from_numpy(self.views.apply(questions[rows], which).astype(np.int32)).to(device)
        ids = torch.from_numpy(puzzles[rows].astype(np.int32)).to(device)
        residuals = torch.zeros(len(rows), dtype=torch.float64, device=device)

        def watched(context: HaltingContext) -> Tensor:
            residuals[context.rows] = relative_change(context.before, context.output.state)
            return self.halting(context) if self.halting else torch.zeros_like(context.unchanged, dtype=torch.bool)

        disturb = None
        if self.noise or self.start_noise:
            seeds = self._seeds(questions[rows], numbers)
            disturb = gaussian_noise(seeds, self.noise, self.start_noise, device)
        found = think(self.module.core, inputs, ids, self.depth, watched, disturb)
        answers = self.views.undo(found.tokens.to(torch.uint8).cpu().numpy(), which)
        valid = self.data.valid(questions[rows], answers) if self.has_rules else None
        return Rollouts(
            rows,
            answers,
            found.halt.double().cpu().numpy(),
            residuals.cpu().numpy(),
            np.zeros(len(rows), dtype=np.bool_) if valid is None else valid,
            found.steps.cpu().numpy().astype(np.int64),
        )

    def _seeds(self, questions: Tokens, numbers: NDArray[np.int64]) -> list[int | None]:
        """Return the seed of each rollout's noise, drawn from the puzzle itself; None in the first round of views."""
        pairs = zip(questions, numbers, strict=True)
        names = (bytes(question) + f"{self.seed} {number}".encode() for question, number in pairs)
        first_round = numbers < len(self.views.cells)
        return [None if bare else int(seed >> 1) for bare, seed in zip(first_round, hash_bytes(names), strict=True)]


def load(checkpoint: str | Path, family: str = "", module: str = "", **options: Any) -> Solver:
    """Load a trained model to solve puzzles with, as in ``print(trm.load("sudoku-4x4").solve(board))``.

    Args:
        checkpoint: a file written by ``trm fit``, or the name of a model of the zoo.
        family: the class the checkpoint was trained on if it is your own, such as my_puzzles.Futoshiki.
        module: your own classes of the module and its network, by commas, such as my_nets.Gated.
        **options: those of ``Solver``: depth, breadth, select and so on.

    Raises:
        InputError: if an argument is out of its range or the checkpoint cannot be used.
    """
    return Solver(checkpoint, family=family, module=module, **options)


def _loaded(model: Any, data: PuzzleData | None, family: str, classes: str) -> tuple[TRMModule, PuzzleData]:
    """Return the module and the family that a solver was asked for; a file is loaded onto a GPU if there is one."""
    if isinstance(model, tuple) and len(model) == 2:
        model, data = model
    if isinstance(model, str | Path):
        module, data = load_checkpoint(model, family, classes, data)
        return module.to("cuda" if torch.cuda.is_available() else "cpu"), data
    if not isinstance(model, TRMModule):
        raise InputError(
            f"the model is a {type(model).__name__}, but must be a checkpoint, a name of the zoo, or a TRMModule"
        )
    if not isinstance(data, PuzzleData):
        raise InputError(f"data is a {type(data).__name__}, but a module needs its family, such as Sudoku(size=9)")
    refuse_other_sizes(data, dict(model.hparams), "the module")
    return model, data


def elect(rollouts: Rollouts, select: SelectionName) -> list[list[Candidate]]:
    """Rank the distinct answers to each puzzle by a selection, the best first."""
    weights, hashes = SELECTIONS[select](rollouts), hash_bytes(map(bytes, rollouts.answers))
    ranking = rank(rollouts.puzzles, hashes, weights, np.ones_like(weights), rollouts.confidences)
    total = np.bincount(rollouts.puzzles, weights)
    candidates: list[list[Candidate]] = [[] for _ in total]
    for puzzle, _, weight, votes, confidence, first in zip(*ranking, strict=True):
        answer, valid = rollouts.answers[first], bool(rollouts.valid[first])
        candidates[puzzle].append(Candidate(answer, weight / total[puzzle], int(votes), float(confidence), valid))
    return candidates
