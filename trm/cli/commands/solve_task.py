"""``trm solve`` on an ARC task: solves its test inputs under many symmetries, and elects answers by vote."""

import json as json_format
import sys
from collections.abc import Iterable

import numpy as np
import torch

from trm.cli.puzzles import Refusal, find_tasks, readable
from trm.data import ARC
from trm.data.arc.consistency import consistent
from trm.data.arc.grids import Grid
from trm.data.arc.query import TaskQuery, query_task, refuse_changed_tasks
from trm.data.arc.tasks import Task
from trm.data.arc.text import render_grids
from trm.data.arc.votes import Elected
from trm.data.samples import to_batch
from trm.errors import InputError
from trm.solver import Solver

TASK_VIEWS = 64  # symmetries of a task under which it is solved


def solve_tasks(solver: Solver, given: Iterable[str], views: int | None, json: bool, refusals: list[Refusal]) -> bool:
    """Solve the tasks that arguments name, each as ``solve_task`` does.

    Args:
        solver: the solver, with the model.
        given: files and names of tasks; see ``find_tasks``.
        views: symmetries; None for ``TASK_VIEWS``.
        json: print one JSON object per task.
        refusals: tasks that cannot be answered are appended here.

    Returns:
        Whether every attempt is a grid and the model abstains from no test input.

    Raises:
        InputError: if the model's puzzle ids stand for other tasks.
    """
    module, data = solver.module, solver.data
    if not isinstance(data, ARC):
        raise InputError(f"a task of ARC needs a model of ARC, but this one solves {type(data).__name__}")
    if solver.select not in ("halting", "vote"):
        raise InputError(f"select is {solver.select!r}, but the attempts at an ARC task are elected by vote")
    refuse_changed_tasks(data, module.hparams["num_puzzles"])
    all_good = True
    for text in given:
        for task in readable(find_tasks(data, text), refusals):
            try:
                all_good &= solve_task(solver, data, task, views or TASK_VIEWS, json)
            except InputError as error:
                refusals.append(Refusal(f"task {task.name}", error))
    return all_good


def solve_task(solver: Solver, data: ARC, task: Task, views: int, json: bool) -> bool:
    """Solve all test inputs of a task under its symmetries, and print the two most frequent answers of each.

    The model abstains from a test input if the confidence in the first attempt is below the option ``abstain``.

    Returns:
        Whether every attempt is a grid and the model abstains from no test input.

    Raises:
        InputError: if the task has no test input, or a grid that is larger than the model's canvas.
    """
    question = query_task(data, task, views)
    if not question.known:
        print(f"task {task.name}: the model was not trained on this task, so its answers mean little", file=sys.stderr)
    rollouts = solver.roll_out(question.samples.inputs, question.samples.puzzle_ids)
    batch = to_batch(question.samples.take(rollouts.puzzles))._replace(
        puzzle_ids=torch.from_numpy(question.ids[rollouts.puzzles])
    )
    question.votes.update(torch.from_numpy(rollouts.answers), torch.from_numpy(rollouts.halt), batch)
    elected = question.votes.elected()
    shown = _task_as_json if json else _task_for_people
    print(shown(task, question, elected, solver.abstain), flush=True)
    return all(
        best and best[0].confidence >= solver.abstain and all(answer.grid.size for answer in best) for best in elected
    )


def _task_as_json(task: Task, question: TaskQuery, elected: list[list[Elected]], abstain: float) -> str:
    """Return the attempts in Kaggle's format, with votes, confidence, abstentions, consistency and scores."""
    submission, unanswered = question.votes.submission()
    return json_format.dumps(
        {
            **submission,
            "votes": [[answer.votes for answer in best] for best in elected],
            "confidence": [[round(answer.confidence, 4) for answer in best] for best in elected],
            "abstains": [not best or best[0].confidence < abstain for best in elected],
            "abstain_below": abstain,
            "consistent": [
                [consistent(task, pair.input, answer.grid).valid for answer in best]
                for pair, best in zip(task.test, elected, strict=True)
            ],
            "known": question.known,
            "unanswered": unanswered,
            "scores": {name: round(float(share), 4) for name, share in question.votes.compute().items()},
        }
    )


def _task_for_people(task: Task, question: TaskQuery, elected: list[list[Elected]], abstain: float) -> str:
    """Return each test input beside its attempts, a line about each attempt, and the scores."""
    submission, _ = question.votes.submission()
    lines = []
    for number, (pair, attempts, best) in enumerate(zip(task.test, submission[task.name], elected, strict=True), 1):
        grids = [pair.input, *(np.array(attempts[name], dtype=np.uint8) for name in sorted(attempts))]
        lines.append(f"test input {number} and two attempts\n{render_grids(grids, sys.stdout.isatty())}")
        for place, answer in enumerate(best, 1):
            verdict = consistent(task, pair.input, answer.grid)
            doubt = "" if verdict.valid else f"; inconsistent with the train pairs: {verdict.reason}"
            abstains = f"abstains below {abstain:.1%}: " if place == 1 and answer.confidence < abstain else ""
            lines.append(f"attempt {place}: {abstains}{_describe(answer, pair.output)}{doubt}")
    scores = question.votes.compute()
    shown = [name for name in ("unanimous", "pass@1", "pass@2") if name in scores]
    return "\n".join([*lines, ", ".join(f"{name} {float(scores[name]):.0%}" for name in shown)])


def _describe(answer: Elected, solution: Grid | None) -> str:
    """Return the votes and confidence of an answer and, if the solution is known, whether it is right."""
    form = "" if answer.grid.size else "no grid, "
    mark = "" if solution is None else ", right" if np.array_equal(answer.grid, solution) else ", wrong"
    votes = f"{answer.votes} vote{'s' if answer.votes > 1 else ''}"
    return f"{form}{votes}, confidence {answer.confidence:.1%}{mark}"
