"""The command ``trm solve``: boards in, answers out."""

import json as json_format
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from trm.checkpoints.load import load_checkpoint
from trm.data import ARC, PuzzleData
from trm.data.arc.ask import Question, ask, refuse_changed_tasks
from trm.data.arc.consistency import consistent
from trm.data.arc.grids import Grid
from trm.data.arc.sources import read_task
from trm.data.arc.tasks import Task
from trm.data.arc.text import draw_grids
from trm.data.arc.votes import Elected
from trm.data.samples import Tokens, to_batch
from trm.errors import InputError
from trm.inference import EarlyExit
from trm.inference.selection import SelectionName
from trm.solver import Solution, Solver

BATCH = 256  # boards from standard input that are thought about together
TASK_VIEWS = 64  # symmetries of an ARC task that vote on its answers


def solve(
    checkpoint: str,
    board: str,
    json: bool = False,
    depth: int = 0,
    breadth: int = 1,
    noise: float = 0.0,
    start_noise: float = 0.0,
    views: int = 0,
    select: SelectionName = "halting",
    halt: EarlyExit = "auto",
    halt_threshold: float = 0.5,
    budget: int = 0,
    abstain: float = 0.0,
    complete: bool = False,
    seed: int = 0,
    family: str = "",
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
        depth: most supervision steps to think for at a time; 0 for as many as in training.
        breadth: how often to think about each view of the puzzle, from the second time on with noise.
        noise: standard deviation of the noise on the latent before each supervision step.
        start_noise: that of the noise on answer and latent before the first step.
        views: symmetric forms of the puzzle to think about; 0 for 64 of an ARC task, else for 1.
        select: which of the answers to take: the one with the highest halting probability; the most frequent one
            (vote); likewise among the more confident half (confident); that of the state which changed least at its
            end (residual); or the first that obeys the rules, without looking further (verifier). The attempts at
            an ARC task are elected by vote.
        halt: early-exit rule: never, head (halting probability above a threshold), stable (answer unchanged by a step)
            or rules (answer is valid). auto is rules with the verifier, else head.
        halt_threshold: halting probability above which the rule head exits; 0.5 as in training.
        budget: most supervision steps to spend on a puzzle altogether; 0 for no limit.
        abstain: confidence below which an answer does not count.
        complete: where the answer breaks the rules, let an exact solver finish, led by the model; for Sudoku and Maze.
        seed: seed of views and noise.
        family: the class the checkpoint was trained on if it is your own, such as my_puzzles.Futoshiki.
    """
    module, data = load_checkpoint(checkpoint, family)
    is_task = isinstance(data, ARC) and board.endswith(".json")
    solver = Solver(
        (module, data),
        depth,
        breadth,
        noise,
        start_noise,
        1 if is_task else views or 1,  # the views of a task are its augmentations, each with a puzzle id
        select,
        halt,
        halt_threshold,
        budget,
        abstain,
        complete,
        seed,
        BATCH,
    )
    if is_task:
        return _solve_task(solver, Path(board), views or TASK_VIEWS, json)
    if isinstance(data, ARC):
        raise InputError(f"the puzzle is {board!r}, but a model of ARC needs the file of a task, such as TASK.json")
    all_good = True
    for boards in _standard_input(data) if board == "-" else [data.parse(board)[None]]:
        for solution in solver.solve(boards):
            print(json_format.dumps(_as_dict(solution, data)) if json else _for_people(solution, data), flush=True)
            all_good &= solution.verdict.valid and not solution.abstains
    if not (all_good or json or views > 1 or complete) and type(data).views is not PuzzleData.views:
        print("trm: --views 8 --select verifier asks symmetric forms too, and solves more", file=sys.stderr)
    return 0 if all_good else 1


def _standard_input(data: PuzzleData) -> Iterator[Tokens]:
    """Yield the puzzles of standard input as tokens, in batches (N, L).

    Raises:
        InputError: naming the line that holds none, after those before it, or if there is nothing at all.
    """
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
        raise InputError("standard input holds no puzzle; one per line is needed")


def _solve_task(solver: Solver, path: Path, views: int, json: bool) -> int:
    """Ask all test inputs of a task under its symmetries, let the answers vote, and print two attempts each."""
    module, data = solver.module, solver.data
    assert isinstance(data, ARC)
    if solver.select not in ("halting", "vote"):
        raise InputError(f"select is {solver.select!r}, but the attempts at an ARC task are elected by vote")
    task = read_task(path)
    refuse_changed_tasks(data, module.hparams["num_puzzles"])
    question = ask(data, task, views)
    if not question.known:
        print(f"{path}: the model was not trained on this task, so its answers mean little", file=sys.stderr)
    rollouts = solver.roll_out(question.rows.inputs, question.rows.puzzle_ids)
    batch = to_batch(question.rows.take(rollouts.puzzles))._replace(
        puzzle_ids=torch.from_numpy(question.ids[rollouts.puzzles])
    )
    question.votes.update(torch.from_numpy(rollouts.answers), torch.from_numpy(rollouts.halt), batch)
    elected = question.votes.elected()
    print(_task_as_json(task, question, elected) if json else _task_for_people(task, question, elected))
    return 0 if all(best and all(answer.grid.size for answer in best) for best in elected) else 1


def _task_as_json(task: Task, question: Question, elected: list[list[Elected]]) -> str:
    """Return the attempts in Kaggle's form, and beside them what is known of them."""
    submission, unanswered = question.votes.submission()
    return json_format.dumps(
        {
            **submission,
            "votes": [[answer.votes for answer in best] for best in elected],
            "confidence": [[round(answer.confidence, 4) for answer in best] for best in elected],
            "consistent": [
                [consistent(task, pair.input, answer.grid).valid for answer in best]
                for pair, best in zip(task.test, elected, strict=True)
            ],
            "known": question.known,
            "unanswered": unanswered,
            "scores": {name: round(float(share), 4) for name, share in question.votes.compute().items()},
        }
    )


def _task_for_people(task: Task, question: Question, elected: list[list[Elected]]) -> str:
    """Return each test input beside its attempts, a line about each attempt, and the scores."""
    submission, _ = question.votes.submission()
    lines = []
    for number, (pair, attempts, best) in enumerate(zip(task.test, submission[task.name], elected, strict=True), 1):
        grids = [pair.input, *(np.array(attempts[name], dtype=np.uint8) for name in sorted(attempts))]
        lines.append(f"test input {number} and two attempts\n{draw_grids(grids, sys.stdout.isatty())}")
        for place, answer in enumerate(best, 1):
            verdict = consistent(task, pair.input, answer.grid)
            doubt = "" if verdict.valid else f"; the train pairs speak against it: {verdict.reason}"
            lines.append(f"attempt {place}: {_describe(answer, pair.output)}{doubt}")
    scores = question.votes.compute()
    shown = [name for name in ("unanimous", "pass@1", "pass@2") if name in scores]
    return "\n".join([*lines, ", ".join(f"{name} {float(scores[name]):.0%}" for name in shown)])


def _describe(answer: Elected, solution: Grid | None) -> str:
    """Say how an answer was elected and, if the solution is known, whether it is right."""
    form = "" if answer.grid.size else "no grid, "
    mark = "" if solution is None else ", right" if np.array_equal(answer.grid, solution) else ", wrong"
    votes = f"{answer.votes} vote{'s' if answer.votes > 1 else ''}"
    return f"{form}{votes}, confidence {answer.confidence:.1%}{mark}"


def _as_dict(solution: Solution, data: PuzzleData) -> dict[str, object]:
    """Return a solution in plain values."""
    return {
        "question": data.write(solution.question),
        "answer": data.write(solution.answer),
        "valid": solution.verdict.valid,
        "reason": solution.verdict.reason,
        "abstains": solution.abstains,
        "steps": solution.steps,
        "gflop": round(solution.gflop, 3),
        "confidence": round(solution.confidence, 4),
        "agreement": round(solution.agreement, 4),
        "rollouts": solution.rollouts,
        "guesses": solution.completion.guesses if solution.completion else None,
        "alternatives": [
            {
                "answer": data.write(other.answer),
                "valid": other.valid,
                "weight": round(other.weight, 4),
                "votes": other.votes,
                "confidence": round(other.confidence, 4),
            }
            for other in solution.candidates[1:]
        ],
    }


def _for_people(solution: Solution, data: PuzzleData) -> str:
    """Return the board and a sentence about it."""
    board = data.draw_board(solution.answer, solution.question, color=sys.stdout.isatty())
    verdict = solution.verdict.in_words
    steps = f"{solution.steps} supervision step{'s' if solution.steps > 1 else ''}"
    if solution.rollouts > 1:
        steps += f" in {solution.rollouts} rollouts, of which {solution.agreement:.0%} agree"
    abstains = "abstains: " if solution.abstains else ""
    if solution.completion:
        verdict = f"completed by the exact solver with {solution.completion.guesses} guesses, {verdict}"
    return f"{board}\n{abstains}{verdict}; {steps}, confidence {solution.confidence:.1%}"
