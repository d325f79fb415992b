"""The measurements of ``trm bench``, each repeated and summarised by median and range."""

import copy
import math
import time
from statistics import median
from typing import Any, NamedTuple, cast

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from trm.batch import IGNORE, Batch
from trm.bench.loop import PARTS, Alternation, BareLoop, endless, move, now
from trm.data import PuzzleData
from trm.module import TRMModule
from trm.nn.flops import Product, count_flops
from trm.training.compilation import compile_in_place

WINDOW, LEAST_BATCHES = 1.0, 4  # seconds and batches, at least, over which a loader is timed


class Spread(NamedTuple):
    """The median of repeated measurements, and their range."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        """Summarise measurements."""
        return cls(median(values), min(values), max(values))


def training(trainer: Trainer, module: TRMModule, data: PuzzleData, repeats: int) -> dict[str, Any]:
    """Measure ``trainer.fit``, the bare loop and matrix products in turn, once per repeat, on copies of the module."""
    device, slots = trainer.strategy.root_device, data.slots
    bare = BareLoop(trainer, module, data)
    memory = bare.warm_up()  # before anything else needs more
    with trainer.strategy.precision_plugin.train_step_context():
        dtype = bare.module.core.dtype
        flops = count_flops(bare.module.core, slots)
    alternation = Alternation(bare, repeats, lambda: Products.time(flops.products, dtype, device))
    trainer.callbacks.append(alternation)  # type: ignore[attr-defined]
    trainer.fit(copy.deepcopy(module), datamodule=data)
    rounds = alternation.rounds
    speed = [flops.total / r.fit for r in rounds]
    in_products = sum(count * operations(shape) for shape, count in flops.products.items())
    return {
        "steps_per_second": Spread.of([1 / r.fit for r in rounds]),
        "puzzles_per_second": Spread.of([slots / r.fit for r in rounds]),
        "tokens_per_second": Spread.of([slots * module.core.length / r.fit for r in rounds]),
        "seconds_per_step": Spread.of([r.fit for r in rounds]),
        "seconds_per_step_without_lightning": Spread.of([r.bare for r in rounds]),
        "parts": {part: Spread.of([r.parts[part] for r in rounds]) for part in PARTS}
        | {"lightning": Spread.of([r.fit - r.bare for r in rounds])},
        "flops": {**{name: getattr(flops, name) for name in flops._fields[:3]}, "total": flops.total},
        "flops_per_second": Spread.of(speed),
        "peak_flops_per_second": Spread.of([r.beside.peak for r in rounds]),
        "own_products_flops_per_second": Spread.of([in_products / r.beside.own for r in rounds]),
        "share_of_peak": Spread.of([s / r.beside.peak for s, r in zip(speed, rounds, strict=True)]),
        "share_of_step_in_products": Spread.of([r.beside.own / r.fit for r in rounds]),
        "peak_memory_bytes": memory,
    }


def solving(trainer: Trainer, module: TRMModule, data: PuzzleData, repeats: int) -> dict[str, Any]:
    """Measure a batch of evaluation, as in ``trm predict``, and one puzzle alone."""
    device, plugin = trainer.strategy.root_device, trainer.strategy.precision_plugin
    loader = data.val_dataloader() or data.test_dataloader()
    batch = move(next(iter(cast(DataLoader[Batch], loader))), device)
    real = (batch.labels != IGNORE).flatten(1).any(-1)
    solver = cast(TRMModule, plugin.convert_module(copy.deepcopy(module))).to(device).eval()
    if solver.hparams["compile"]:
        compile_in_place(solver.core, device)

    def timed(inputs: Tensor, puzzles: Tensor) -> tuple[float, Tensor]:
        start = now(device)
        with plugin.predict_step_context():
            steps = solver.solve(inputs, puzzles).steps
        return now(device) - start, steps

    whole, one = (batch.inputs[real], batch.puzzle_ids[real]), (batch.inputs[:1], batch.puzzle_ids[:1])
    _, steps = timed(*whole)
    timed(*one)
    rounds = [(timed(*whole)[0], timed(*one)[0]) for _ in range(repeats)]
    return {
        "puzzles": len(steps),
        "puzzles_per_second": Spread.of([len(steps) / seconds for seconds, _ in rounds]),
        "seconds_for_one": Spread.of([seconds for _, seconds in rounds]),
        "supervision_steps": float(steps.double().mean()),
    }


def data_rate(data: PuzzleData, workers: int, repeats: int) -> Spread:
    """Return the training samples per second of the loader alone."""
    configured, data.workers = data.workers, workers
    try:
        batches = endless(data.train_dataloader())
    finally:
        data.workers = configured
    for _ in range(1 + 2 * workers):  # the first, and what the workers have prepared ahead
        next(batches)
    rates = []
    for _ in range(repeats):
        start, samples, count = time.perf_counter(), 0, 0
        while count < LEAST_BATCHES or time.perf_counter() - start < WINDOW:
            samples += next(batches).puzzle_ids.numel()
            count += 1
        rates.append(samples / (time.perf_counter() - start))
    return Spread.of(rates)


class Products(NamedTuple):
    """Speed of matrix products alone."""

    peak: float
    """Operations per second of a large square product, the best of three."""
    own: float
    """Seconds of all products of a step in sequence."""

    @classmethod
    def time(cls, counts: dict[Product, int], dtype: torch.dtype, device: torch.device) -> "Products":
        """Time a square product, and each of ``counts``, the number of times that a step computes each product."""
        size = 8192 if device.type == "cuda" else 2048
        square = (1, size, size, size)
        peak = operations(square) / min(_seconds(square, dtype, device) for _ in range(3))
        return cls(peak, sum(count * _seconds(shape, dtype, device) for shape, count in counts.items()))


def operations(product: Product) -> int:
    """Return the floating-point operations of a matrix product."""
    return 2 * math.prod(product)


def _seconds(product: Product, dtype: torch.dtype, device: torch.device) -> float:
    b, m, k, n = product
    left, right = torch.ones(b, m, k, dtype=dtype, device=device), torch.ones(b, k, n, dtype=dtype, device=device)
    out = left @ right
    start = now(device)
    torch.bmm(left, right, out=out)
    return now(device) - start
