"""``Solver``: solves puzzles with a trained model, with test-time scaling by depth, rollouts and views.

Shapes: N puzzles, R rollouts of all puzzles, B rollouts of a batch, L grid cells, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from trm.arguments import EarlyExit, SelectionName
from trm.checkpoints.load import load_checkpoint, resized
from trm.data import PuzzleData
from trm.data.samples import Tokens, hash_bytes
from trm.errors import InputError, check_choice, check_range, counted
from trm.inference import HaltingContext, HaltingRule, halting_rule, think
from trm.inference.choice import abstain_threshold, exit_of
from trm.inference.halting import confident, has_rules
from trm.inference.questions import read_questions
from trm.inference.rollouts import Rollouts, gaussian_noise, relative_change
from trm.inference.selection import SELECTIONS, rank_answers
from trm.inference.think import check_questions
from trm.module import TRMModule
from trm.nn.flops import count_flops
from trm.nn.losses import LOG_PROBABILITIES
from trm.solution import Solution
from trm.training.compatibility import refuse_fixed_size, refuse_other_sizes


class Solver:
    """Solves puzzles with a trained model.

    A puzzle gets ``views * breadth`` rollouts, each in one of the puzzle's symmetric views. Rollout number r is in view
    r modulo ``views``; from r = ``views`` on, noise is added. The first rollout is therefore the unchanged puzzle
    without noise. With a network of K latents the rollouts of a view start from one latent after the other, and noise
    is added from r = ``views * K`` on. A selection ranks the distinct answers:

    * ``halting``: the answer of the rollout with the highest halting probability (best-Q@K of PTRM, arXiv 2605.19943).
    * ``first``: the answer of the rollout that halted first ("halt first" of SIC, arXiv 2601.19085).
    * ``top1``: the answer with the highest mean probability of its tokens (C-voting, arXiv 2604.13521).
    * ``vote``: the most frequent answer (majority vote).
    * ``confident``: a vote of the more confident half of the rollouts, weighted by their halting probability (after
      DeepConf, arXiv 2508.15260).
    * ``residual``: the answer of the rollout whose state changed least in its last step (EqR, arXiv 2605.21488).
    * ``verifier``: the first answer that obeys the rules, after which no further rollouts are run; without one, vote.

    Noise and views depend on the seed and the puzzle, not on the other puzzles of the call.

    Args:
        model: a checkpoint written by ``trm fit``, a hub folder, or the name of a model; in Python also a module, or a
            pair of a module and its family.
        data: the family of puzzles; required with a module, and with a checkpoint trained on plain data loaders.
        depth: maximum number of supervision steps of a rollout; None for the number in training.
        breadth: number of rollouts in each view; more than the network has latents require noise or start_noise.
        noise: standard deviation of Gaussian noise added to the latent before each supervision step (PTRM, arXiv
            2605.19943); 0 for none.
        start_noise: standard deviation of Gaussian noise added to answer and latent before the first supervision step
            (EqR, arXiv 2605.21488); 0 for none.
        views: number of symmetries of the puzzle to solve, the puzzle itself included (symmetry augmentation at test
            time); None for what ``trm tune`` stored in the checkpoint, else 1.
        select: selection of the answer among those of the rollouts: halting, first, top1, vote, confident, residual or
            verifier; see ``trm.inference.selection``.
        halt: early-exit rule of a rollout: never (official), head (halting probability above a threshold), stable
            (answer unchanged by a step) or rules (answer is valid). auto is rules with select verifier, else what ``trm
            tune`` stored in the checkpoint, else head.
        halt_threshold: halting probability above which the rule head halts a rollout; None for the one that is stored,
            else 0.5, the rule of training.
        budget: maximum number of supervision steps per puzzle, over all rollouts; None for no limit. A rollout that
            might exceed it is not started.
        abstain: confidence, from 0 to 1, below which the solver abstains: the solution is returned, but marked. auto is
            the threshold that the latest validation in training chose (``val/abstain_below``). The rules head and rules
            halt a rollout at no confidence below it.
        complete: if the selected answer breaks the rules, search for a valid one with the exact solver of the family,
            guided by the network's probabilities. Only a question without a solution then has no valid answer.
        seed: seed of views and noise.
        batch_size: number of rollouts in a batch.
        family: dotted path of your own family on which the checkpoint was trained, such as my_puzzles.Futoshiki; of a
            mixture the name of the family to solve, such as maze.
        module: dotted paths of your own module and network classes, separated by commas; see ``load_checkpoint``.

    Raises:
        InputError: if an argument is out of its range or the checkpoint cannot be loaded.
    """

    def __init__(
        self,
        model: str | Path | TRMModule | tuple[TRMModule, PuzzleData],
        data: PuzzleData | None = None,
        *,
        depth: int | None = None,
        breadth: int = 1,
        noise: float = 0.0,
        start_noise: float = 0.0,
        views: int | None = None,
        select: SelectionName = "halting",
        halt: EarlyExit = "auto",
        halt_threshold: float | None = None,
        budget: int | None = None,
        abstain: float | Literal["auto"] = 0.0,
        complete: bool = False,
        seed: int = 0,
        batch_size: int = 256,
        family: str = "",
        module: str = "",
    ) -> None:
        check_range("solver", 0, noise=noise, start_noise=start_noise)
        check_range("solver", 1, depth=depth, budget=budget, breadth=breadth, views=views, batch_size=batch_size)
        check_range("solver", 0, 2**32 - 1, seed=seed)
        check_choice("solver", SELECTIONS, select=select)
        check_choice("solver", get_args(EarlyExit), halt=halt)
        self.module, self.data = _loaded(model, data, family, module)
        self._others: dict[int, Solver] = {}
        self.latents = self.module.core.latents
        if breadth > self.latents and not (noise or start_noise):
            same = "all rollouts of a view are the same" if self.latents == 1 else f"only {self.latents} latents differ"
            raise InputError(
                f"breadth is {breadth}, but without noise {same}; pass noise or start_noise greater than 0"
            )
        steps = depth or self.module.hparams["supervision_steps"]
        self.depth = min(steps, budget) if budget else steps
        self.breadth, self.noise, self.start_noise, self.seed = breadth, noise, start_noise, seed
        choice = self.module.inference_choice
        self.views = self.data.views(views or (choice.views if choice else 1), seed)
        self.select, self.budget, self.batch_size = select, budget, batch_size
        self.abstain = abstain_threshold(abstain, self.module.abstain_below)
        self.complete = complete
        if complete and type(self.data).complete is PuzzleData.complete:
            raise InputError(f"complete is true, but {type(self.data).__name__} has no exact solver")
        self.has_rules = has_rules(self.data)
        if select == "verifier" and not self.has_rules:
            raise InputError(f"select is 'verifier', but {type(self.data).__name__} has no rules to check answers by")
        self._exit = exit_of(halt, halt_threshold, select, choice)
        self.halting = self._halting(self.data)

    @overload
    def solve(self, questions: str) -> Solution: ...

    @overload
    def solve(
        self, questions: Tokens | Tensor | Sequence[Any], puzzle_ids: ArrayLike | None = None
    ) -> Solution | list[Solution]: ...

    def solve(
        self, questions: str | Tokens | Tensor | Sequence[Any], puzzle_ids: ArrayLike | None = None
    ) -> Solution | list[Solution]:
        """Solve one puzzle or several.

        Args:
            questions: one puzzle or several, as text (a string or a list of strings), or as tokens of the family
                (numpy, torch or nested lists of integers): (L,) or a grid (h, w) for one, (N, L) or (N, h, w) for
                several. Text may be of another size than in training if no parameter of the network depends on it.
            puzzle_ids: puzzle ids, (N,) or one integer; that of a question without one by default.

        Returns:
            A solution for one puzzle, a list of solutions for several.

        Raises:
            InputError: if a question does not belong to the family, or has a size that the network does not accept.
        """
        boards, single = read_questions(questions, self.data)
        ids = self._ids(len(boards)) if puzzle_ids is None else np.asarray(puzzle_ids).reshape(-1)
        if len(ids) != len(boards) or ids.dtype.kind not in "iu":
            raise InputError(
                f"puzzle_ids has {counted(ids.size, 'value')} of type {ids.dtype}, but must have {len(boards)} integers"
            )
        solutions = self.solve_all(boards, ids)
        return solutions[0] if single else solutions

    def solve_all(
        self, questions: Tokens | Sequence[Tokens], puzzle_ids: NDArray[np.integer] | None = None
    ) -> list[Solution]:
        """Return the solutions of questions as tokens, (N, L) or N of (L,) in several sizes, with puzzle ids, (N,).

        Raises:
            InputError: if the network does not accept questions of that size.
        """
        puzzle_ids = self._ids(len(questions)) if puzzle_ids is None else puzzle_ids
        solutions: dict[int, Solution] = {}
        sizes = np.array([len(question) for question in questions])
        for cells in np.unique(sizes):
            mine = np.flatnonzero(sizes == cells)
            boards = np.stack([questions[int(number)] for number in mine])
            solver = self.of_size(int(cells))
            solve = self._solve_equal if solver is self else solver.solve_all
            found = solve(boards, puzzle_ids[mine])
            solutions.update(zip(mine.tolist(), found, strict=True))
        return [solutions[number] for number in range(len(questions))]

    def of_size(self, cells: int) -> "Solver":
        """Return the solver of puzzles of the family with so many cells, which shares the parameters; see ``resized``.

        Raises:
            InputError: if the network does not accept them.
        """
        data = self.data.resized(cells)
        if data is self.data:
            return self
        if cells not in self._others:
            refuse_fixed_size(data, dict(self.module.hparams))
            other = copy(self)
            other.module, other.data = resized(self.module, data), data
            other.views = data.views(len(self.views.cells), self.seed)
            other.batch_size = max(1, min(self.batch_size, self.batch_size * self.data.seq_len // cells))  # memory
            other.__dict__.pop("gflop_per_step", None)
            other.halting = self._halting(data)
            self._others[cells] = other
        return self._others[cells]

    def _solve_equal(self, questions: Tokens, puzzle_ids: NDArray[np.integer]) -> list[Solution]:
        """Return the solutions of questions of the solver's size, (N, L), with puzzle ids, (N,)."""
        rollouts = self.roll_out(questions, puzzle_ids)
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
            for question, candidates, steps in zip(questions, rank_answers(rollouts, self.select), spent, strict=True)
        ]
        return self._completed(solutions, puzzle_ids) if self.complete else solutions

    def roll_out(self, questions: Tokens, puzzle_ids: NDArray[np.integer] | None = None) -> Rollouts:
        """Return the rollouts of puzzles, (N, L), with puzzle ids, (N,); those of one puzzle are in order."""
        check_questions(torch.from_numpy(np.ascontiguousarray(questions)), self.data.seq_len, self.data.vocab_size)
        puzzle_ids = self._ids(len(questions)) if puzzle_ids is None else puzzle_ids
        undecided = np.ones(len(questions), dtype=np.bool_)
        spent = np.zeros(len(questions), dtype=np.int64)
        parts: list[Rollouts] = []
        for first, last in self._waves():
            puzzles, numbers = self._affordable(undecided, spent, first, last)
            for start in range(0, len(puzzles), self.batch_size):
                part = slice(start, start + self.batch_size)
                parts.append(self._run(questions, puzzle_ids, puzzles[part], numbers[part]))
                np.add.at(spent, parts[-1].puzzles, parts[-1].steps)
                if self.select == "verifier":
                    undecided[parts[-1].puzzles[parts[-1].valid]] = False
        return Rollouts.join(parts)

    @cached_property
    def gflop_per_step(self) -> float:
        """Billions of floating-point operations in a supervision step of one puzzle."""
        return count_flops(self.module.core, slots=1).forward / 1e9

    def _completed(self, solutions: list[Solution], puzzle_ids: NDArray[np.integer] | None) -> list[Solution]:
        """Return the solutions, invalid ones completed by the exact solver, guided by one more run of the network."""
        broken = [number for number, solution in enumerate(solutions) if not solution.verdict.valid]
        for start in range(0, len(broken), self.batch_size):
            part = broken[start : start + self.batch_size]
            questions = np.stack([solutions[number].question for number in part])
            chosen = self._ids(len(part)) if puzzle_ids is None else puzzle_ids[part]
            inputs, ids = (torch.from_numpy(a.astype(np.int32)).to(self.module.device) for a in (questions, chosen))
            found = think(self.module.core, inputs, ids, self.depth, self.halting)
            logs = LOG_PROBABILITIES[self.module.hparams["loss"]](found.logits).cpu().numpy()  # (B, L, V)
            for number, log_probabilities, steps in zip(part, logs, found.steps.tolist(), strict=True):
                solution = solutions[number]
                if completion := self.data.complete(solution.question, log_probabilities):
                    verdict = self.data.verify(solution.question, completion.answer)
                    solutions[number] = solution._replace(verdict=verdict, completion=completion, abstains=False)
                solutions[number] = solutions[number]._replace(steps=solution.steps + steps)
        return solutions

    def _halting(self, data: PuzzleData) -> HaltingRule | None:
        """Return the early-exit rule for the puzzles of a family; None for never."""
        rule, threshold = self._exit
        halting = halting_rule(rule, threshold, data)
        return confident(halting, self.abstain) if rule in ("head", "rules") and self.abstain and halting else halting

    def _ids(self, count: int) -> NDArray[np.int32]:
        """Return the puzzle ids of questions that have none of their own."""
        return np.full(count, self.data.first_id, dtype=np.int32)

    def _waves(self) -> Iterator[tuple[int, int]]:
        """Yield ranges of rollout numbers: 0, 1, 2-3, 4-7, ... if fewer may suffice, else a single range."""
        total = len(self.views.cells) * self.breadth
        first, last = 0, 1 if self.select == "verifier" or self.budget else total
        while first < total:
            yield first, last
            first, last = last, min(2 * last, total)

    def _affordable(
        self, undecided: NDArray[np.bool_], spent: NDArray[np.int64], first: int, last: int
    ) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Return the index of the puzzle and the number of each rollout of a wave that the budget allows, 2 x (B,)."""
        count = np.where(undecided, last - first, 0)
        if self.budget:
            count = np.minimum(count, (self.budget - spent) // self.depth)
        puzzles = np.repeat(np.arange(len(count)), count)
        return puzzles, first + np.arange(len(puzzles)) - np.repeat(np.cumsum(count) - count, count)

    def _run(
        self,
        questions: Tokens,
        puzzle_ids: NDArray[np.integer],
        puzzles: NDArray[np.intp],
        numbers: NDArray[np.int64],
    ) -> Rollouts:
        """Return a batch of rollouts, given the index of the puzzle and the number of each rollout, 2 x (B,)."""
        device, which = self.module.device, numbers % len(self.views.cells)
        inputs = torch.from_numpy(self.views.apply(questions[puzzles], which).astype(np.int32)).to(device)
        ids = torch.from_numpy(puzzle_ids[puzzles].astype(np.int32)).to(device)
        residuals = torch.zeros(len(puzzles), dtype=torch.float64, device=device)

        def record_and_halt(context: HaltingContext) -> Tensor:
            residuals[context.indices] = relative_change(context.before, context.output.state)
            return self.halting(context) if self.halting else torch.zeros_like(context.unchanged, dtype=torch.bool)

        add_noise = None
        if self.noise or self.start_noise:
            seeds = self._seeds(questions[puzzles], numbers)
            add_noise = gaussian_noise(seeds, self.noise, self.start_noise, device)
        latents = None
        if self.latents > 1:
            latents = torch.from_numpy(numbers // len(self.views.cells) % self.latents).to(device)
        found = think(self.module.core, inputs, ids, self.depth, record_and_halt, add_noise, latents)
        logs = LOG_PROBABILITIES[self.module.hparams["loss"]](found.logits)  # (B, L, V)
        answers = self.views.undo(found.tokens.to(torch.uint8).cpu().numpy(), which)
        valid = self.data.valid(questions[puzzles], answers) if self.has_rules else None
        return Rollouts(
            puzzles,
            answers,
            found.halt.double().cpu().numpy(),
            residuals.cpu().numpy(),
            np.zeros(len(puzzles), dtype=np.bool_) if valid is None else valid,
            found.steps.cpu().numpy().astype(np.int64),
            logs.amax(-1).exp().mean(-1).double().cpu().numpy(),
        )

    def _seeds(self, questions: Tokens, numbers: NDArray[np.int64]) -> list[int | None]:
        """Return the noise seed of each rollout, a hash of question, seed and number; None for a latent's first."""
        pairs = zip(questions, numbers, strict=True)
        names = (bytes(question) + f"{self.seed} {number}".encode() for question, number in pairs)
        plain = numbers < len(self.views.cells) * self.latents
        return [None if first else int(seed >> 1) for first, seed in zip(plain, hash_bytes(names), strict=True)]


