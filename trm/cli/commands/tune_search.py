"""The command ``trm tune --config``: the settings of a configuration by successive halving over short runs."""

import math
import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from trm.data import ARC, Mixture, PuzzleData
from trm.data.atomic import refuse_overwriting
from trm.errors import InputError, check_range, counted
from trm.module import TRMModule
from trm.provenance import PROJECT, commit, machine
from trm.tune.halving import SIZES, halve, rungs_of, size_for
from trm.tune.report import (
    configuration,
    files,
    finding,
    write_configuration,
    write_picture,
    write_table,
)
from trm.tune.space import Settings, candidates
from trm.tune.trial import Row, Trials

MARGIN = 2.0
"""Time of a candidate in the first rung, relative to what the configuration itself needs for a score."""


def search(
    trainer: Any,
    model: LightningModule,
    datamodule: LightningDataModule | None = None,
    minutes: float = 20.0,
    output: str = "",
    parameters: int | None = None,
    force: bool = False,
) -> None:
    """Choose the settings of a configuration by successive halving, and write a configuration with them.

    Args:
        trainer: the configured trainer, with its ``settings``.
        model: the module.
        datamodule: the family of puzzles.
        minutes: wall time for all candidates.
        output: configuration to write, -o for short; a table (.csv) and a picture (.svg) go beside it.
        parameters: most parameters of a candidate; null for no limit.
        force: overwrite files that exist.

    Raises:
        InputError: if an argument cannot be used, there is no validation split, or no candidate can be trained.
    """
    end = time.monotonic() + 60 * minutes
    if not 0 < minutes < math.inf:
        raise InputError(f"minutes is {minutes:g}, but must be a number greater than 0")
    check_range("tune", 1, parameters=parameters)
    path = Path(output)
    if path.suffix not in (".yaml", ".yml"):
        raise InputError(f"output is {output!r}, but must be a configuration to write, such as -o tuned.yaml")
    for file in files(path):
        refuse_overwriting(file, force, str(getattr(datamodule, "source", "")))
    model, data = _tunable(trainer, model, datamodule)
    seed = model.init_seed or 0
    settings = candidates(model, data, SIZES[0], seed, parameters)
    rows: list[Row] = []

    def watch(row: Row) -> None:
        rows.append(row)
        if any(not one.failure for one in rows):
            write_table(files(path)[1], rows, settings)
        shown = row.failure or f"solved {row.solved:.1%}, cells {row.cells:.1%} of {counted(row.puzzles, 'puzzle')}"
        place = f"rung {row.rung + 1}, candidate {row.candidate}: {counted(row.steps, 'step')} in {row.seconds:.1f} s"
        print(f"{place}: {shown}", file=sys.stderr, flush=True)

    best: Row | None = None
    try:
        with tempfile.TemporaryDirectory(prefix="trm-tune-") as folder:
            trials = Trials(trainer, model, data, settings, Path(folder))
            count = min(_count(trials, end, minutes), len(settings))
            best = halve(count, trials.run, end - time.monotonic(), watch)
    except (SystemExit, KeyboardInterrupt):  # a signal: what has been found so far is kept
        if scored := [row for row in rows if not row.failure]:
            _write(trainer, path, rows, settings, max(scored, key=lambda row: (row.rung, row.score)), minutes, seed)
        raise
    if best is None:
        raise InputError(
            f"none of {counted(len({row.candidate for row in rows}), 'candidate')} could be trained in "
            f"{counted(minutes, 'minute')}; the first: {rows[0].failure}"
        )
    _write(trainer, path, rows, settings, best, minutes, seed)
    print(f"{finding(rows, best)}\nwritten: {', '.join(map(str, files(path)))}; trm fit --config {path} trains it")


def _count(trials: Trials, end: float, minutes: float) -> int:
    """Return the number of candidates that the time until ``end`` allows, at the speed of the configuration itself.

    Raises:
        InputError: if it is too short to compare any.
    """
    least, left = MARGIN * trials.least_seconds(), end - time.monotonic()
    count = size_for(left, least)
    if not count:
        needed = (60 * minutes - left + least * SIZES[-1] * rungs_of(SIZES[-1])) / 60
        raise InputError(
            f"minutes is {minutes:g}, but to compare {SIZES[-1]} candidates of this configuration takes at least "
            f"{math.ceil(100 * needed) / 100:g} here"
        )
    return count


def _tunable(trainer: Trainer, model: object, data: object) -> tuple[TRMModule, PuzzleData]:
    """Return module and family after a check that they can be tuned, and load training and validation puzzles."""
    if not (isinstance(model, TRMModule) and isinstance(data, PuzzleData)):
        raise InputError(
            f"trm tune takes a TRMModule on a PuzzleData, not {type(model).__name__} and {type(data).__name__}"
        )
    if isinstance(data, ARC):
        raise InputError(
            "the family is ARC, whose validation samples are test inputs: choosing on them would be cheating"
        )
    if isinstance(data, Mixture):
        raise InputError(
            "the family is a Mixture, whose validation puzzles are those of one family after the other, so a short "
            "evaluation sees only the first: tune the configuration of one family, and use what it finds"
        )
    if trainer.world_size > 1:
        raise InputError(f"trm tune trains on one device, not {trainer.world_size}: pass --trainer.devices 1")
    data.prepare("fit")
    if not data.eval_size("val"):
        raise InputError(f"{type(data).__name__} has no validation split to choose on; pass --data.val_size")
    return model, data


def _write(
    trainer: Any, path: Path, rows: list[Row], settings: list[Settings], best: Row, minutes: float, seed: int
) -> None:
    """Write the configuration, with what was measured as a comment, and the picture."""
    facts = machine(trainer)
    rungs = 1 + max(row.rung for row in rows)
    header = [
        f"{finding(rows, best)}.",
        "",
        f"Chosen by: {shlex.join(['trm', *trainer.command[1:]])}",
        f"Tried:     {counted(len({row.candidate for row in rows}), 'candidate')} in {counted(rungs, 'rung')} of "
        f"successive halving within {counted(minutes, 'minute')}, seed {seed}; see {files(path)[1].name}",
        f"Machine:   {facts['device']}, {counted(facts['cores'], 'core')}, torch {facts['torch']}, {facts['date']}, "
        f"commit {commit(PROJECT) or facts['trm']}",
        f"Changed:   {', '.join(f'{n} {v}' for n, v in settings[best.candidate].named().items()) or 'nothing'}",
    ]
    write_configuration(path, header, configuration(trainer.settings, settings[best.candidate], path.stem))
    write_picture(files(path)[2], rows, best)
