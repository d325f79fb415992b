"""The ledger: a CSV file with one row per claim and metric, written by ``trm test --ledger FILE``."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from lightning.pytorch import Trainer

import trm
from trm.checkpoints.files import read_checkpoint
from trm.checkpoints.summary import COSTS, cost, training_puzzles, weights_digest
from trm.data import PuzzleData
from trm.data.arc.votes import Votes
from trm.data.atomic import atomic_write, check_writable
from trm.data.lock import one_at_a_time
from trm.errors import InputError, counted
from trm.module import TRMModule
from trm.provenance import PROJECT, commit, digest, machine, without_paths
from trm.reproduce.experiments import published
from trm.text import read_text
from trm.training import checkpoint_keys as keys
from trm.training.metrics import OVER_PUZZLES, OVER_SAMPLES

SHARES = ("solved", "valid")  # shares of independent puzzles


class Row(NamedTuple):
    """One metric of one claim, as text; a field is empty if it is unknown or does not apply."""

    claim: str
    metric: str
    value: str
    low: str
    """Lower end of the 95 % interval of Wilson; empty if the metric is not a share of independent puzzles."""
    high: str
    puzzles: str
    """Number of test puzzles, or of tasks of ARC."""
    training_puzzles: str
    """Number of different training puzzles, before augmentation."""
    published: str
    """Result in the paper, in percent."""
    published_source: str
    repeated: str
    """Range of independent reproductions, in percent."""
    seed: str
    """Seed of the initial parameters, ``seed_everything`` in training."""
    steps: str
    core_hours: str
    device_hours: str
    command: str
    data: str
    """First 16 digits of the SHA-256 of the test split."""
    weights: str
    """First 16 digits of the SHA-256 of the evaluated parameters and buffers."""
    commit: str
    """Commit of the checkout; "-dirty" if its package or configurations have changed since."""
    machine: str
    date: str
    trm: str


def wilson(share: float, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the interval of Wilson (1927) for a probability estimated by a share of ``count`` trials; 95 % by default.

    For a mean of numbers between 0 and 1, which vary less than trials, the interval is conservative.
    """
    centre = share + z * z / (2 * count)
    spread = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    low, high = (round((centre + side) / scale, 12) for side in (-spread, spread))  # rounding may exceed 0 and 1
    return max(0.0, low), min(1.0, high)


def read(path: Path) -> list[Row]:
    """Return the rows of a ledger; a file that does not exist yet has none.

    Raises:
        InputError: if the file is not a ledger.
    """
    if not path.exists():
        return []
    try:
        header, *lines = list(csv.reader(io.StringIO(read_text(path), newline=""))) or [[]]
    except csv.Error as error:
        raise InputError(f"{path} is not a ledger: {error}") from error
    if tuple(header) != Row._fields:
        raise InputError(
            f"{path} is not a ledger: it begins with {','.join(header)[:60]!r}, not {Row._fields[0]!r}, ..."
        )
    for number, line in enumerate(lines, 2):
        if len(line) != len(header):
            raise InputError(f"{path}, row {number}: {counted(len(line), 'column')}, but a ledger has {len(header)}")
    return [Row(*line) for line in lines]


def check_ledger(path: Path) -> None:
    """Check that a ledger can be written, before anything is measured for it.

    Raises:
        InputError: if the file is not a ledger, or its folder cannot be written to.
    """
    read(path)
    check_writable(path, "the ledger ")


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write rows to a ledger, in place of the rows of the same claims or at the end.

    Raises:
        InputError: if the file is not a ledger or cannot be written; it stays unchanged.
    """
    claims = {row.claim for row in rows}
    with one_at_a_time(path):
        before = read(path)
        place = next((index for index, row in enumerate(before) if row.claim in claims), len(before))
        kept = [[row for row in part if row.claim not in claims] for part in (before[:place], before[place:])]
        with atomic_write(path, "w") as file:
            csv.writer(file, lineterminator="\n").writerows([Row._fields, *kept[0], *rows, *kept[1]])


def rows(trainer: Trainer, claim: str, command: Sequence[str]) -> list[Row]:
    """Return the rows of the ledger for the evaluation that a trainer has just finished.

    Raises:
        InputError: if it was not of a ``TRMModule`` from a checkpoint on the data of a ``PuzzleData``.
    """
    module, data = trainer.lightning_module, trainer.datamodule  # type: ignore[attr-defined]
    if not (isinstance(module, TRMModule) and isinstance(data, PuzzleData) and trainer.ckpt_path):
        raise InputError("a ledger needs a TRMModule, a PuzzleData and the ckpt_path of the parameters evaluated")
    checkpoint = read_checkpoint(trainer.ckpt_path)
    here = machine(trainer)
    parts = (
        counted(trainer.world_size, "device")
        if trainer.strategy.root_device.type == "cuda"
        else counted(here["cores"], "core")
    )
    facts = {
        "claim": claim,
        "training_puzzles": str(training_puzzles(checkpoint) or ""),
        "seed": str(checkpoint.get(keys.SEED, "")),
        "steps": str(checkpoint.get(keys.STEP, "")),
        **{kind.replace("seconds", "hours"): _hours(cost(checkpoint, kind)) for kind in COSTS},
        "command": without_paths(command),
        "data": digest(data.published("test")),
        "weights": weights_digest(checkpoint),
        "commit": commit(PROJECT),
        "machine": f"{here['device']}, {parts}",
        "date": here["date"],
        "trm": trm.__version__,
    }
    found = []
    for metric, (value, count) in measured(trainer, module, data).items():
        low, high = map(_short, wilson(value, count)) if count else ("", "")
        results = {"value": _short(value), "low": low, "high": high, "puzzles": str(count or "")}
        found.append(Row(metric=metric, **results, **published(claim, metric), **facts))
    return found


def measured(trainer: Trainer, module: TRMModule, data: PuzzleData) -> dict[str, tuple[float, int]]:
    """Return the value of each metric, and the number of independent puzzles it is a mean of; 0 if it is not a mean.

    ARC is scored by its votes, since the samples of an evaluation are augmentations of a few tasks. For the metrics of
    another family's scorer the number is 0, since only the family defines their mean.
    """
    logged = {
        name.removeprefix("test/"): float(value)
        for name, value in trainer.callback_metrics.items()
        if name.startswith("test/")
    }
    own = {name for name in logged if name not in (*OVER_PUZZLES, *OVER_SAMPLES) and not name.startswith("halting_")}
    if isinstance(module.scorer, Votes):
        tasks = len(np.unique(module.scorer.tasks[module.scorer.counted]))
        return {name: (logged[name], tasks) for name in logged if name in own}
    batches, devices = int(sum(trainer.num_test_batches)), trainer.world_size
    puzzles = min(data.eval_size("test"), batches * devices * -(-data.eval_batch_size // devices))
    return {name: (logged[name], puzzles if name in SHARES else 0) for name in logged if name in own.union(SHARES)}


def _hours(seconds: float | None) -> str:
    return _short(seconds / 3600) if seconds else ""


def _short(value: float) -> str:
    return f"{value:.6g}"
