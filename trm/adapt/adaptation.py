"""``adapt``: trains a model of ARC on the demonstration pairs of tasks, within a budget.

The puzzle embedding is extended by an id for each augmentation of a new task. Their vectors start at the mean of those
that were trained, as in the official code. All parameters are then trained, or the puzzle embedding alone (arXiv
2511.02886 compares the two). Test pairs take no part in it.
"""

import copy
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from lightning.pytorch import Trainer

from trm.adapt.budget import AdaptationBudget
from trm.callbacks.ema import StepEMA
from trm.callbacks.progress import Progress
from trm.checkpoints.files import read_checkpoint
from trm.checkpoints.finetune import origin
from trm.data import ARC, PuzzleData
from trm.data.arc.grids import Grid
from trm.data.arc.query import find_known, has_pairs, refuse_changed_tasks, refuse_unanswerable
from trm.data.arc.tasks import Task, checked, write_demonstrations
from trm.errors import InputError, check_choice, check_whole, counted
from trm.module import TRMModule

Parameters = Literal["all", "embeddings"]
WARMUP_STEPS = 10
"""Steps in which the learning rates rise: the first moment of a new AdamATan2 averages about ten gradients."""


class Adapted(NamedTuple):
    """A model after adaptation."""

    module: TRMModule
    """The module, with the averaged parameters, in evaluation mode on the CPU."""
    data: ARC
    """Its family, with the tasks that were added."""
    steps: int
    """Training steps taken."""
    seconds: float
    """Seconds that adaptation took, by the clock of the budget."""
    loss: float
    """Mean loss of the answers in the last step."""
    trainer: Trainer
    """The trainer that adapted it."""

    @property
    def summary(self) -> str:
        """One line: tasks, steps, seconds and loss."""
        count = self.data.training_puzzles
        return (
            f"adapted to {counted(count, 'task')} in {counted(self.steps, 'step')} "
            f"and {self.seconds:.3g} seconds, loss {self.loss:.3g}"
        )

    def save(self, path: str | Path, base: str | Path) -> None:
        """Write a checkpoint that all commands read; training does not resume from it.

        Args:
            path: the file.
            base: the checkpoint from which adaptation started, or the name of a model.

        Raises:
            InputError: if it cannot be written.
        """
        self.module.started_from = origin(read_checkpoint(base), base)
        self.trainer.save_checkpoint(path, weights_only=True)


