"""One candidate of ``trm tune``: trained for a while, then scored on validation puzzles."""

import contextlib
import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Callback

from trm.callbacks.ema import StepEMA
from trm.callbacks.requirements import need_module
from trm.callbacks.threads import Threads
from trm.checkpoints.files import CheckpointFiles
from trm.data import PuzzleData
from trm.errors import InputError, counted
from trm.module import TRMModule
from trm.tune.space import Settings, build_module, size_of, sizes_of

WARMUP = 20
"""Most warm-up steps of a candidate, whose training is far shorter than that of a run."""
LEAST_STEPS = 16
"""Optimizer steps without which a candidate is too slow to be scored."""
SCORED = 64
"""Validation puzzles on which the first rung scores a candidate."""
RESERVED, MOST_RESERVED = 0.25, 0.75
"""Share of a candidate's seconds that is kept for scoring it: the least, and the most."""


class Row(NamedTuple):
    """A candidate after a rung."""

    candidate: int
    """Its number; 0 is the configuration itself."""
    rung: int
    """Number of the rung, from 0."""
    score: float
    """Mean of ``solved`` and ``cells``: in a short run no candidate may solve a puzzle. NaN if it failed."""
    solved: float
    """Exact-match accuracy on the validation puzzles."""
    cells: float
    """Cell accuracy on them."""
    puzzles: int
    """Number of these puzzles."""
    steps: int
    """Optimizer steps over all rungs."""
    seconds: float
    """CPU time of the process over all rungs, for training and scoring; on other devices wall time."""
    parameters: int
    """Number of trained parameters."""
    failure: str = ""
    """Why the candidate has no score."""


class Allotment(NamedTuple):
    """The time that a candidate gets in a rung."""

    seconds: float
    """Most seconds of the process; on other devices of wall time."""
    until: float
    """Value of ``time.monotonic`` at which it ends in any case."""
    steps: int = 0
    """Optimizer steps after which training ends; 0 for no limit."""


