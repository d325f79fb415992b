"""The command ``trm solve``: solves puzzles of text, standard input or an ARC task file."""

import json as json_format
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from trm.arguments import EarlyExit, SelectionName
from trm.errors import InputError

if TYPE_CHECKING:
    from trm.data import PuzzleData
    from trm.data.samples import Tokens

BATCH = 256  # boards from standard input that are solved together


def solve(
    checkpoint: str,
    board: str,
    json: bool = False,
    depth: int | None = None,
    breadth: int = 1,
    noise: float = 0.0,
    start_noise: float = 0.0,
    views: int | None = None,
    select: SelectionName = "halting",
    halt: EarlyExit = "auto",
    halt_threshold: float = 0.5,
    budget: int | None = None,
    abstain: float = 0.0,
    complete: bool = False,
    seed: int = 0,
    family: str = "",
    module: str = "",
) -> int:
    """Solve a puzzle with a trained model.

    Exits with status 0 if every answer obeys the rules, else with 1. The rules are checked on the answer itself; the
    model's confidence is its halting probability.

    Args:
        checkpoint: a file written by ``trm fit``, or the name of a model of the zoo.
        board: the puzzle, row by row. Sudoku: digits, and '.' or '0' for a blank. Maze: '#' wall, '.' free, 'S' start,
            'G' goal, in quotes. ARC: a task file (.json), whose test inputs get two attempts each. '-' reads one puzzle
            per line from standard input.
        json: print one JSON object per puzzle.
        depth: most supervision steps of a rollout; null for as many as in training.
        breadth: rollouts of each view of the puzzle; all but the first have noise.
        noise: standard deviation of the noise on the latent before each supervision step.
        start_noise: standard deviation of the noise on answer and latent before the first step.
        views: symmetric forms of the puzzle to solve; null for 64 of an ARC task, else for 1.
        select: selection among the answers: the highest halting probability (halting); majority vote (vote), or among
            the more confident half (confident); the state that changed least in its last step (residual); or the first
            answer that obeys the rules, which ends the search (verifier). The attempts at an ARC task are
            always elected by vote.
        halt: early-exit rule: never, head (halting probability above a threshold), stable (answer unchanged by a step)
            or rules (answer is valid). auto is rules with the verifier, else head.
        halt_threshold: halting probability above which the rule head exits; 0.5 as in training.
        budget: most supervision steps of a puzzle, over all rollouts; null for no limit.
        abstain: confidence below which the model abstains.
        complete: if the answer breaks the rules, complete it with an exact solver guided by the model; for Sudoku and
            Maze.
        seed: seed of views and noise.
        family: the class the checkpoint was trained on if it is your own, such as my_puzzles.Futoshiki.
        module: your own classes of the module and its network, separated by a comma, such as my_nets.Gated.
    """
    from trm.checkpoints.load import load_checkpoint
    from trm.data import ARC, PuzzleData
    from trm.solver import Solver

    model, data = load_checkpoint(checkpoint, family, module)
    is_task = isinstance(data, ARC) and board.endswith(".json")
    solver = Solver(
        model,
        data,
        depth=depth,
        breadth=breadth,
        noise=noise,
        start_noise=start_noise,
        views=1 if is_task else views or 1,  # the views of a task are its augmentations, each with a puzzle id
        select=select,
        halt=halt,
        halt_threshold=halt_threshold,
        budget=budget,
        abstain=abstain,
        complete=complete,
        seed=seed,
        batch_size=BATCH,
    )
    if is_task:
        from trm.cli.commands.solve_task import solve_task

        return solve_task(solver, Path(board), views, json)
    if isinstance(data, ARC):
        raise InputError(f"the puzzle is {board!r}, but a model of ARC needs the file of a task, such as TASK.json")
    all_good = True
    for boards in _standard_input(data) if board == "-" else [data.parse(board)[None]]:
        for solution in solver.solve_all(boards):
            print(json_format.dumps(solution.as_dict()) if json else solution.render(sys.stdout.isatty()), flush=True)
            all_good &= solution.verdict.valid and not solution.abstains
    if not (all_good or json or (views or 1) > 1 or complete) and type(data).views is not PuzzleData.views:
        print("trm: --views 8 --select verifier also tries symmetric forms, and solves more", file=sys.stderr)
    return 0 if all_good else 1


def _standard_input(data: "PuzzleData") -> Iterator["Tokens"]:
    """Yield the puzzles of standard input as tokens, in batches (N, L).

    Raises:
        InputError: naming a line without a puzzle, after the puzzles before it; or if the input is empty.
    """
    import numpy as np

    boards: list[Tokens] = []
    number = 0
    lines = ((number, line.rstrip("\r\n")) for number, line in enumerate(sys.stdin, 1) if line.strip())
    for number, line in lines:
        try:
            boards.append(data.parse(line))
        except InputError as error:
            if boards:
                yield np.stack(boards)
            raise InputError(f"line {number} of standard input: {error}") from error
        if len(boards) == BATCH:
            yield np.stack(boards)
            boards = []
    if boards:
        yield np.stack(boards)
    if not number:
        raise InputError("standard input contains no puzzle; pass one per line")
