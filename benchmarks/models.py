"""The small models that several benchmarks ask: how each is trained, and how ``trm analyze`` is run on it."""

import argparse
import json
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from trm.analysis import calibration, halting, robustness, scaling
from trm.analysis.plots import svg
from trm.cli.main import main as trm
from trm.provenance import PROJECT, commit, environment

PLAIN = "--config configs/quickstart.yaml --config configs/plain.yaml --data.corrupt 0"
MLP = (
    "--model.mixer mlp --model.positions none --model.grid_conv 0 --model.cycles 2 --model.supervision_steps 16 "
    "--model.min_lr_ratio 1"
)
"""What the configuration of mazes was when these models were trained."""
MODELS = {
    "sudoku-4x4": "--config configs/quickstart.yaml",
    "sudoku-4x4-plain": PLAIN,
    "sudoku-6x6": f"{PLAIN} --data.size 6 --data.clues null --data.train_size 1000 --trainer.max_steps 4000",
    "sudoku-6x6-easy": f"{PLAIN} --data.size 6 --data.clues [10,16] --trainer.max_steps 2400",
    "sudoku-9x9-half-trained": "--config configs/sudoku.yaml --config configs/cpu.yaml --model.puzzle_tokens 0 "
    "--data.source generate "
    "--data.clues [26,45] --data.train_size 30000 --data.val_size 500 --data.test_size 2000 --trainer.max_steps 1120",
    "maze-8x8": f"--config configs/maze-small.yaml {MLP} --trainer.max_steps 6400",
    "arc-6x6": "--config configs/arc-small.yaml",
}
"""Options of ``trm fit``, by name."""
ANALYSES = {"halting": halting, "scaling": scaling, "calibration": calibration, "robustness": robustness}


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
    parser.add_argument("--redraw", action="store_true", help="draw the pictures again from the data, no more")
    parser.add_argument("--into", type=Path, default=folder, help="folder of the results (default: this one)")
    return parser


def redraw(kind: str, data: Path, model: str) -> None:
    """Draw the picture of an analysis again, beside its JSON file, with the name of the benchmark's model."""
    facts = {**json.loads(data.read_text()), "checkpoint": model}
    data.with_suffix(".svg").write_text(svg(ANALYSES[kind].draw(facts)))


def analyze(kind: str, description: str | None, folder: Path, models: Mapping[str, str], argv: list[str] | None) -> int:
    """Run an analysis on models and keep its JSON files, with machine and commit, and its pictures.

    Args:
        kind: a key of ``ANALYSES``.
        description: the help text of the benchmark.
        folder: where the results go by default.
        models: options of the analysis by the name of the model.
        argv: the arguments of the benchmark; those it does not know go to the analysis.
    """
    arguments, others = parser(description, folder, list(models)).parse_known_args(argv)
    if arguments.redraw:
        for name in arguments.models:
            redraw(kind, arguments.into / f"{name}.json", name)
        return 0
    for name in arguments.models:
        checkpoint = arguments.checkpoint or trained(name)
        with tempfile.TemporaryDirectory() as temporary:
            output = Path(temporary, f"{name}.json")
            command = ["analyze", kind, checkpoint, "-o", str(output), *shlex.split(models[name]), *others]
            if status := trm(command):
                return status
            facts = {**json.loads(output.read_text()), "machine": environment(), "commit": commit(PROJECT)}
            (arguments.into / output.name).write_text(json.dumps(facts, indent=1) + "\n")
            shutil.copy(output.with_suffix(".svg"), arguments.into)
    print("the tables of the pages follow by: make tables", file=sys.stderr)
    return 0
