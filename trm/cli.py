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
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.plugins import CheckpointIO
from lightning_utilities.core.rank_zero import rank_zero_info, rank_zero_only

import trm
from trm.bench import BenchTrainer, trainer_arguments
from trm.calibrate import calibrate
from trm.callbacks import DepthCurriculum, Speed, StepEMA  # noqa: F401 - short names in a configuration
from trm.check import check
from trm.checkpoint import CheckpointFiles, Checkpoints, read_checkpoint  # noqa: F401 - a short name in a configuration
from trm.claim import LedgerTrainer
from trm.compatibility import refuse_other_network
from trm.curve import curve
from trm.data import PuzzleData
from trm.errors import DivergedError, InputError, Stopped, check_range
from trm.export import export
from trm.finetune import FineTuneTrainer
from trm.import_ import import_
from trm.info import info
from trm.module import TRMModule
from trm.parser import Parser
from trm.probe import probe
from trm.progress import Progress
from trm.reproduce import reproduce
from trm.scale import scale
from trm.solve import solve
from trm.trace.command import trace
from trm.writers import Pictures, PredictionWriter, SubmissionWriter  # noqa: F401 - likewise
from trm.zoo.command import zoo

FUNCTIONS: dict[str, Any] = {
    "solve": solve,
    "curve": curve,
    "calibrate": calibrate,
    "scale": scale,
    "trace": trace,
    "probe": probe,
    "info": info,
    "import": import_,
    "export": export,
}
"""Commands that need a checkpoint and no configuration."""

DESCRIPTION = """Train, evaluate, inspect and ship Tiny Recursive Models.

Solve with a trained model that comes along:
  trm solve sudoku-9x9 53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79
Train your own: trm fit --config configs/quickstart.yaml"""


class SaveFitConfig(SaveConfigCallback):
    """Saves the configuration of a training run, and leaves it alone when that run is evaluated later."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Do nothing yet: the checkpoint of another run may still be refused."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save ``config.yaml`` beside the log."""
        super().setup(trainer, pl_module, "fit")


class TRMTrainer(BenchTrainer, FineTuneTrainer, LedgerTrainer):
    """Lightning's trainer, each of whose methods is a command on a configuration."""


