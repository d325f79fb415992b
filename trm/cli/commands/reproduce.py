"""The command ``trm reproduce``: the plan of an experiment of the paper, what it takes to run it, and its run."""

import argparse
import shlex
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from trm.checkpoints.files import read_pickle
from trm.errors import InputError, check_range
from trm.reproduce.experiments import EXPERIMENTS, PAPER, Experiment
from trm.reproduce.ledger import check_ledger

SLOTS = 768  # over all devices, as published
SAME = (
    *("data.source", "data.root", "data.workers", "data.eval_batch_size", "data.slots", "data.concept"),
    *("data.seed", "seed_everything", "model.explore_seed", "model.compile", "model.gradient_checkpointing"),
    *("trainer.devices", "trainer.num_nodes", "trainer.strategy", "trainer.logger", "trainer.enable_", "trainer.log_"),
)
"""Beginnings of the options that leave an experiment what it is."""
FINAL = (0, 2, 128 + signal.SIGINT, 128 + signal.SIGTERM)  # done, refused, stopped by its user


def reproduce(argv: list[str]) -> int:
    """List the experiments of the paper, print the plan of one and, with --run, carry it out.

    Returns:
        The exit status of the last command that ran, 0 without ``--run``.

    Raises:
        InputError: if the configurations are not at hand, the slots cannot be shared out, or the ledger cannot be kept.
    """
    arguments, others = _parser().parse_known_args(argv)
    if arguments.experiment is None:
        print(_list())
        return 0
    experiment = EXPERIMENTS[arguments.experiment]
    config = arguments.configs / f"{experiment.config}.yaml"
    if not config.is_file():
        raise InputError(f"there is no {config}: run this in a clone of the project, or pass --configs FOLDER")
    if arguments.devices < 1 or SLOTS % arguments.devices:
        raise InputError(f"--devices is {arguments.devices}, but must be a divisor of the {SLOTS} slots")
    check_range("reproduce", 1, tries=arguments.tries)
    folder = f"runs/{arguments.experiment}"
    options = [
        f"--config={config}",
        *_devices(arguments.devices),
        *experiment.arguments,
        f"--trainer.logger.save_dir={folder}",
        *others,
    ]
    changed, other = _values(options), _differing(_values(others))
    name = arguments.claim or ("other/" * bool(other) + arguments.experiment)
    claim = [f"--ledger={arguments.ledger}", f"--claim={name}"]
    commands = [["trm", "fit", *options], ["trm", "test", *options, *claim]]
    print(_plan(experiment, yaml.safe_load(config.read_text(encoding="utf-8")), changed, other, commands))
    if not arguments.run:
        return 0
    check_ledger(arguments.ledger)
    last = Path(changed["trainer.logger.save_dir"], "checkpoints", "last.ckpt")
    for command in commands:
        if status := _carry_out(command, shlex.split(arguments.launch), arguments.tries, last):
            return status
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trm reproduce",
        description=(reproduce.__doc__ or "").splitlines()[0],
        epilog="Any other option goes to trm fit and trm test, such as --data.source FOLDER.",
        allow_abbrev=False,
    )
    parser.add_argument("experiment", nargs="?", choices=EXPERIMENTS, metavar="NAME", help="without it, all are listed")
    parser.add_argument("--devices", type=int, default=1, help=f"GPUs, which share the {SLOTS} slots (default: 1)")
    parser.add_argument("--configs", type=Path, default=Path("configs"), help="folder of the configurations")
    parser.add_argument("--run", action="store_true", help="train and test; the same command again continues")
    parser.add_argument("--tries", type=int, default=10, help="starts of a command that crashes (default: 10)")
    parser.add_argument("--ledger", type=Path, default=Path("benchmarks/ledger.csv"), help="where the results go")
    parser.add_argument("--claim", default="", help="their name there (default: NAME)")
    parser.add_argument("--launch", default="", help="what starts the processes of a command, such as srun")
    return parser


