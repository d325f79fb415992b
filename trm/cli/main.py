"""The command line: ``trm fit | validate | test | predict`` on a configuration, ``trm solve`` on a checkpoint."""

import inspect
import logging
import os
import sys
import warnings
from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import Any

import torch.distributed as dist
from jsonargparse import DefaultHelpFormatter, auto_cli
from lightning_utilities.core.rank_zero import rank_zero_only

import trm
from trm.callbacks.checkpoints import Checkpoints  # noqa: F401 - a short name in a configuration
from trm.callbacks.curriculum import DepthCurriculum  # noqa: F401 - short names in a configuration
from trm.callbacks.ema import StepEMA  # noqa: F401 - short names in a configuration
from trm.callbacks.speed import Speed  # noqa: F401 - short names in a configuration
from trm.callbacks.writers import Pictures, PredictionWriter, SubmissionWriter  # noqa: F401 - likewise
from trm.checkpoints.files import CheckpointFiles, read_checkpoint  # noqa: F401 - a short name in a configuration
from trm.cli.commands import analyze
from trm.cli.commands.data_check import check
from trm.cli.commands.export import export
from trm.cli.commands.import_ import import_
from trm.cli.commands.info import info
from trm.cli.commands.reproduce import reproduce
from trm.cli.commands.solve import solve
from trm.cli.commands.trace import trace
from trm.cli.commands.zoo import zoo
from trm.cli.lightning import TRMCLI, SaveFitConfig, TRMTrainer
from trm.cli.messages import Parser
from trm.data import PuzzleData
from trm.errors import DivergedError, InputError, Stopped
from trm.module import TRMModule

FUNCTIONS: dict[str, Any] = {
    "solve": solve,
    "trace": trace,
    "info": info,
    "import": import_,
    "export": export,
}
"""Commands that need a checkpoint and no configuration."""
ANALYSES: dict[str, Any] = {
    "halting": analyze.halting,
    "scaling": analyze.scaling,
    "calibration": analyze.calibration,
    "robustness": analyze.robustness,
}

DESCRIPTION = """Train, evaluate, inspect and ship Tiny Recursive Models.

Solve with a trained model that comes along:
  trm solve sudoku-9x9 53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79
Train your own: trm fit --config configs/quickstart.yaml"""


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
        options: dict[str, Any] = {"parser_class": Parser, "formatter_class": _Help}
        if argv and argv[0] in FUNCTIONS:
            return int(auto_cli(FUNCTIONS, args=_spelled_out(argv, FUNCTIONS[argv[0]]), prog="trm", **options))
        if argv[:1] == ["analyze"]:
            args = _spelled_out(argv[1:], ANALYSES[argv[1]]) if argv[1:2] and argv[1] in ANALYSES else argv[1:]
            return int(auto_cli(ANALYSES, args=args, prog="trm analyze", **options))
        if argv[:2] == ["data", "check"]:
            return check(argv[2:])
        if argv[:1] == ["reproduce"]:
            return reproduce(argv[1:])
        if argv[:1] == ["zoo"]:
            return zoo(argv[1:])
        analyses = {f"analyze {name}": function for name, function in ANALYSES.items()}
        others = {**FUNCTIONS, **analyses, "zoo": zoo, "reproduce": reproduce, "data check": check}
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


def _spelled_out(argv: list[str], function: Any) -> list[str]:
    """Let boolean options stand without a value, as ``--json`` for ``--json=true``, and ``-o`` for ``--output``."""
    parameters = inspect.signature(function).parameters.values()
    longer = {
        f"--{parameter.name}": f"--{parameter.name}=true" for parameter in parameters if parameter.annotation is bool
    }
    longer["-o"] = "--output"
    return [longer.get(argument, argument) for argument in argv]


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
    warnings.filterwarnings("ignore", message="The number of training batches")  # logging counts beyond an epoch
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
