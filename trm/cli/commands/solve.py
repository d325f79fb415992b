"""The command ``trm solve``: solves puzzles given as text, in files, on standard input, or by name."""

import json as json_format
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Literal

from trm.arguments import EarlyExit, SelectionName
from trm.errors import InputError

if TYPE_CHECKING:
    from trm.cli.puzzles import Puzzle
    from trm.data.arc.tasks import Task
    from trm.solution import Solution
    from trm.solver import Solver

BATCH = 256  # puzzles that are solved together


def solve(
    checkpoint: str,
    puzzles: list[str],
    json: bool = False,
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
    adapt_seconds: float | None = None,
    seed: int = 0,
    family: str = "",
    module: str = "",
) -> int:
    """Solve puzzles with a trained model.

    A terminal shows each answer as a picture; a pipe gets it as one line, with the verdict behind a semicolon. Both can
    be read back. Exits with status 0 if every answer obeys the rules and the model abstains from none, else with 1;
    with 2 if a puzzle cannot be read, after the others have been answered. The rules are checked on the answer itself;
    the model's confidence is its halting probability.

    Args:
        checkpoint: a file written by ``trm fit``, or the name of a model; see ``trm zoo --help``.
        puzzles: one or more of: the text of a puzzle; a file of puzzles, such as boards.txt; '-' for those of standard
            input; test:N for sample N of the test split, counted from 0. Sudoku: digits row by row, and '.', '0', '_'
            or '*' for a blank. Maze, in quotes: '#' wall, '.' free, 'S' start, 'G' goal. ARC: a file or folder of
            tasks, or the name of a task; each test input gets two attempts. Pairs: as in their file. Sudokus and mazes
            may have another size than in training if no parameter of the network depends on it.
        json: print one JSON object per puzzle.
        depth: most supervision steps of a rollout; null for as many as in training.
        breadth: rollouts of each view of the puzzle; all but the first, or the first of each latent, have noise.
        noise: standard deviation of the noise on the latent before each supervision step.
        start_noise: standard deviation of the noise on answer and latent before the first step.
        views: symmetric forms of the puzzle to solve; null for 64 of an ARC task, else for what ``trm tune`` stored in
            the checkpoint, else for 1.
        select: selection among the answers: the highest halting probability (halting); the fewest steps until it halted
            (first); the highest mean probability of its tokens (top1); majority vote (vote), or among the more
            confident half (confident); the state that changed least in its last step (residual); or the first answer
            that obeys the rules, which ends the search (verifier). The attempts at an ARC task are always elected by
            vote.
        halt: early-exit rule: never, head (halting probability above a threshold), stable (answer unchanged by a step)
            or rules (answer is valid). auto is rules with the verifier, else what ``trm tune`` stored in
            the checkpoint, else head.
        halt_threshold: halting probability above which the rule head exits; null for the one that is stored, else for
            0.5, as in training.
        budget: most supervision steps of a puzzle, over all rollouts; null for no limit.
        abstain: confidence below which the model abstains from an answer; auto for the threshold that the latest
            validation in training chose.
        complete: if the answer breaks the rules, complete it with an exact solver guided by the model; for Sudoku and
            Maze.
        adapt_seconds: seconds in which to train the model on the demonstration pairs of the ARC tasks before it answers
            them, as ``trm adapt`` does; null for no training.
        seed: seed of views and noise, and of adaptation.
        family: the class the checkpoint was trained on if it is your own, such as my_puzzles.Futoshiki; of a mixture
            the name of the family, such as maze.
        module: your own classes of the module and its network, separated by a comma, such as my_nets.Gated.
    """
    from trm.checkpoints.load import load_checkpoint
    from trm.cli.puzzles import SAMPLE, Refusal, find_puzzles, readable, refusal_of
    from trm.data import ARC, PuzzleData
    from trm.solver import Solver

    model, data = load_checkpoint(checkpoint, family, module)
    tasks = [text for text in puzzles if isinstance(data, ARC) and not text.startswith(SAMPLE)]
    if adapt_seconds is not None:
        from trm.adapt import need_arc

        need_arc(model, data)
        if others := [text for text in puzzles if text not in tasks]:
            raise InputError(f"adapt_seconds is {adapt_seconds:g}, but {others[0]} is no task; pass tasks alone")
    solver = Solver(
        model,
        data,
        depth=depth,
        breadth=breadth,
        noise=noise,
        start_noise=start_noise,
        views=1 if tasks else views,  # the views of a task are its augmentations, each with a puzzle id
        select=select,
        halt=halt,
        halt_threshold=halt_threshold,
        budget=budget,
        abstain=abstain,
        complete=complete,
        seed=seed,
        batch_size=BATCH,
    )
    refusals: list[Refusal] = []
    found = find_puzzles(model, data, (text for text in puzzles if text not in tasks))
    all_good = _answer_all(solver, readable(found, refusals), json)
    if tasks and isinstance(data, ARC):
        from trm.cli.commands.solve_task import adapt_to, read_tasks, solve_tasks

        asked: Iterable[Task] = read_tasks(data, tasks, refusals)
        if adapt_seconds is not None and (asked := list(asked)):
            print(adapt_to(solver, asked, seconds=adapt_seconds, seed=seed).summary, file=sys.stderr)
        all_good &= solve_tasks(solver, asked, views, json)
    hint = solver.has_rules and type(data).views is not PuzzleData.views
    if hint and not (all_good or json or (views or 1) > 1 or complete):
        print("trm: --views 8 --select verifier also tries symmetric forms, and solves more", file=sys.stderr)
    if refusals:
        raise refusal_of(refusals)
    return 0 if all_good else 1


def _answer_all(solver: "Solver", puzzles: "Iterator[Puzzle]", json: bool) -> bool:
    """Answer puzzles in batches, print the answers in order, and return whether all obey the rules."""
    import numpy as np

    all_good = True
    while batch := list(islice(puzzles, BATCH)):
        ids = np.array([puzzle.puzzle_id for puzzle in batch], dtype=np.int32)
        solutions = solver.solve_all([puzzle.question for puzzle in batch], ids)
        for puzzle, solution in zip(batch, solutions, strict=True):
            print(_as_json(puzzle, solution) if json else _as_text(puzzle, solution), flush=True)
            all_good &= solution.verdict.valid and not solution.abstains
    return all_good


def _as_json(puzzle: "Puzzle", solution: "Solution") -> str:
    """Return a solution as JSON; with whether it is right, if that is known."""
    right = solution.equals(puzzle.label)
    return json_format.dumps(solution.as_dict() | ({} if right is None else {"correct": right}))


def _as_text(puzzle: "Puzzle", solution: "Solution") -> str:
    """Return a solution as a picture for a terminal, or as a line for a pipe; with whether it is right, if known."""
    right = solution.equals(puzzle.label)
    mark = "" if right is None else f", {'equal to' if right else 'different from'} the known answer"
    return (solution.render(color=True) if sys.stdout.isatty() else solution.as_line()) + mark
