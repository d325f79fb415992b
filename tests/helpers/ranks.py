"""Training on several ranks inside a test: forked processes, a family of random puzzles, and notes of what each saw."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy
from training import quiet_trainer

from trm.batch import Batch
from trm.callbacks.ema import StepEMA
from trm.data import PuzzleData, Samples, Verdict
from trm.data.samples import Tokens
from trm.module import TRMModule

CELLS = 9


class Guess(PuzzleData):
    """Random digits to be answered with random digits: nothing to learn but the rows themselves, of seven puzzles."""

    vocab_size, seq_len, num_puzzles = 6, CELLS, 7

    def __init__(self, size: int = 50, **kwargs: int) -> None:
        super().__init__(**{"steps_per_batch": 3, "workers": 0, **kwargs})
        self.size = size

    def load(self, split: str) -> Samples:
        rng = np.random.default_rng(["train", "val", "test"].index(split))
        inputs, labels = rng.integers(1, 6, (2, self.size, CELLS)).astype(np.uint8)
        return Samples(inputs, labels, rng.integers(0, 7, self.size).astype(np.int32))

    def parse(self, text: str) -> Tokens:
        return np.array(list(text), dtype=np.uint8)

    def write(self, tokens: Tokens) -> str:
        return "".join(map(str, tokens))

    def verify(self, question: Tokens, answer: Tokens) -> Verdict:
        return Verdict(bool((answer + question).sum() % 2), "")


class Notes(Callback):
    """Keeps, on every rank, what each supervision step was offered and which slots it halted; saved when training ends.

    Beside it are saved the weights being trained and their average.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps: list[dict[str, torch.Tensor]] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        step = pl_module.supervision_step

        def noted(fresh: Batch) -> None:
            step(fresh)
            slots = pl_module.slots
            self.steps.append({**fresh._asdict(), "halted": slots.halted, "taken": slots.steps})

        pl_module.supervision_step = noted

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        weights = pl_module.state_dict()  # before StepEMA, which comes later, leaves the average there
        average = next(c for c in trainer.callbacks if isinstance(c, StepEMA))._average_model.module.state_dict()
        notes = {"steps": self.steps, "weights": weights, "average": average}
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.save(notes, self.folder / f"notes-{trainer.global_rank}.pt")


@contextmanager
def forked(ranks: int) -> Iterator[dict[str, Any]]:
    """Yield the trainer's arguments for so many ranks on this machine; a collective that hangs fails after a minute."""
    if ranks == 1:
        yield {"devices": 1}
        return
    if torch.cuda.is_initialized():
        pytest.skip("a process that uses CUDA cannot be forked")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # OpenMP's threads do not survive a fork
    try:
        with mock.patch.dict(os.environ, {"OMP_NUM_THREADS": "1"}):  # takes back the port that Lightning notes there
            yield {"devices": ranks, "strategy": DDPStrategy(start_method="fork", timeout=timedelta(minutes=1))}
    finally:
        torch.set_num_threads(threads)


def small_module(**arguments: Any) -> TRMModule:
    """A tiny network for ``Guess`` whose slots halt at different steps from the start."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_heads": 2, "multiple_of": 8, "cycles": 2, "latent_steps": 1, "puzzle_tokens": 1}
    training = {"supervision_steps": 4, "explore": 0.5, "warmup_steps": 5, "lr": 1e-2}
    module = TRMModule(Guess.vocab_size, Guess.seq_len, Guess.num_puzzles, **{**sizes, **training, **arguments})
    with torch.no_grad():
        module.core.halting_head.weight[0].normal_(std=0.3)
        module.core.halting_head.bias.fill_(0.3)
    return module


def fit(
    folder: Path, ranks: int, slots: int, max_steps: int, latents: int = 1, **arguments: Any
) -> tuple[dict[str, Any], Trainer]:
    """Train ``Guess`` to ``max_steps``, three steps a batch, ``slots`` on all ranks; return the last checkpoint."""
    ckpt_path = arguments.pop("ckpt_path", None)
    checkpoint = ModelCheckpoint(folder, filename="{step}", save_last=True, save_on_train_epoch_end=True)
    with forked(ranks) as where:
        trainer = quiet_trainer(
            max_steps=max_steps,
            enable_checkpointing=True,
            callbacks=[Notes(folder), StepEMA(0.9), checkpoint],
            **where,
            **arguments,
        )
        trainer.fit(small_module(latents=latents), Guess(slots=slots), ckpt_path=ckpt_path, weights_only=True)
    return torch.load(folder / "last.ckpt", weights_only=True), trainer


def notes(folder: Path, ranks: int) -> list[dict[str, Any]]:
    """What each rank noted."""
    return [torch.load(folder / f"notes-{rank}.pt", weights_only=True) for rank in range(ranks)]


def together(noted: list[dict[str, Any]], name: str) -> torch.Tensor:
    """Something of every step, over the slots of all ranks, (steps, slots, ...)."""
    steps = zip(*(of_rank["steps"] for of_rank in noted), strict=True)
    return torch.stack([torch.cat([step[name] for step in ranks]) for ranks in steps])
