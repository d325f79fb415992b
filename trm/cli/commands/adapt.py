"""The command ``trm adapt``: trains a model on the demonstration pairs of unseen ARC tasks, and answers them."""

import sys
from typing import Literal

from trm.errors import InputError, check_range


def adapt(
    checkpoint: str,
    tasks: list[str],
    *,
    output: str = "",
    seconds: float | None = None,
    steps: int | None = None,
    parameters: Literal["all", "embeddings"] = "all",
    slots: int | None = None,
    views: int | None = None,
    json: bool = False,
    seed: int = 0,
    force: bool = False,
    module: str = "",
) -> int:
    """Train a model on the demonstration pairs of unseen ARC tasks, write it, and answer the tasks.

    The model gets puzzle ids for the augmentations of the tasks. Their test outputs take no part in it. The checkpoint
    is read by all commands; it can be adapted again.

    Args:
        checkpoint: one of ARC, a file written by ``trm fit``, or the name of a model; see ``trm zoo --help``.
        tasks: one or more files or folders of tasks, or '-' for standard input; they are trained on together.
        output: the checkpoint to write, -o for short.
        seconds: budget of training, which ends before a step that may not fit into it.
        steps: number of training steps, which gives the same result again; with seconds, whichever ends first.
        parameters: which are trained: all, or only the embeddings of the tasks.
        slots: puzzles in training at once; null for as many as in the training of the model, but no more than there are
            train pairs under all augmentations.
        views: symmetries under which a task is answered; null for 64.
        json: print one JSON object per task.
        seed: seed of the order of the pairs.
        force: overwrite the output.
        module: your own classes of the module and its network, separated by a comma, such as my_nets.Gated.
    """
    from trm.adapt import need_arc
    from trm.checkpoints.load import load_checkpoint
    from trm.cli.commands.solve_task import adapt_to, read_tasks, solve_tasks
    from trm.cli.puzzles import Refusal, refusal_of
    from trm.data.atomic import CHECKPOINT, check_ending, refuse_overwriting
    from trm.solver import Solver
    from trm.zoo import local

    check_range("adapt", 1, views=views)
    if not output:
        raise InputError("there is nothing to write: pass -o FILE, or use trm solve with --adapt_seconds")
    check_ending(output, *CHECKPOINT)
    refuse_overwriting(output, force, local(checkpoint), *tasks)
    model, data = load_checkpoint(checkpoint, module=module)
    refusals: list[Refusal] = []
    found = list(read_tasks(need_arc(model, data), tasks, refusals))
    if refusals:
        raise refusal_of(refusals)
    solver = Solver(model, data)
    adapted = adapt_to(solver, found, seconds=seconds, steps=steps, parameters=parameters, slots=slots, seed=seed)
    adapted.save(output, checkpoint)
    print(f"{output}: {adapted.summary}", file=sys.stderr if json else sys.stdout)
    return 0 if solve_tasks(solver, found, views, json) else 1