class Trials:
    """Trains and scores the candidates of a configuration, each of which continues from rung to rung.

    A trial has a constant learning rate after a short warm-up, an average of the parameters with warm-up if the
    configuration has one, no workers and no compilation. It uses the training and the validation split alone.

    Args:
        trainer: the configured trainer, whose device and precision are used.
        model: the module of the configuration.
        data: its family.
        settings: the settings of each candidate.
        folder: folder for their checkpoints.
    """

    def __init__(
        self, trainer: Trainer, model: TRMModule, data: PuzzleData, settings: list[Settings], folder: Path
    ) -> None:
        self.trainer, self.model, self.data, self.settings, self.folder = trainer, model, data, settings, folder
        self.device = trainer.strategy.root_device
        self.seed = model.init_seed or 0
        self.rows: dict[int, Row] = {}
        """The latest row of each candidate."""
        self._scoring: dict[int, float] = {}

    def clock(self) -> float:
        """Return the seconds that a candidate pays with."""
        return time.process_time() if self.device.type == "cpu" else time.perf_counter()

    def least_seconds(self) -> float:
        """Return the wall time that the configuration needs for ``LEAST_STEPS`` steps and a score.

        Raises:
            InputError: if it cannot be trained.
        """
        start = time.monotonic()
        row = self.run(0, 0, Allotment(math.inf, math.inf, LEAST_STEPS))
        self.rows.clear()
        if row.failure:
            raise InputError(f"the configuration itself cannot be trained: {row.failure}")
        return time.monotonic() - start

    def run(self, candidate: int, rung: int, allotment: Allotment) -> Row:
        """Train a candidate for its time and score it; a failure becomes a row as well."""
        start, before = self.clock(), self.rows.get(candidate)
        earlier = before.seconds if before else 0.0
        failed = Row(candidate, rung, math.nan, math.nan, math.nan, 0, 0, 0.0, 0)
        try:
            failed = failed._replace(parameters=size_of(self.model, self.data, self.settings[candidate]))
            with _quiet():
                row = self._run(candidate, rung, allotment, start, failed)
        except (InputError, MemoryError, RuntimeError) as error:  # RuntimeError: of memory, and DivergedError
            row = failed._replace(failure=" ".join(f"{type(error).__name__}: {error}".split()))
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        self.rows[candidate] = row = row._replace(seconds=earlier + self.clock() - start)
        return row

    def _run(self, candidate: int, rung: int, allotment: Allotment, start: float, row: Row) -> Row:
        path, puzzles = self.folder / f"{candidate}.ckpt", SCORED * 3**rung
        expected = max(RESERVED * allotment.seconds, 3 * self._scoring.get(candidate, 0.0))
        reserved = 0.0 if allotment.steps else min(MOST_RESERVED * allotment.seconds, expected)
        budget = TrialBudget(self, start + allotment.seconds - reserved, allotment.until - reserved, allotment.steps)
        seed_everything(self.seed, verbose=False)
        module, data = self._built(self.settings[candidate])
        trainer = self._trainer(budget, -(-puzzles // SCORED))
        trainer.fit(module, datamodule=data, ckpt_path=str(path) if rung else None)
        row = row._replace(steps=trainer.global_step)
        if trainer.global_step < LEAST_STEPS:
            return row._replace(
                failure=f"too slow: {counted(trainer.global_step, 'step')} in {self.clock() - start:.1f} s"
            )
        trainer.save_checkpoint(path)
        before = self.clock()
        (metrics,) = trainer.validate(module, datamodule=data, verbose=False)
        self._scoring[candidate] = self.clock() - before
        solved, cells = (float(metrics[f"val/{name}"]) for name in ("solved", "cells"))
        count = min(puzzles, data.eval_size("val"))
        return row._replace(score=(solved + cells) / 2, solved=solved, cells=cells, puzzles=count)

    def _built(self, settings: Settings) -> tuple[TRMModule, PuzzleData]:
        """Return module and family of a candidate, with what is different in a trial."""
        short: dict[str, Any] = {"warmup_steps": min(WARMUP, self.model.hparams["warmup_steps"])}
        short |= {"min_lr_ratio": 1.0, "compile": False}
        trial = {"workers": 0, "eval_batch_size": SCORED}
        mine = {name: value for name, value in trial.items() if name in self.data.init_args}
        data = type(self.data)(**{**self.data.init_args, **settings.data, **mine})
        return build_module(self.model, settings.model, {**sizes_of(data), **short}), data

    def _trainer(self, budget: "TrialBudget", batches: int) -> Trainer:
        callbacks: list[Callback] = [budget]
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, StepEMA):
                callbacks.append(StepEMA(callback.decay, warmup=True))
            elif isinstance(callback, Threads):
                callbacks.append(Threads(callback.count))
        return Trainer(
            accelerator=self.device.type,
            devices=1,
            precision=self.trainer.precision,
            plugins=[CheckpointFiles()],
            callbacks=callbacks,
            max_epochs=-1,
            check_val_every_n_epoch=10**9,  # none in training
            limit_val_batches=batches,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )


class TrialBudget(Callback):
    """Ends training after the optimizer step that uses up its time.

    Args:
        trials: the clock.
        end: value of that clock at which training ends.
        until: value of ``time.monotonic`` at which it ends in any case.
        steps: optimizer steps after which it ends; 0 for no limit.
    """

    def __init__(self, trials: Trials, end: float, until: float, steps: int) -> None:
        self.trials, self.end, self.until, self.steps = trials, end, until, steps

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the clock after every optimizer step; a batch may have many."""
        module = need_module(self, pl_module)

        def look(*_: Any) -> None:
            over = self.trials.clock() >= self.end or time.monotonic() >= self.until
            if over or 0 < self.steps <= trainer.global_step:
                module.stop_requested = trainer.should_stop = True

        self.handle = trainer.optimizers[0].register_step_post_hook(look)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop looking, and let the validation that follows run."""
        self.handle.remove()
        need_module(self, pl_module).stop_requested = False


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what Lightning and the callbacks print about each of many short runs."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)
