"""``trm solve`` on an ARC task: solves its test inputs under many symmetries, and elects answers by vote."""

import json as json_format
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from trm.adapt import Adapted, adapt
from trm.cli.configuration import quiet
from trm.cli.puzzles import Refusal, find_tasks, readable
from trm.data import ARC
from trm.data.arc.consistency import consistent
from trm.data.arc.grids import Grid
from trm.data.arc.query import query_task, refuse_changed_tasks, refuse_unanswerable
from trm.data.arc.tasks import Task
from trm.data.arc.text import render_grids
from trm.data.arc.votes import Elected
from trm.errors import InputError, counted
from trm.solver import Solver
from trm.task_solver import TASK_VIEWS, TaskSolution, solve_queries


def read_tasks(data: ARC, given: Iterable[str], refusals: list[Refusal]) -> Iterator[Task]:
    """Yield the tasks that arguments name and that a model can answer.

    Args:
        data: the family of the model.
        given: files and names of tasks; see ``find_tasks``.
        refusals: tasks that cannot be answered are appended here.
    """
    for text in given:
        for task in readable(find_tasks(data, text), refusals):
            try:
                refuse_unanswerable(data, task)
            except InputError as error:
                refusals.append(Refusal(f"task {task.name}", error))
            else:
                yield task


def adapt_to(solver: Solver, tasks: Sequence[Task], **options: Any) -> Adapted:
    """Train the model of a solver on the demonstration pairs of tasks, with a progress bar on a terminal.

    Args:
        solver: the solver; it then has the adapted model.
        tasks: the tasks.
        **options: arguments of ``trm.adapt.adapt``.

    Raises:
        InputError: if an argument or a task is refused, or the budget is too short for one step.
    """
    quiet()
    log = logging.getLogger("lightning.pytorch")
    level = log.level
    log.setLevel(logging.WARNING)  # without lines on the devices, and on the end of training
    try:
        adapted = adapt(solver.module, solver.data, tasks, progress=sys.stdout.isatty(), **options)
    finally:
        log.setLevel(level)
    solver.module, solver.data = adapted.module.to(solver.module.device), adapted.data
    return adapted


def solve_tasks(solver: Solver, tasks: Iterable[Task], views: int | None, json: bool) -> bool:
    """Solve tasks, each as ``solve_task`` does.

    Args:
        solver: the solver, with the model.
        tasks: the tasks.
        views: symmetries; None for ``TASK_VIEWS``.
        json: print one JSON object per task.

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
    for task in tasks:
        all_good &= solve_task(solver, data, task, views or TASK_VIEWS, json)
    return all_good


def solve_task(solver: Solver, data: ARC, task: Task, views: int, json: bool) -> bool:
    """Solve all test inputs of a task under its symmetries, and print the two most frequent answers of each.

    The model abstains from a test input if the confidence in the first attempt is below the option ``abstain``.

    Returns:
        Whether every attempt is a grid and the model abstains from no test input.

    Raises:
        InputError: if the task has no test input, or a grid that is larger than the model's canvas.
    """
    query = query_task(data, task, views)
    if not query.known:
        print(
            f"task {task.name}: the model was not trained on this task, so its answers mean little; trm adapt trains "
            "it on the task's pairs",
            file=sys.stderr,
        )
    (solution,) = solve_queries(solver, [(task, query)])
    print(_as_json(solution) if json else _for_people(solution), flush=True)
    return solution.complete and not any(solution.abstains)


def _as_json(solution: TaskSolution) -> str:
    """Return the solution as an object with the attempts under the name of the task, as in Kaggle's format."""
    facts = solution.as_dict()
    return json_format.dumps({solution.task.name: facts.pop("attempts"), **facts})


def _for_people(solution: TaskSolution) -> str:
    """Return each test input beside its attempts, a line about each attempt, and the scores."""
    task, votes, lines = solution.task, solution.query.votes, []
    submission, _ = votes.submission()
    tests = zip(task.test, submission[task.name], solution.elected, strict=True)
    for number, (pair, attempts, best) in enumerate(tests, 1):
        grids = [pair.input, *(np.array(attempts[name], dtype=np.uint8) for name in sorted(attempts))]
        lines.append(f"test input {number} and two attempts\n{render_grids(grids, sys.stdout.isatty())}")
        for place, answer in enumerate(best, 1):
            verdict = consistent(task, pair.input, answer.grid)
            doubt = "" if verdict.valid else f"; inconsistent with the train pairs: {verdict.reason}"
            abstains = (
                f"abstains below {solution.abstain:.1%}: " if place == 1 and solution.abstains[number - 1] else ""
            )
            lines.append(f"attempt {place}: {abstains}{_describe(answer, pair.output)}{doubt}")
    scores = votes.compute()
    shown = [name for name in ("unanimous", "pass@1", "pass@2") if name in scores]
    return "\n".join([*lines, ", ".join(f"{name} {float(scores[name]):.0%}" for name in shown)])


def _describe(answer: Elected, solution: Grid | None) -> str:
    """Return the votes and confidence of an answer and, if the solution is known, whether it is right."""
    form = "" if answer.grid.size else "no grid, "
    mark = "" if solution is None else ", right" if np.array_equal(answer.grid, solution) else ", wrong"
    votes = counted(answer.votes, "vote")
    return f"{form}{votes}, confidence {answer.confidence:.1%}{mark}"
