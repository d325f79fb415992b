"""The ``trm`` command: one table of commands, each imported when it is used.

Settings come from defaults, from environment variables (``TRM_FIT__DATA__SLOTS=64``), from configurations and from
the command line; later sources override earlier ones.
"""

import atexit
import contextlib
import difflib
import gc
import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import trm
from trm.arguments import WORKING_DIRECTORY
from trm.cli.failures import report, silent_threads
from trm.cli.messages import config_files
from trm.cli.threads import limit_spinning
from trm.errors import InputError
from trm.signals import ending_at_signals


class Command(NamedTuple):
    """Help and location of a command."""

    help: str
    where: str
    """Module and function."""


TRAINER = "trm.cli.trainer:TRMTrainer"
COMMANDS = {
    "fit": Command("train a network, or resume its training", f"{TRAINER}.fit"),
    "validate": Command("evaluate a checkpoint on the validation split", f"{TRAINER}.validate"),
    "test": Command("evaluate a checkpoint on the test split", f"{TRAINER}.test"),
    "predict": Command("write the predicted answers to the test split", f"{TRAINER}.predict"),
    "bench": Command("measure how fast a configuration trains, solves and reads data here", f"{TRAINER}.bench"),
    "tune": Command(
        "choose the settings of a configuration, or the early exit of a checkpoint", "trm.cli.commands.tune:tune"
    ),
    "solve": Command("solve puzzles", "trm.cli.commands.solve:solve"),
    "adapt": Command("train on the pairs of an unseen ARC task, then answer it", "trm.cli.commands.adapt:adapt"),
    "serve": Command("answer puzzles over HTTP", "trm.cli.commands.serve:serve"),
    "page": Command("write a page on which a browser solves puzzles", "trm.cli.commands.page:page"),
    "trace": Command("show how an answer develops: a page, an animation, the terminal", "trm.cli.commands.trace:trace"),
    "info": Command("describe a checkpoint", "trm.cli.commands.info:info"),
    "export": Command(
        "write a model to share, for the hub, the official code or the edge", "trm.cli.commands.export:export"
    ),
    "push": Command("upload a model to the Hugging Face hub", "trm.cli.commands.push:push"),
    "import": Command("convert a checkpoint of the official code", "trm.cli.commands.import_:import_"),
    "analyze halting": Command(
        "measure early exit: accuracy lost and supervision steps saved", "trm.cli.commands.analyze:halting"
    ),
    "analyze scaling": Command(
        "measure test-time scaling: depth, breadth, noise, symmetries", "trm.cli.commands.analyze:scaling"
    ),
    "analyze calibration": Command(
        "measure calibration error and selective prediction", "trm.cli.commands.analyze:calibration"
    ),
    "analyze robustness": Command("measure robustness to corrupted inputs", "trm.cli.commands.analyze:robustness"),
    "zoo": Command("list the trained models that come with the package", "trm.cli.commands.zoo:zoo"),
    "reproduce": Command("plan or run an experiment of the paper", "trm.cli.commands.reproduce:reproduce"),
    "data check": Command(
        "look for duplicates, leaks between splits and wrong answers", "trm.cli.commands.data_check:data_check"
    ),
}
"""The commands by name. Those of TRMTrainer take a configuration."""

DESCRIPTION = """Train, evaluate, inspect and ship Tiny Recursive Models.

Solve with a trained model of the package:
  trm solve sudoku-9x9 53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79
Train your own:
  trm fit --config configs/quickstart.yaml"""
EPILOG = """trm COMMAND --help lists the options of a command. Every setting can also come from the environment, as in
TRM_FIT__DATA__SLOTS=64 trm fit ... or TRM_SOLVE__DEPTH=8 trm solve ...; the command line overrides it."""
HELP = ("-h", "--help")


def main(args: Sequence[str] | None = None) -> int:
    """Run the ``trm`` command and return its exit status.

    0: success; 1: an answer breaks the rules, or a run diverged or lost a process; 2: bad input; 141: the reader closed
    the output early; 128 + n: signal n ended the command (a training run saves its state first).
    """
    _open_closed_streams()
    limit_spinning()
    argv = sys.argv[1:] if args is None else list(args)
    atexit.register(gc.freeze)  # no garbage collection when the process exits
    try:
        with ending_at_signals(), silent_threads():
            WORKING_DIRECTORY.allow(_texts(argv))  # so that --data my_puzzles.Futoshiki finds my_puzzles.py there
            status = _run(argv)
            sys.stdout.flush()  # here, where a closed pipe can be reported as one
            return status
    except BaseException as error:
        reported = report(error)
        if reported is None:
            raise
        return reported


def _open_closed_streams() -> None:
    """Open the null device for each standard stream that the caller has closed, which Python represents by None.

    Otherwise the next file that is opened would get its number, and receive what libraries print.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - until the process ends


def _texts(argv: Sequence[str]) -> Iterator[str]:
    """Yield what may name classes: the command line, its configurations, and settings in the environment."""
    yield from argv
    yield from (value for name, value in os.environ.items() if name.startswith("TRM_"))
    for file in config_files(argv):
        text = Path(file).read_text(encoding="utf-8", errors="replace")  # the parser reports what is wrong with it
        yield re.sub("#.*", "", text)


def _run(argv: Sequence[str]) -> int:
    """Run the command that the arguments name; without one, or for help, list all."""
    if argv[:1] == ["help"]:
        argv = [*argv[1:], *HELP[1:]]
    if not argv or argv[0] in HELP:
        print(overview())
        return 0
    if argv[0] == "--version":
        print(f"trm {trm.__version__}")
        return 0
    name = " ".join(argv[:2]) if " ".join(argv[:2]) in COMMANDS else argv[0]
    begun = [command for command in COMMANDS if command.startswith(f"{name} ")]
    if begun and (len(argv) == 1 or argv[1] in HELP):
        print("\n".join(_lines(begun)))
        return 0
    if name not in COMMANDS and name[:1] != "-":
        raise InputError(_unknown(" ".join(argv[:2]) if begun else name))
    if name[:1] == "-" or COMMANDS[name].where.startswith(TRAINER):
        return configured(argv)
    from trm.cli.parser import call

    with _rare_collections():
        return call(locate(COMMANDS[name].where), name, argv[len(name.split()) :])


@contextlib.contextmanager
def _rare_collections() -> Iterator[None]:
    """Collect garbage less often: importing Lightning creates 360,000 lasting objects, and is a third faster so."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def locate(where: str) -> Callable[..., Any]:
    """Import a command."""
    module, _, path = where.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]


def configured(argv: Sequence[str]) -> int:
    """Run a command that takes a configuration."""
    with _rare_collections():
        from trm.cli.lightning import TRMCLI
        from trm.data import PuzzleData
        from trm.module import TRMModule

    TRMCLI(TRMModule, PuzzleData, parser_kwargs={"prog": "trm", "description": DESCRIPTION}, args=list(argv))
    return 0


def overview() -> str:
    """Return the help of ``trm`` itself: every command with its line."""
    configured = [name for name, command in COMMANDS.items() if command.where.startswith(TRAINER)]
    others = [name for name in COMMANDS if name not in configured]
    parts = [DESCRIPTION, "\ncommands that take --config FILE:", *_lines(configured)]
    return "\n".join(["usage: trm COMMAND ...\n", *parts, "\nother commands:", *_lines(others), "", EPILOG])


def _lines(names: Sequence[str]) -> list[str]:
    return [f"    {name:<20} {COMMANDS[name].help}" for name in names]


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    return f"there is no command {name!r}; {f'did you mean {near[0]}?' if near else 'trm --help lists them'}"
