"""The command line: ``trm fit | validate | test | predict`` on a configuration, ``trm solve`` on a checkpoint."""

import inspect
import logging
import os
import sys
import warnings
from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from jsonargparse import DefaultHelpFormatter, auto_cli
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback

import trm
from trm.callbacks import PredictionWriter, Speed, StepEMA, SubmissionWriter  # noqa: F401 - short names in a configuration
from trm.check import check
from trm.checkpoint import read_checkpoint
from trm.data import PuzzleData
from trm.errors import InputError
from trm.module import TRMModule
from trm.solve import solve

FUNCTIONS: dict[str, Any] = {"solve": solve}
"""Commands that need a checkpoint and no configuration."""

DESCRIPTION = """Train, evaluate, inspect and ship Tiny Recursive Models.

Start with: trm fit --config configs/quickstart.yaml"""


class SaveFitConfig(SaveConfigCallback):
    """Saves the configuration of a training run, and leaves it alone when that run is evaluated later."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save ``config.yaml`` beside the log."""
        if stage == "fit":
            super().setup(trainer, pl_module, stage)


class TRMCLI(LightningCLI):
    """LightningCLI with the links from data to model, and checkpoints that are checked before anything is built."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Let the data set the dimensions of the model."""
        for name in ("vocab_size", "seq_len", "num_puzzles"):
            parser.link_arguments(f"data.{name}", f"model.{name}", apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Refuse a checkpoint that is missing or broken while nothing has been done yet."""
        super().parse_arguments(parser, args)
        subcommand = self.config.subcommand
        checkpoint = self.config[subcommand].get("ckpt_path")
        if checkpoint not in (None, "best", "last", "hpc"):
            read_checkpoint(checkpoint)

    def before_instantiate_classes(self) -> None:
        """Use the fast matrix products of GPUs that have them (TF32)."""
        torch.set_float32_matmul_precision("high")

    def before_fit(self) -> None:
        """Read the data before Lightning starts other ranks, which a refusal would leave waiting."""
        environment = getattr(self.trainer.strategy, "cluster_environment", None)
        if environment is None or not environment.creates_processes_externally:
            self.datamodule.prepare(self.config.subcommand)

    def before_validate(self) -> None:
        """Refuse to evaluate random weights; then read the data likewise."""
        self._need_checkpoint()
        self.before_fit()

    before_test = before_predict = before_validate

    def _need_checkpoint(self) -> None:
        subcommand = self.config.subcommand
        checkpoint = self.config[subcommand].get("ckpt_path")
        if checkpoint is None:
            raise InputError(f"trm {subcommand} needs --ckpt_path: a file written by trm fit, or 'last'")
        if checkpoint == "last":
            callbacks = (c for c in self.trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint))
            folders = [Path(callback.dirpath) for callback in callbacks if callback.dirpath]
            if not any(path for folder in folders for path in folder.glob("last*.ckpt")):
                raise InputError(f"there is no last checkpoint in {', '.join(map(str, folders))}; run trm fit first")


def main(args: Sequence[str] | None = None) -> int:
    """Run the ``trm`` command and return its exit status: 0 for success, 2 for bad input."""
    _quiet()
    if "" not in sys.path:
        sys.path.append("")  # so that --data my_puzzles.Futoshiki finds my_puzzles.py in the working directory
    argv = sys.argv[1:] if args is None else list(args)
    try:
        if argv and argv[0] in FUNCTIONS:
            return int(auto_cli(FUNCTIONS, args=_with_flags(argv), prog="trm", formatter_class=_Help))
        if argv[:2] == ["data", "check"]:
            return check(argv[2:])
        others = {**FUNCTIONS, "data check": check}
        lines = (f"    {name:<20}{(f.__doc__ or '').splitlines()[0]}" for name, f in others.items())
        TRMCLI(
            TRMModule,
            PuzzleData,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            seed_everything_default=0,
            save_config_callback=SaveFitConfig,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={
                "prog": "trm",
                "description": DESCRIPTION,
                "epilog": "\n".join(["other commands:", *lines]),
                "formatter_class": _Help,
                "version": trm.__version__,
            },
            args=None if args is None else argv,
        )
    except ValueError as error:
        if (bad_input := _bad_input(error)) is None:
            raise
        if _speaks():
            print(f"trm: error: {bad_input}", file=sys.stderr)
        return 2
    return 0


class _Help(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keeps the lines of the list of commands."""


def _with_flags(argv: list[str]) -> list[str]:
    """Let boolean options of a function stand without a value, as ``--json`` for ``--json=true``."""
    parameters = inspect.signature(FUNCTIONS[argv[0]]).parameters.values()
    flags = {f"--{parameter.name}" for parameter in parameters if parameter.annotation is bool}
    return [f"{argument}=true" if argument in flags else argument for argument in argv]


def _bad_input(error: BaseException | None) -> InputError | None:
    """Find what was wrong with the input behind an error of the parser, which wraps what constructors raise."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or error.__context__
    return error


def _speaks() -> bool:
    """Tell whether this rank reports what was refused: the first to fail, for the others mostly fail alike."""
    if not (dist.is_available() and dist.is_initialized()):
        return os.environ.get("LOCAL_RANK", "0") == "0"
    try:
        return bool(dist.distributed_c10d._get_default_store().add("refused", 1) == 1)
    except dist.DistError:  # the store has ended with rank 0, which has said why
        return False


def _quiet() -> None:
    """Silence what Lightning says about choices made here on purpose."""
    warnings.filterwarnings("ignore", message="Using ModelCheckpoint with manual optimization")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.. is deprecated")
    warnings.filterwarnings("ignore", message=".*there is no last checkpoint available")
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable")  # the data resumes by global_step
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    warnings.filterwarnings("ignore", message="It is recommended to use .self.log.*sync_dist")  # the metrics are synced
    warnings.filterwarnings("ignore", message="Total length of `list` across ranks is zero")  # no validation rows
    warnings.filterwarnings("ignore", message="Couldn't infer the batch indices")
    warnings.filterwarnings("ignore", message=".*does not have many workers")
    warnings.filterwarnings("ignore", message=".*WeightAveraging state cannot be restored")
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(lambda record: "litlogger" not in record.msg)
