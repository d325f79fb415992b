"""The small models that several benchmarks ask: how each is trained, and how ``trm analyze`` is run on it."""

import argparse
import json
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from trm.cli.main import main as trm
from trm.provenance import PROJECT, commit, environment

MODELS = {
    "sudoku-4x4": "--config configs/quickstart.yaml",
    "sudoku-6x6": "--config configs/quickstart.yaml --data.size 6 --data.clues null --data.train_size 1000 "
    "--trainer.max_steps 4000",
    "sudoku-6x6-easy": "--config configs/quickstart.yaml --data.size 6 --data.clues [10,16] --trainer.max_steps 2400",
    "sudoku-9x9-half-trained": "--config configs/sudoku.yaml --config configs/cpu.yaml --data.source generate "
    "--data.clues [26,45] --data.train_size 30000 --data.val_size 500 --data.test_size 2000 --trainer.max_steps 1120",
    "maze-8x8": "--config configs/maze-small.yaml",
    "arc-6x6": "--config configs/arc-small.yaml",
}
"""Options of ``trm fit``, by name."""
COMMANDS = {"halting": ["curve"], "scaling": ["scale"], "calibration": ["calibrate"], "robustness": ["probe"]}
"""What to type after ``trm`` for each analysis."""


def trained(name: str) -> str:
    """Train a model, or go on from where its training was stopped, and return its checkpoint.

    Raises:
        SystemExit: if training fails.
    """
    options = shlex.split(MODELS[name].replace("configs/", f"{PROJECT / 'configs'}/"))
    if status := trm(["fit", *options, f"--trainer.logger.save_dir=runs/{name}"]):
        raise SystemExit(status)
    return f"runs/{name}/checkpoints/last.ckpt"


def parser(description: str | None, folder: Path, models: Sequence[str]) -> argparse.ArgumentParser:
    """Return the options of a benchmark that asks models."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=models, default=models, help="those to ask (default: all)")
    parser.add_argument("--checkpoint", help="ask this checkpoint or model of the zoo instead of training one")
    parser.add_argument("--into", type=Path, default=folder, help="folder of the results (default: this one)")
    return parser


def analyze(kind: str, description: str | None, folder: Path, models: Mapping[str, str], argv: list[str] | None) -> int:
    """Run an analysis on models and keep its JSON files, with machine and commit, and its pictures.

    Args:
        kind: a key of ``COMMANDS``.
        description: the help text of the benchmark.
        folder: where the results go by default.
        models: options of the analysis by the name of the model.
        argv: the arguments of the benchmark; those it does not know go to the analysis.
    """
    arguments, others = parser(description, folder, list(models)).parse_known_args(argv)
    for name in arguments.models:
        checkpoint = arguments.checkpoint or trained(name)
        with tempfile.TemporaryDirectory() as temporary:
            output = Path(temporary, f"{name}.json")
            command = [*COMMANDS[kind], checkpoint, "-o", str(output), *shlex.split(models[name]), *others]
            if status := trm(command):
                return status
            facts = {**json.loads(output.read_text()), "machine": environment(), "commit": commit(PROJECT)}
            output.write_text(json.dumps(facts, indent=1) + "\n")
            for path in (output, *output.parent.glob(f"{name}*.svg"), *output.parent.glob(f"{name}*.png")):
                shutil.copy(path, arguments.into / path.name)
    print("the tables of the pages follow by: make tables", file=sys.stderr)
    return 0
