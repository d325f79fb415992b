"""The command ``trm bench``: how fast a configuration trains, solves and reads its data on this machine."""

import json as json_format
import tempfile
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger

from trm.bench.measure import Spread, data_rate, solving, training
from trm.callbacks.threads import Threads
from trm.checkpoints.files import read_checkpoint
from trm.data import PuzzleData
from trm.data.atomic import atomic_write, check_ending, refuse_overwriting
from trm.errors import InputError, check_range
from trm.module import TRMModule
from trm.provenance import machine
from trm.training import checkpoint_keys as keys

WORKERS = (0, 2)  # numbers of workers to measure the loader with


def bench(
    trainer: Trainer,
    model: LightningModule,
    datamodule: LightningDataModule | None = None,
    what: Literal["train", "solve", "data", "all"] = "all",
    repeats: int = 5,
    output: str = "",
    json: bool = False,
    ckpt_path: str | None = None,
    force: bool = False,
) -> None:
    """Measure how fast a configuration trains, solves and reads its data here; no run is written.

    Args:
        trainer: the configured trainer.
        model: the module.
        datamodule: the family of puzzles.
        what: what to measure.
        repeats: measurements of each kind; median and range are printed. A measurement of training is a batch in
            Lightning and one in a bare loop; one of solving is a batch of evaluation.
        output: JSON file to write the results to, -o for short.
        json: print one JSON object.
        ckpt_path: parameters to solve with. Without, or with "last" as the configurations have it for training, they
            are random, and every puzzle takes all steps.
        force: overwrite a file that exists.

    Raises:
        InputError: if an argument or the checkpoint cannot be used.
    """
    if not (isinstance(model, TRMModule) and isinstance(datamodule, PuzzleData)):
        kinds = f"{type(model).__name__} and {type(datamodule).__name__}"
        raise InputError(f"trm bench measures a TRMModule on a PuzzleData, not {kinds}")
    check_range("bench", 1, repeats=repeats)
    if output:
        check_ending(output, "JSON", ".json")
        refuse_overwriting(output, force)
    if trainer.world_size > 1:
        raise InputError(f"trm bench measures one device, not {trainer.world_size}: pass --trainer.devices 1")
    weights = None if ckpt_path in (None, "last") else str(ckpt_path)
    checkpoint = read_checkpoint(weights) if weights else {}
    for callback in [c for c in trainer.callbacks if isinstance(c, Threads)]:  # type: ignore[attr-defined]
        callback.apply(model, datamodule, "fit", 1)
        trainer.callbacks.remove(callback)  # type: ignore[attr-defined]  # they apply to all measurements, not only to fit
    result: dict[str, Any] = {"machine": machine(trainer), "configuration": _configuration(trainer, model, datamodule)}
    if what in ("train", "all"):
        with tempfile.TemporaryDirectory(prefix="trm-bench-") as folder:
            trainer.logger = TensorBoardLogger(folder)  # so that logging takes its time
            result["train"] = training(trainer, model, datamodule, repeats)
    if what in ("solve", "all"):
        if checkpoint:
            model.on_load_checkpoint(checkpoint)
            model.load_state_dict(checkpoint[keys.STATE])
        result["solve"] = {"weights": weights or "random", **solving(trainer, model, datamodule, repeats)}
    if what in ("data", "all"):
        result["data"] = {f"rows_per_second_{n}_workers": data_rate(datamodule, n, repeats) for n in WORKERS}
    print(json_format.dumps(_plain(result)) if json else table(result))
    if output:
        with atomic_write(Path(output), "w") as file:
            file.write(json_format.dumps(_plain(result), indent=1) + "\n")


def trainer_arguments(configured: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that ``trm bench`` replaces in the configured trainer, to validate and write nothing."""
    callbacks = [c for c in configured.get("callbacks") or [] if not isinstance(c, ModelCheckpoint)]
    return {
        "callbacks": callbacks,
        "logger": False,
        "fast_dev_run": False,
        "max_steps": 10**9,  # the callback ends it
        "max_epochs": -1,
        **dict.fromkeys(("max_time", "min_steps", "min_epochs")),
        "limit_train_batches": None,
        "limit_val_batches": 0,
        "num_sanity_val_steps": 0,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }


def table(result: dict[str, Any]) -> str:
    """Return the results as text: medians, with ranges in brackets."""
    lines = []
    for title, values in result.items():
        lines += [f"\n{title}", *_lines(values, "  ")]
    return "\n".join(lines)


def _lines(values: dict[str, Any], indent: str) -> list[str]:
    lines = []
    for name, value in values.items():
        label = f"{indent}{name.replace('_', ' ')}"
        if isinstance(value, dict):
            lines += [label, *_lines(value, indent + "  ")]
        else:
            lines.append(f"{label:<44}{_short(value)}")
    return lines


def _short(value: Any) -> str:
    if isinstance(value, Spread):
        median, least, most = map(_short, value)
        return f"{median:<12}({least} to {most})"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if abs(value) >= size:
            return f"{value / size:.4g} {letter}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _configuration(trainer: Trainer, module: TRMModule, data: PuzzleData) -> dict[str, Any]:
    return {
        "family": type(data).__name__,
        **{name: module.hparams[name] for name in ("network", "mixer", "hidden_size", "cycles", "latent_steps")},
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "tokens": module.core.length,
        "slots": data.slots,
        "steps_per_batch": data.steps_per_batch,
        "workers": data.workers,
        "precision": trainer.precision,
        "compile": module.hparams["compile"],
    }


def _plain(value: Any) -> Any:
    """Return results as values for JSON; a ``Spread`` becomes an object."""
    if isinstance(value, Spread):
        return value._asdict()
    return {name: _plain(part) for name, part in value.items()} if isinstance(value, dict) else value