def adapt(
    module: TRMModule,
    data: PuzzleData,
    tasks: Iterable[Task],
    *,
    seconds: float | None = None,
    steps: int | None = None,
    parameters: Parameters = "all",
    slots: int | None = None,
    seed: int = 0,
    progress: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Adapted:
    """Train a model on the train pairs of tasks under the augmentations of its family, as ``trm fit`` trains.

    Learning rates are those of the checkpoint, constant after a short warm-up. A number of steps gives the same
    parameters at every call; a number of seconds does not.

    Args:
        module: the trained module; a copy of it is adapted.
        data: its family, ``ARC``; it is not changed either.
        tasks: the tasks, each counted once. Those that the model was trained on keep their puzzle ids.
        seconds: budget; training ends before a step that may not fit into it.
        steps: number of training steps; with both, whichever ends first.
        parameters: which are trained: all, or only the embeddings of the tasks.
        slots: puzzles in training at once; None for as many as in the training of the model, but no more than there
            are train pairs under all augmentations.
        seed: seed of the order of the pairs and of the exploration of halting.
        progress: show a progress bar.
        clock: the clock of the budget.

    Raises:
        InputError: if the model is not one of ARC or has no puzzle embedding, a task cannot be used, an argument is out
            of its range, or the budget is too short for one step.
    """
    check_choice("adapt", get_args(Parameters), parameters=parameters)
    check_whole("adapt", 1, steps=steps, slots=slots)
    check_whole("adapt", 0, 2**32 - 1, seed=seed)
    if seed is None:
        raise InputError("adapt.seed is None, but must be a whole number")
    if seconds is None and steps is None:
        raise InputError("adaptation needs an end: pass seconds or steps")
    budget = AdaptationBudget(sys.float_info.max if seconds is None else seconds, clock)
    found = _checked(tasks)
    family = _extended(need_arc(module, data), found, slots)
    family.draw_from({_index(family, task): _pairs(task) for task in found}, seed)
    module = copy.deepcopy(module)
    _prepare(module, family, seed)
    trainer = Trainer(
        accelerator="auto",
        devices=1,
        max_steps=steps or -1,
        max_epochs=-1,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=progress,
        callbacks=[StepEMA(warmup=True), budget, *([Progress()] if progress else [])],
    )
    module.core.requires_grad_(parameters == "all")
    trainer.fit(module.train(), datamodule=family)
    module.core.requires_grad_(True)
    module.slots = None  # they are not part of the result
    loss = float(trainer.callback_metrics["train/answer_loss"])
    return Adapted(module.eval(), family, trainer.global_step, budget.spent, loss, trainer)


def need_arc(module: TRMModule, data: PuzzleData) -> ARC:
    """Return the family of a model that can be adapted.

    Raises:
        InputError: if it is not ``ARC``, or the model has no puzzle embedding.
    """
    if not isinstance(module, TRMModule):
        raise InputError(f"module is a {type(module).__name__}, but a TRMModule is adapted, as load_checkpoint returns")
    if not isinstance(data, ARC):
        raise InputError(
            f"the model solves {type(data).__name__}, but only one of ARC can be adapted, whose tasks have puzzle ids "
            "of their own; to train another on further puzzles, use trm fit --weights"
        )
    if module.core.puzzle_embedding is None:
        raise InputError(
            "the model has no puzzle embedding (model.num_puzzles or model.puzzle_tokens is 0), but adaptation needs "
            "one, which it extends by the new tasks"
        )
    refuse_changed_tasks(data, module.hparams["num_puzzles"])
    return data


def _checked(tasks: Iterable[Task]) -> list[Task]:
    """Return the tasks, each once.

    Raises:
        InputError: if there is none, or one is malformed.
    """
    if isinstance(tasks, Task | str | Path) or not isinstance(tasks, Iterable):
        raise InputError(f"tasks is a {type(tasks).__name__}, but a list of tasks is needed, as in adapt(..., [task])")
    found = {write_demonstrations(task): task for task in map(checked, tasks)}
    if not found:
        raise InputError("there is no task to adapt to")
    return list(found.values())


def _extended(data: ARC, tasks: Sequence[Task], slots: int | None) -> ARC:
    """Return the family with the tasks that are new to it, one training step a batch.

    Raises:
        InputError: if a task cannot be used.
    """
    for task in tasks:
        refuse_unanswerable(data, task)
    new = [task for task in tasks if not _is_known(data, task)]
    different = sum(len(_pairs(task)) for task in tasks) * (1 + data.augmentations)
    return data.with_tasks(new, slots=slots or min(data.slots, different), steps_per_batch=1, workers=0)


def _is_known(data: ARC, task: Task) -> bool:
    index = find_known(data, task)
    return index is not None and has_pairs(data.puzzles[index], task)


def _index(family: ARC, task: Task) -> int:
    index = find_known(family, task)
    if index is None:
        raise RuntimeError(f"task {task.name} has not been added")
    return index


def _pairs(task: Task) -> list[tuple[Grid, Grid]]:
    """Return the train pairs of a task."""
    return [(pair.input, pair.output) for pair in task.train if pair.output is not None]


def _prepare(module: TRMModule, family: ARC, seed: int) -> None:
    """Add the vectors of new puzzle ids, and change the settings of the module to those of adaptation."""
    if module.core.puzzle_embedding is not None:
        module.core.puzzle_embedding.extend(family.num_puzzles)
    settings = {
        "num_puzzles": family.num_puzzles,
        "warmup_steps": WARMUP_STEPS,
        "min_lr_ratio": 1.0,  # the number of steps is not known
        "explore_seed": seed,
        "compile": False,  # it would take most of a short budget
    }
    for recorded in (module.hparams, module.init_args):
        recorded.update({name: value for name, value in settings.items() if name in recorded})