def load(checkpoint: str | Path, family: str = "", module: str = "", **options: Any) -> Solver:
    """Return a solver with a trained model, as in ``print(trm.load("sudoku-4x4").solve(board))``.

    Args:
        checkpoint: a checkpoint written by ``trm fit``, a hub folder, or the name of a model.
        family: dotted path of your own family on which the checkpoint was trained, such as my_puzzles.Futoshiki.
        module: dotted paths of your own module and network classes, separated by commas, such as my_nets.Gated.
        **options: arguments of ``Solver``, such as depth, breadth and select.

    Raises:
        InputError: if an argument is out of its range or the checkpoint cannot be loaded.
    """
    return Solver(checkpoint, family=family, module=module, **options)


def _loaded(model: Any, data: PuzzleData | None, family: str, classes: str) -> tuple[TRMModule, PuzzleData]:
    """Return the module and the family of a solver; a checkpoint is loaded onto a GPU if there is one."""
    if isinstance(model, tuple) and len(model) == 2:
        model, data = model
    if isinstance(model, str | Path):
        module, data = load_checkpoint(model, family, classes, data)
        return module.to("cuda" if torch.cuda.is_available() else "cpu"), data
    if not isinstance(model, TRMModule):
        raise InputError(
            f"the model is a {type(model).__name__}, but must be a checkpoint, a name of the zoo or a TRMModule"
        )
    if not isinstance(data, PuzzleData):
        raise InputError(f"data is a {type(data).__name__}, but a module needs its family, such as Sudoku(size=9)")
    refuse_other_sizes(data, dict(model.hparams), "the module")
    return model, data
