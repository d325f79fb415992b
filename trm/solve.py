"""The command ``trm solve``: boards in, answers out."""

import json as json_format
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from trm.checkpoint import load_checkpoint
from trm.data import ARC, PuzzleData, Verdict
from trm.data.arc.ask import Question, ask
from trm.data.arc.grids import Grid
from trm.data.arc.sources import read_task
from trm.data.arc.tasks import Task
from trm.data.arc.text import draw_grids
from trm.data.arc.votes import Elected
from trm.data.base import Tokens, to_batch
from trm.errors import InputError
from trm.inference import HaltingRule, RuleName, halting_rule, think
from trm.module import TRMModule

BATCH = 256  # boards from standard input that are thought about together
VIEWS = 64  # symmetries of an ARC task that vote on its answers


def solve(
    checkpoint: str,
    board: str,
    json: bool = False,
    max_steps: int = 0,
    halt: RuleName = "head",
    halt_threshold: float = 0.5,
    family: str = "",
) -> int:
    """Solve a puzzle with a trained model.

    Exits with status 0 if every answer obeys the rules, else with 1. The rules are checked on the answer itself; the
    model's confidence is its halting probability.

    Args:
        checkpoint: a file written by ``trm fit``.
        board: the puzzle, row by row. Sudoku: digits, and '.' or '0' for a blank. Maze: '#' wall, '.' free, 'S' start,
            'G' goal, in quotes. ARC: a task file (.json), whose test inputs get two attempts each. '-' reads one puzzle
            per line from standard input.
        json: print one JSON object per puzzle.
        max_steps: most supervision steps to think for; 0 for as many as in training.
        halt: when to stop earlier: never; when the halting head says so; when the answer stays the same from one step
            to the next (stable); or when it obeys the rules.
        halt_threshold: probability above which the halting head says so; 0.5 as in training.
        family: the class the checkpoint was trained on if it is your own, such as my_puzzles.Futoshiki.
    """
    if max_steps < 0:
        raise InputError(f"max_steps is {max_steps}, but must be 0 or more")
    module, data = load_checkpoint(checkpoint, family)
    depth = max_steps or module.hparams["supervision_steps"]
    halting = halting_rule(halt, halt_threshold, data)
    if isinstance(data, ARC) and board.endswith(".json"):
        return _solve_task(module, data, Path(board), depth, halting, json)
    lines = (line.rstrip("\r\n") for line in sys.stdin if line.strip()) if board == "-" else iter([board])
    all_valid, count = True, 0
    while boards := list(islice(lines, BATCH)):
        for result in _results(module, data, [data.parse(board) for board in boards], depth, halting):
            print(json_format.dumps(result.as_dict(data)) if json else result.for_people(data), flush=True)
            all_valid &= result.verdict.valid
            count += 1
    if not count:
        raise InputError("standard input holds no puzzle; one per line is needed")
    return 0 if all_valid else 1


def _solve_task(module: TRMModule, data: ARC, path: Path, depth: int, halting: HaltingRule | None, json: bool) -> int:
    """Ask all test inputs of a task under ``VIEWS`` symmetries, let the answers vote, and print two attempts each."""
    task = read_task(path)
    if data.num_puzzles != module.hparams["num_puzzles"]:  # the rows of the table would stand for other puzzles
        raise InputError(
            f"the tasks of {data.source} make {data.num_puzzles} puzzles, but the checkpoint was trained on "
            f"{module.hparams['num_puzzles']}: they have changed since"
        )
    question = ask(data, task, VIEWS)
    if not question.known:
        print(f"{path}: the model was not trained on this task, so its answers mean little", file=sys.stderr)
    for first in range(0, len(question.ids), BATCH):
        part = slice(first, first + BATCH)
        batch = to_batch(question.rows.take(part))
        answers = think(module.core, batch.inputs, batch.puzzles, depth, halting)
        counted_as = torch.from_numpy(question.ids[part])
        question.votes.update(answers.tokens, answers.halt, batch._replace(puzzles=counted_as))
    elected = question.votes.elected()
    print(_task_as_json(question, elected) if json else _task_for_people(task, question, elected))
    return 0 if all(best and all(answer.grid.size for answer in best) for best in elected) else 1


def _task_as_json(question: Question, elected: list[list[Elected]]) -> str:
    """Return the attempts in Kaggle's form, and beside them what is known of them."""
    submission, unanswered = question.votes.submission()
    return json_format.dumps(
        {
            **submission,
            "votes": [[answer.votes for answer in best] for best in elected],
            "confidence": [[round(answer.confidence, 4) for answer in best] for best in elected],
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
        lines += [f"attempt {place}: {_describe(answer, pair.output)}" for place, answer in enumerate(best, 1)]
    scores = question.votes.compute()
    shown = [name for name in ("unanimous", "pass@1", "pass@2") if name in scores]
    return "\n".join([*lines, ", ".join(f"{name} {float(scores[name]):.0%}" for name in shown)])


def _describe(answer: Elected, solution: Grid | None) -> str:
    """Say how an answer was elected and, if the solution is known, whether it is right."""
    form = "" if answer.grid.size else "no grid, "
    mark = "" if solution is None else ", right" if np.array_equal(answer.grid, solution) else ", wrong"
    votes = f"{answer.votes} vote{'s' if answer.votes > 1 else ''}"
    return f"{form}{votes}, confidence {answer.confidence:.1%}{mark}"


class Result(NamedTuple):
    """What is known of one answer."""

    question: Tokens
    answer: Tokens
    verdict: Verdict
    steps: int
    confidence: float

    def as_dict(self, data: PuzzleData) -> dict[str, object]:
        """Return the result in plain values."""
        return {
            "question": data.write(self.question),
            "answer": data.write(self.answer),
            "valid": self.verdict.valid,
            "reason": self.verdict.reason,
            "steps": self.steps,
            "confidence": round(self.confidence, 4),
        }

    def for_people(self, data: PuzzleData) -> str:
        """Return the board and a sentence about it."""
        board = data.draw_board(self.answer, self.question, color=sys.stdout.isatty())
        reason = self.verdict.reason
        verdict = reason or "obeys the rules" if self.verdict.valid else f"breaks the rules: {reason}"
        steps = f"{self.steps} supervision step{'s' if self.steps > 1 else ''}"
        return f"{board}\n{verdict}; {steps}, confidence {self.confidence:.1%}"


def _results(
    module: TRMModule, data: PuzzleData, questions: list[Tokens], max_steps: int, halting: HaltingRule | None
) -> Iterator[Result]:
    inputs = torch.from_numpy(np.stack(questions).astype(np.int32))  # (B, L)
    answers = think(module.core, inputs, torch.zeros(len(inputs), dtype=torch.int32), max_steps, halting)
    confidences = answers.halt.sigmoid().tolist()
    for question, tokens, steps, confidence in zip(
        questions, answers.tokens.numpy(), answers.steps.tolist(), confidences, strict=True
    ):
        answer = tokens.astype(np.uint8)
        yield Result(question, answer, data.verify(question, answer), steps, confidence)
