"""A training loop without Lightning, and a callback that alternates the two, so other load slows both equally."""

import copy
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from trm.batch import Batch
from trm.callbacks.ema import StepEMA
from trm.data import PuzzleData
from trm.module import TRMModule
from trm.training.compilation import compile_in_place

PARTS = ("data", "forward", "backward", "optimizer", "metrics")
"""Consecutive parts of a step of the bare loop.

data: wait for the loader, move the batch to the device. forward: refill the slots, network and loss. optimizer: the
puzzle embedding, AdamATan2, the EMA, halting, the check for finite numbers. metrics: count and average.
"""

WARM_UP = 2  # batches; a compiled network is compiled again in the second batch, whose slots are refilled


def endless(loader: Iterable[Batch]) -> Iterator[Batch]:
    """Yield the batches of one epoch after the other."""
    while True:
        yield from loader


def now(device: torch.device) -> float:
    """Return the time in seconds, after the device has finished all queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def move(batch: Batch, device: torch.device) -> Batch:
    """Return a batch on the device."""
    return Batch(*(field.to(device, non_blocking=True) for field in batch))


class BareLoop:
    """The module's own ``training_step`` with plain PyTorch in place of Lightning.

    Optimizer, schedule, backward pass, EMA and data are those of ``trm fit``, so the resulting parameters are the same.
    The trainer, hooks, loggers and wrappers of the optimizer are left out.

    Args:
        trainer: the configured trainer, for its device, precision and EMA.
        module: the module; the loop trains a copy.
        data: source of the batches, (K, B, ...) each.
    """

    def __init__(self, trainer: Trainer, module: TRMModule, data: PuzzleData) -> None:
        self.device = trainer.strategy.root_device
        self.context = trainer.strategy.precision_plugin.train_step_context
        copied = cast(TRMModule, trainer.strategy.precision_plugin.convert_module(copy.deepcopy(module)))
        self.module = copied.to(self.device).train()
        if self.module.core.puzzle_embedding is not None:  # a deep copy shares its tensor
            self.module.core.puzzle_embedding.weights = self.module.core.puzzle_embedding.weights.clone()
        self.seconds: dict[str, float] = defaultdict(float)
        self.split = True  # on a GPU, timing the parts makes it wait
        self._replace_lightning(trainer)
        self.batches = endless(data.train_dataloader())

    def _replace_lightning(self, trainer: Trainer) -> None:
        module = self.module
        stand_in: Any = SimpleNamespace(global_step=0, max_steps=-1, world_size=1, global_rank=0, training=True)
        stand_in.precision, stand_in.state = trainer.precision, SimpleNamespace(fn="fit")
        module._trainer = stand_in
        module.hparams["min_lr_ratio"] = 1.0  # a measurement has no last step for the schedule to end at
        configured: Any = module.configure_optimizers()
        optimizer, scheduler = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
        stand_in.optimizers = [optimizer]
        for average in (c for c in trainer.callbacks if isinstance(c, StepEMA)):  # type: ignore[attr-defined]
            average = StepEMA(average.decay, average.warmup)
            average.setup(stand_in, module, "fit")
            average.on_fit_start(stand_in, module)
        if module.hparams["compile"]:
            compile_in_place(module.core, self.device)

        def counted(*_: Any) -> None:
            stand_in.global_step += 1

        def backward(loss: Tensor) -> None:
            self._lap("forward")
            loss.backward()  # type: ignore[no-untyped-call]
            self._lap("backward")

        count = module.train_metrics.update

        def update(*counts: Tensor) -> None:
            self._lap("optimizer")
            count(*counts)
            self._lap("metrics")

        optimizer.register_step_post_hook(counted)
        replaced = {"optimizers": lambda: optimizer, "lr_schedulers": lambda: scheduler, "log": lambda *_, **__: None}
        for name, function in {**replaced, "manual_backward": backward}.items():
            setattr(module, name, function)
        module.train_metrics.update = update  # type: ignore[assignment]

    def batch(self) -> int:
        """Train on the next batch, add its times to ``seconds``, and return the number of optimizer steps."""
        self._since = now(self.device)
        batch = move(next(self.batches), self.device)
        self._lap("data")
        before = self.module.global_step
        with self.context():
            self.module.training_step(batch, 0)
        self._lap("metrics")
        return self.module.global_step - before

    def warm_up(self) -> int:
        """Train on the first batches, and return their peak memory in bytes.

        On a CPU this is the growth of the process, on a GPU the peak of torch's allocations.
        """
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)
        before = 0 if on_gpu else _most_resident()
        for _ in range(WARM_UP):
            self.batch()
        return (torch.cuda.max_memory_allocated(self.device) if on_gpu else _most_resident()) - before

    def _lap(self, part: str) -> None:
        if self.split:
            end = now(self.device)
            self.seconds[part] += end - self._since
            self._since = end


class Round(NamedTuple):
    """One batch in Lightning, one in the bare loop, and a further measurement after them; seconds per step."""

    fit: float
    bare: float
    parts: dict[str, float]
    """Parts of the bare loop, by the names of ``PARTS``."""
    beside: Any


class Alternation(Callback):
    """Runs a batch of the bare loop after each batch of ``trainer.fit`` after the warm-up, and ends the run.

    Args:
        bare: the loop, after its warm-up.
        repeats: number of batches of each to measure.
        beside: a further measurement, called after both.
    """

    def __init__(self, bare: BareLoop, repeats: int, beside: Callable[[], Any]) -> None:
        self.bare, self.repeats, self.beside = bare, repeats, beside
        self.rounds: list[Round] = []
        self._since, self._step, self._batches = 0.0, 0, 0

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Record the time of the batch, then measure the bare loop and the rest."""
        device, step = self.bare.device, trainer.global_step
        self._batches += 1
        if self._batches > WARM_UP:
            fit = (now(device) - self._since) / (step - self._step)
            bare, parts = self._bare()
            self.rounds.append(Round(fit, bare, parts, self.beside()))
        trainer.should_stop = len(self.rounds) == self.repeats
        self._since, self._step = now(device), step

    def _bare(self) -> tuple[float, dict[str, float]]:
        """Return the seconds per step of the bare loop and of its parts; on a GPU a second batch times the parts."""
        loop = self.bare
        loop.split = loop.device.type != "cuda"
        loop.seconds.clear()
        start = now(loop.device)
        steps = loop.batch()
        bare = (now(loop.device) - start) / steps
        if not loop.split:
            loop.split = True
            loop.batch()
        return bare, {part: loop.seconds[part] / steps for part in PARTS}


def _most_resident() -> int:
    """Return the peak resident memory of the process in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