class TRMCLI(LightningCLI):
    """LightningCLI with the links from data to model, and checkpoints that are checked before anything is built."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Add ``bench``, which is a method of the trainer, to Lightning's own."""
        return {**LightningCLI.subcommands(), "bench": {"model", "datamodule"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Let the data set the dimensions of the model."""
        for name in ("vocab_size", "seq_len", "num_puzzles"):
            parser.link_arguments(f"data.{name}", f"model.{name}", apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Refuse a checkpoint that is missing or broken while nothing has been done yet."""
        super().parse_arguments(parser, args)
        self._argv = sys.argv[1:] if args is None else list(args)
        subcommand = self.config.subcommand
        seed = self.config[subcommand].get("seed_everything")
        if not isinstance(seed, bool):
            check_range(subcommand, 0, 2**32 - 1, seed_everything=seed)
        checkpoint = self.config[subcommand].get("ckpt_path")
        if checkpoint not in (None, "best", "last", "hpc"):
            content = read_checkpoint(checkpoint)
            if subcommand == "fit" and "optimizer_states" not in content:
                raise InputError(
                    f"{checkpoint} holds weights alone, so no training can go on from it; --weights starts from them"
                )

    def _parse_ckpt_path(self) -> None:
        """Keep what the user configured: Lightning would put a checkpoint's hyper-parameters over the command line.

        ``TRMModule.on_load_checkpoint`` refuses a checkpoint of another network.
        """

    def before_instantiate_classes(self) -> None:
        """Use the fast matrix products of GPUs that have them (TF32)."""
        torch.set_float32_matmul_precision("high")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Let checkpoints be written whole, and progress be told in steps, unless the configuration brings its own."""
        settings = self._get(self.config_init, "trainer", default={})
        plugins, callbacks = (_listed(settings.get(name)) for name in ("plugins", "callbacks"))
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins = [*plugins, CheckpointFiles()]
        if settings.get("enable_progress_bar") is not False and not any(isinstance(c, ProgressBar) for c in callbacks):
            callbacks = [*callbacks, Progress()]
        if self.subcommand == "bench":
            kwargs |= trainer_arguments(settings)
        trainer = super().instantiate_trainer(**{"plugins": plugins, "callbacks": callbacks, **kwargs})
        assert isinstance(trainer, TRMTrainer)
        trainer.command = ["trm", *self._argv]
        return trainer

    def before_fit(self) -> None:
        """Refuse weights that do not fit, tell what is trained, and read the data."""
        if weights := self.config.fit.weights:
            refuse_other_network(self.model, read_checkpoint(weights)["hyper_parameters"], weights, ("num_puzzles",))
        count = sum(parameter.numel() for parameter in self.model.parameters())
        rank_zero_info(f"{self.model.hparams['network']} of {count:,} weights")
        self._prepare()

    def _prepare(self) -> None:
        """Read the data before Lightning starts other ranks, which a refusal would leave waiting."""
        environment = getattr(self.trainer.strategy, "cluster_environment", None)
        if environment is None or not environment.creates_processes_externally:
            self.datamodule.prepare(self.config.subcommand)

    def before_validate(self) -> None:
        """Refuse to evaluate random weights; then read the data likewise."""
        self._need_checkpoint()
        self._prepare()

    before_test = before_validate

    def before_predict(self) -> None:
        """Likewise; and let Lightning keep no answers, which are written batch by batch and would fill the memory."""
        self.before_validate()
        self.config_init.predict.return_predictions = False

    def _need_checkpoint(self) -> None:
        subcommand = self.config.subcommand
        checkpoint = self.config[subcommand].get("ckpt_path")
        if checkpoint is None:
            raise InputError(
                f"trm {subcommand} needs --ckpt_path: a file written by trm fit, a name that trm zoo lists, or 'last'"
            )
        if checkpoint == "last":
            callbacks = (c for c in self.trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint))
            inside = Path(self.trainer.log_dir or "", "checkpoints")  # where Lightning puts what has no place
            folders = [Path(callback.dirpath or inside) for callback in callbacks]
            if not any(path for folder in folders for path in folder.glob("last*.ckpt")):
                raise InputError(f"there is no last checkpoint in {', '.join(map(str, folders))}; run trm fit first")


def main(args: Sequence[str] | None = None) -> int:
    """Run the ``trm`` command and return its exit status.

    0 is success, 1 an answer that breaks the rules or a run that diverged, 2 bad input, and 128 + n a run that signal
    n stopped after it had saved its state.
    """
    _quiet()
    if "" not in sys.path:
        sys.path.append("")  # so that --data my_puzzles.Futoshiki finds my_puzzles.py in the working directory
    argv = sys.argv[1:] if args is None else list(args)
    try:
        if argv and argv[0] in FUNCTIONS:
            options: dict[str, Any] = {"prog": "trm", "parser_class": Parser, "formatter_class": _Help}
            return int(auto_cli(FUNCTIONS, args=_spelled_out(argv), **options))
        if argv[:2] == ["data", "check"]:
            return check(argv[2:])
        if argv[:1] == ["reproduce"]:
            return reproduce(argv[1:])
        if argv[:1] == ["zoo"]:
            return zoo(argv[1:])
        others = {**FUNCTIONS, "zoo": zoo, "reproduce": reproduce, "data check": check}
        if argv and argv[0][:1] != "-" and argv[0] not in TRMCLI.subcommands():
            raise InputError(f"there is no command {argv[0]!r}, but {', '.join([*TRMCLI.subcommands(), *others])}")
        lines = (f"    {name:<20}{(f.__doc__ or '').splitlines()[0]}" for name, f in others.items())
        TRMCLI(
            TRMModule,
            PuzzleData,
            trainer_class=TRMTrainer,
            trainer_defaults={"enable_model_summary": False},
            parser_class=Parser,
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
    except Stopped as stopped:
        if rank_zero_only.rank:  # type: ignore[attr-defined]
            return 0  # Lightning kills the first process as soon as another fails, and with it the report
        print(f"trm: {stopped}", file=sys.stderr)
        return stopped.exit_status
    except DivergedError as error:
        print(f"trm: error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.filename is None:
            raise
        print(f"trm: error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except ValueError as error:
        if (bad_input := _bad_input(error)) is None:
            raise
        if _speaks():
            print(f"trm: error: {bad_input}", file=sys.stderr)
        return 2
    return 0


class _Help(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keeps the lines of the list of commands."""


def _spelled_out(argv: list[str]) -> list[str]:
    """Let boolean options stand without a value, as ``--json`` for ``--json=true``, and ``-o`` for ``--output``."""
    parameters = inspect.signature(FUNCTIONS[argv[0]]).parameters.values()
    longer = {
        f"--{parameter.name}": f"--{parameter.name}=true" for parameter in parameters if parameter.annotation is bool
    }
    longer["-o"] = "--output"
    return [longer.get(argument, argument) for argument in argv]


def _listed(value: Any) -> list[Any]:
    """Return what a setting holds that takes one thing or several."""
    return value if isinstance(value, list) else [] if value is None else [value]


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
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.. is deprecated")
    warnings.filterwarnings("ignore", message=".*there is no last checkpoint available")
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable")  # the data resumes by global_step
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    warnings.filterwarnings("ignore", message="It is recommended to use .self.log.*sync_dist")  # the metrics are synced
    warnings.filterwarnings("ignore", message="Total length of `list` across ranks is zero")  # no validation rows
    warnings.filterwarnings("ignore", message="Couldn't infer the batch indices")
    warnings.filterwarnings("ignore", message=".*does not have many workers")
    warnings.filterwarnings("ignore", message=".*WeightAveraging state cannot be restored")
    unwanted = ("litlogger", "TPU available")
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
        lambda record: not any(words in str(record.msg) for words in unwanted)
    )
