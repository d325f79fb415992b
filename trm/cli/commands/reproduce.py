"""The command ``trm reproduce``: prints the plan of an experiment of the paper, and runs it."""

import difflib
import os
import shlex
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trm.cli.parser import ENV_PREFIX
from trm.errors import InputError, check_range
from trm.reproduce.experiments import EXPERIMENTS, PAPER, Experiment
from trm.signals import ENDING, install, restore
from trm.text import read_yaml
from trm.training import checkpoint_keys as keys

SLOTS = 768  # over all devices, as published
SAME = (
    *("data.source", "data.root", "data.workers", "data.eval_batch_size", "data.slots", "data.concept"),
    *("data.seed", "seed_everything", "model.explore_seed", "model.compile", "model.gradient_checkpointing"),
    *("trainer.devices", "trainer.num_nodes", "trainer.strategy", "trainer.logger", "trainer.enable_", "trainer.log_"),
)
"""Prefixes of the options that do not change an experiment."""
FINAL = (0, 2, *(128 + signum for signum in ENDING))  # done, refused, stopped by its user


def reproduce(
    experiment: str = "",
    /,
    *options: str,
    devices: int = 1,
    configs: str = "configs",
    run: bool = False,
    tries: int = 10,
    ledger: str = "benchmarks/ledger.csv",
    claim: str = "",
    launch: str = "",
) -> int:
    """List the experiments of the paper, print the plan of one and, with --run, run it.

    Args:
        experiment: its name; without it, all are listed.
        *options: those of trm fit and trm test, such as --data.source FOLDER; they go to both.
        devices: number of GPUs; they share the 768 slots.
        configs: folder of the configurations.
        run: train and test; the same command resumes an interrupted run.
        tries: starts of a command that crashes.
        ledger: CSV file for the results.
        claim: name of the results there; by default that of the experiment.
        launch: command that starts the processes of trm fit and trm test, such as srun.

    Returns:
        The exit status of the last command that ran, 0 without ``--run``.

    Raises:
        InputError: if there is no such experiment or configuration, the devices cannot share the slots evenly, or the
            ledger cannot be written.
    """
    if not experiment:
        print(_list())
        return 0
    if experiment not in EXPERIMENTS:
        near = difflib.get_close_matches(experiment, EXPERIMENTS, n=1)
        hint = f"did you mean {near[0]}?" if near else "trm reproduce lists all"
        raise InputError(f"there is no experiment {experiment!r}; {hint}")
    chosen = EXPERIMENTS[experiment]
    config = Path(configs, f"{chosen.config}.yaml")
    if not config.is_file():
        raise InputError(f"there is no {config}: run this in a clone of the project, or pass --configs FOLDER")
    if devices < 1 or SLOTS % devices:
        raise InputError(f"--devices is {devices}, but must be a divisor of the {SLOTS} slots")
    check_range("reproduce", 1, tries=tries)
    folder = f"--trainer.logger.save_dir=runs/{experiment}"
    settings = [f"--config={config}", *_devices(devices), *chosen.arguments, folder, *options]
    changed, other = _values(settings), _differing(_values(options))
    name = claim or ("other/" * bool(other) + experiment)
    commands = [["trm", "fit", *settings], ["trm", "test", *settings, f"--ledger={ledger}", f"--claim={name}"]]
    print(_plan(chosen, read_yaml(config), changed, other, commands))
    if not run:
        return 0
    from trm.reproduce.ledger import check_ledger

    check_ledger(Path(ledger))
    last = Path(changed["trainer.logger.save_dir"], "checkpoints", "last.ckpt")
    for command in commands:
        if status := _carry_out(command, shlex.split(launch), tries, last):
            return status
    return 0


def _list() -> str:
    rows = [("name", "table", "published", "repeated", "parameters", "model")]
    rows += [(name, e.tables, e.published, e.spread, f"{e.parameters:,}", e.title) for name, e in EXPERIMENTS.items()]
    note = (
        f"Published in {PAPER}, repeated by others, in percent. Rows without a table are switches of the official code."
    )
    return "\n".join([*_columns(rows), "", note])


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]] + [0]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _devices(count: int) -> list[str]:
    return [] if count == 1 else [f"--trainer.devices={count}"]


def _values(options: Sequence[str]) -> dict[str, str]:
    """Return the values that options set, by name; the last one for a name counts."""
    values = {}
    for option, after in zip(options, [*options, ""][1:], strict=True):
        name, equals, value = option.partition("=")
        if name.startswith("--"):
            values[name[2:]] = value if equals else after
    return values


def _differing(given: dict[str, str]) -> list[str]:
    """Return the names of the options that make a run differ from the published experiment."""
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
    size = "" if any(name.startswith("model.") for name in other) else f"; {experiment.parameters:,} parameters"
    facts = {
        "data": protocol.data,
        "steps": f"{steps} optimizer steps of {SLOTS} slots; T = {model['model.cycles']}, "
        f"n = {model['model.latent_steps']}, {model['model.mixer']} mixer{size}",
        **({"changed": f"{', '.join(other)}: another experiment than the published one"} if other else {}),
        "expected": _expected(experiment),
        "repeated": ", ".join(f"{value:g} ({who})" for value, who in experiment.repeated) or "by nobody known",
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
    """Run a command, restart it after a kill or a crash, and return its exit status.

    An error that occurs twice at the same step, such as a divergence, would occur again: it is final, as are a refusal
    and a stop by the user.
    """
    from trm.checkpoints.files import read_facts

    status, step, failed_at = 0, 0, -1
    for start in range(tries):
        if start:
            print(f"trm: status {status} at step {step}; started again, {start + 1} of {tries}", file=sys.stderr)
        print("\n$", shlex.join([*launch, *command]), flush=True)
        status = _run([*launch, sys.executable, "-m", *command])
        if status in FINAL:
            break
        step = read_facts(last).get(keys.STEP, 0) if last.is_file() else 0
        if status == 1 and step == failed_at:
            break
        failed_at = step if status == 1 else -1
    return status


def _run(command: list[str]) -> int:
    """Run a command, and forward SIGTERM and SIGHUP to it; a Ctrl-C reaches both processes.

    Returns:
        Its exit status; 128 + n if signal n ended it.
    """
    foreign = tuple(f"{ENV_PREFIX}_{name}__" for name in ("FIT", "TEST"))  # settings that are not in the plan
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    started: list[subprocess.Popen[bytes]] = []
    waiting: list[int] = []

    def forward(signum: int, _: object = None) -> None:
        if signum != signal.SIGINT:
            waiting.append(signum)
        while started and waiting:
            started[0].send_signal(waiting.pop())

    before = install(forward)
    try:
        started.append(subprocess.Popen(command, env=environment))
        forward(signal.SIGINT)  # delivers what arrived before the process was started
        status = started[0].wait()
    finally:
        restore(before)
    return status if status >= 0 else 128 - status