def _list() -> str:
    rows = [("name", "table", "published", "repeated", "weights", "model")]
    rows += [(name, e.tables, e.published, e.spread, f"{e.weights:,}", e.title) for name, e in EXPERIMENTS.items()]
    told = f"Published in {PAPER}, repeated by others, in percent. Rows of no table are switches of the official code."
    return "\n".join([*_columns(rows), "", told])


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]] + [0]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _devices(count: int) -> list[str]:
    return [] if count == 1 else [f"--trainer.devices={count}"]


def _values(options: list[str]) -> dict[str, str]:
    """Return the values that options set, by their names; of two for the same name the last counts."""
    values = {}
    for option, after in zip(options, [*options, ""][1:], strict=True):
        name, equals, value = option.partition("=")
        if name.startswith("--"):
            values[name[2:]] = value if equals else after
    return values


def _differing(given: dict[str, str]) -> list[str]:
    """Return what makes a run another experiment than the published one."""
    return [name for name, value in given.items() if not name.startswith(SAME) or value == "generate"]


def _plan(
    experiment: Experiment,
    config: dict[str, Any],
    changed: dict[str, str],
    other: list[str],
    commands: list[list[str]],
) -> str:
    protocol, model = experiment.protocol, {f"model.{name}": value for name, value in config["model"].items()} | changed
    steps = changed.get("trainer.max_steps", f"{config['trainer']['max_steps']:,}")
    weights = "" if any(name.startswith("model.") for name in other) else f"; {experiment.weights:,} weights"
    facts = {
        "data": protocol.data,
        "steps": f"{steps} optimizer steps of {SLOTS} slots; T = {model['model.cycles']}, "
        f"n = {model['model.latent_steps']}, {model['model.mixer']} mixer{weights}",
        **({"changed": f"{', '.join(other)}: another experiment than the published one"} if other else {}),
        "expected": _expected(experiment),
        "repeated": ", ".join(f"{value:g} ({who})" for value, who in experiment.repeated) or "not known of anyone",
        "cost": f"{protocol.cost}; of the full model, not measured here",
    }
    facts = {name: textwrap.fill(text, 100, subsequent_indent=" " * 12) for name, text in facts.items()}
    facts["commands"] = f"\n{' ' * 12}".join(shlex.join(command) for command in commands)
    table = _columns([("", "paper", "official code", "here"), *protocol.deviations])
    return "\n".join(
        [
            f"{experiment.title} ({PAPER})\n",
            *(f"{name:<10}  {text}" for name, text in facts.items()),
            "\nwhere they differ:",
            *(f"  {row}" for row in table),
        ]
    )


def _expected(experiment: Experiment) -> str:
    if not experiment.published:
        return "nothing was published; a switch of the official code"
    percent = experiment.published + " %" * experiment.published[0].isdecimal()
    where = f"of {experiment.protocol.test} (table {experiment.tables}), published"
    return f"{percent} {where}; test/{experiment.protocol.metric} of trm test"


def _carry_out(command: list[str], launch: list[str], tries: int, last: Path) -> int:
    """Run a command, and again when it was killed or crashed; return its exit status.

    An error that comes twice with the run at the same step, such as a divergence, would come a third time: it is final,
    as is a refusal and a stop by the user.
    """
    status, step, failed_at = 0, 0, -1
    for start in range(tries):
        if start:
            print(f"trm: status {status} at step {step}; started again, {start + 1} of {tries}", file=sys.stderr)
        print("\n$", shlex.join([*launch, *command]), flush=True)
        status = _run([*launch, sys.executable, "-m", *command])
        if status in FINAL:
            break
        step = read_pickle(last, mmap=True)["global_step"] if last.is_file() else 0
        if status == 1 and step == failed_at:
            break
        failed_at = step if status == 1 else -1
    return status


def _run(command: list[str]) -> int:
    """Run a command and hand it the signals that ask this one to stop; a Ctrl-C reaches both by itself.

    Returns:
        Its exit status, 128 + n if signal n has ended it.
    """
    process = subprocess.Popen(command)
    handlers = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda signum, _: process.send_signal(signum)),
    }
    try:
        status = process.wait()
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
    return status if status >= 0 else 128 - status
