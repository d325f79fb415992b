r"""Put a trained model into the zoo: trm/zoo/NAME.ckpt, its card, and the measurements in NAME.json beside this file.

    python benchmarks/zoo/measure.py sudoku-4x4 runs/quickstart/checkpoints/last.ckpt \
        --what "4x4 Sudoku of 4 to 8 clues" --command "trm fit --config configs/quickstart.yaml"

From the second time on, --what is known, and for the same parameters --command. Without arguments all cards are written
again from the JSON files.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from card import headline, render, write
from lightning.pytorch import Trainer
from numpy.typing import NDArray

from trm.analysis import robustness
from trm.analysis.calibration import collect, summary
from trm.analysis.plots import svg
from trm.analysis.report import load, publish, table
from trm.analysis.scaling import Point, draw, evaluate
from trm.checkpoints.files import CheckpointFiles, read_checkpoint
from trm.checkpoints.load import load_checkpoint
from trm.checkpoints.summary import cost, weights_digest
from trm.cli.commands.export import export
from trm.data import ARC, Maze, PuzzleData, Samples, Sudoku
from trm.data.atomic import atomic_write
from trm.data.maze.paths import PATH
from trm.data.samples import matches
from trm.data.sudoku.solver import solve
from trm.errors import InputError
from trm.inference.halting import has_rules
from trm.inference.rollouts import Rollouts
from trm.module import TRMModule
from trm.provenance import PROJECT, commit, digest, environment
from trm.solver import Solver
from trm.training import checkpoint_keys as keys
from trm.training.compatibility import free_sizes
from trm.tune.exits import choose
from trm.zoo import FOLDER

HERE = Path(__file__).parent
BATCH = 256
DEPTHS = (1, 4, 16, 64, 256)
VOTES = (2, 4, 8)
CHECKED = (2, 4, 8, 32)  # as many of them as the family has views
DEEPER = 64  # supervision steps of a view, besides as many as in training
STRENGTHS = (1, 4)
TARGET_LOSS = 0.01  # share of validation puzzles that the early exit may lose; 512 puzzles can show it
EASY_CLUES = (26, 45)
MAZE_SIZES = (9, 11, 15, 20, 30)
FRESH_SEED = 20251  # of boards that no model is trained on
Groups = dict[str, tuple[int, int]]
"""How many puzzles of each group are solved, and how many there are."""


def tables() -> dict[str, str]:
    """Return the table of the committed results, a line for each model."""
    measured = [json.loads(path.read_text()) for path in sorted(HERE.glob("*.json"))]
    rows = [[f"`{m['name']}`", headline(m), f"{m['made']['date']}, {m['made']['machine']}"] for m in measured]
    return {"models": table(["model", "result, with 95 % interval", "measured"], rows)}


def main(argv: list[str] | None = None) -> int:
    """Export a model, measure it and write its card; or write all cards again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", help="of the model in the zoo")
    parser.add_argument("checkpoint", nargs="?", help="a file written by trm fit")
    parser.add_argument("--what", help="what it solves, to begin a sentence with")
    parser.add_argument("--command", help="by which it was trained")
    parser.add_argument("--core-hours", type=float, help="of its training, where the checkpoint does not say")
    parser.add_argument("--licence", help="of the weights (default: Apache-2.0)")
    parser.add_argument("--puzzles", type=int, default=1000, help="of each test set; 0 for all")
    parser.add_argument("--scaled", type=int, default=200, help="puzzles of the test-time scaling; 0 for all")
    parser.add_argument("--probed", type=int, default=64, help="puzzles that are corrupted")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    if arguments.name is None:
        for path in HERE.glob("*.json"):
            write(path.stem, render(json.loads(path.read_text())))
        return 0
    if arguments.checkpoint is None:
        parser.error("a name needs a checkpoint")
    put(arguments)
    return 0


def put(arguments: argparse.Namespace) -> None:
    """Export a model, measure what was exported, and write its card."""
    path = HERE / f"{arguments.name}.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    before = FOLDER / f"{arguments.name}.ckpt"
    if not before.exists() or len({weights_digest(read_checkpoint(p)) for p in (before, arguments.checkpoint)}) > 1:
        known = {key: known[key] for key in known if key in ("what", "licence")}
    told = {
        key: known.get(key, default) if getattr(arguments, key) is None else getattr(arguments, key)
        for key, default in {"what": None, "command": None, "core_hours": None, "licence": "Apache-2.0"}.items()
    }
    if not (told["what"] and told["command"]):
        raise InputError("a model that is new to the zoo needs --what and --command, other parameters --command")
    data = load_checkpoint(arguments.checkpoint)[1]  # as it was trained: the export has forgotten its folders
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, f"{arguments.name}.ckpt")
        export(arguments.checkpoint, output=str(model), format="trm")
        choose_threshold(model, data)
        choose_exit(model, data)
        module, content = load(str(model), "")[0], model.read_bytes()
        facts = {"name": arguments.name, **told, "bytes": len(content), **origin(module, data, model)}
        facts["abstain_below"] = module.abstain_below
        facts["exit"] = str(module.inference_choice) if module.inference_choice else None
    trained = read_checkpoint(arguments.checkpoint)
    if (seconds := cost(trained, "core_seconds")) is not None:
        facts["core_hours"] = float(f"{seconds / 3600:.2g}")
    if seconds := cost(trained, "device_seconds"):
        facts["gpu_hours"] = float(f"{seconds / 3600:.2g}")
    seen = data.symmetry_keys(data.published("train"))
    facts["test"], facts["solved"] = tested(module, data, arguments.puzzles, seen)
    facts["scaling"] = scaled(module, data, labelled(data, arguments.scaled or arguments.puzzles))
    if easy := generated(data, arguments.puzzles, seen):
        answers = Solver((module, easy[0]), halt="never", batch_size=BATCH).roll_out(easy[1].inputs).answers
        name = f"generated, {EASY_CLUES[0]} to {EASY_CLUES[1]} clues"
        facts["solved"][name] = groups(*easy, matches(answers, easy[1].labels))
    facts["solved"] |= resized(module, data, arguments.scaled)
    facts["probe"] = [
        {key: value for key, value in _rounded(point).items() if key not in ("quartiles", "keeps_givens")}
        for point in robustness.measure(module, data, arguments.probed, BATCH, 0, STRENGTHS)["points"]
    ]
    facts["made"] = {
        "machine": environment(module.device)["device"],
        "date": time.strftime("%F"),
        "commit": commit(PROJECT),
    }
    card = render(facts)
    publish(path, facts, svg(draw({**facts, **facts["scaling"], "checkpoint": arguments.name})))
    with atomic_write(FOLDER / f"{arguments.name}.ckpt", "wb") as file:
        file.write(content)
    write(arguments.name, card)


def choose_threshold(model: Path, data: PuzzleData) -> None:
    """Validate a model whose checkpoint has no threshold to abstain below, and add it to the file."""
    module, content = load_checkpoint(model)[0], read_checkpoint(model)
    if module.abstain_below is None and data.eval_size("val"):
        Trainer(logger=False, enable_progress_bar=False).validate(module, data, verbose=False)
        content.setdefault(keys.METRICS, {})[keys.ABSTAIN_BELOW] = module.abstain_below
        CheckpointFiles().save_checkpoint(content, model)


def choose_exit(model: Path, data: PuzzleData) -> None:
    """Add to the file of a model the early exit that ``trm tune`` chooses on the validation puzzles."""
    if isinstance(data, ARC) or not data.eval_size("val"):
        return  # answers of ARC are elected
    choice, _ = choose(load_checkpoint(model)[0], data, TARGET_LOSS)
    CheckpointFiles().save_checkpoint({**read_checkpoint(model), keys.INFERENCE: dict(choice._asdict())}, model)


def origin(module: TRMModule, data: PuzzleData, model: Path) -> dict[str, Any]:
    """Return what is known of the training: the data, its hash, seed and steps."""
    checkpoint = read_checkpoint(model)
    return {
        "family": data.family["class_path"],
        "data": checkpoint["family"]["init_args"],
        "training_puzzles": data.training_puzzles,
        "training_hash": digest(data.published("train")),
        "seed": checkpoint.get("seed"),
        "started_from": checkpoint.get("started_from"),
        "steps": checkpoint.get("global_step"),
        "supervision_steps": module.hparams["supervision_steps"],
        "explore_seed": module.hparams["explore_seed"],
        "weights": sum(parameter.numel() for parameter in module.parameters()),
    }


def tested(
    module: TRMModule, data: PuzzleData, puzzles: int, seen: NDArray[np.uint64]
) -> tuple[dict[str, Any], dict[str, Groups]]:
    """Measure the test split: calibration and scores of all, solved by group, and some boards that are not.

    Raises:
        InputError: if a puzzle, or a symmetric one, was trained on.
    """
    puzzles = puzzles or data.eval_size("test")
    scorer = data.scorer("test") if puzzles >= data.eval_size("test") else None  # a part of the votes tells nothing
    found, samples = collect(module, data, puzzles, BATCH, scorer), labelled(data, puzzles)
    published = data.published("test")  # of ARC without augmentation, which may make two tasks look alike
    if leaks := int(np.isin(data.symmetry_keys(published), seen).sum()):
        raise InputError(f"{leaks} of {len(published.inputs)} test puzzles, or symmetric ones, were trained on")
    facts, solver = summary(found), Solver((module, data))
    half = min(facts.pop("risk_coverage"), key=lambda point: abs(point["coverage"] - 0.5))
    del facts["reliability"]
    asked, shown = samples.inputs, not isinstance(data, ARC)  # one grid of a task tells nothing
    right = (question for question in asked[found.solved] if solver.solve(question[None])[0].verdict.valid)
    report = {
        **_rounded(facts),
        "wrong_of_surer_half": round(half["wrong"], 5),
        "split": len(published.inputs),
        "hash": digest(published),
        "example": data.write(next(right, asked[0])) if shown else None,
        "unsolved": [data.write(question) for question in asked[~found.solved][:3]] if shown else [],
        "tasks": len(data.solutions) if isinstance(data, ARC) else None,
        "scores": {name: round(float(value), 5) for name, value in scorer.compute().items()} if scorer else {},
    }
    return report, {"test split": groups(data, samples, found.solved)}


def generated(data: PuzzleData, puzzles: int, seen: NDArray[np.uint64]) -> tuple[Sudoku, Samples] | None:
    """Return easy generated boards for a 9x9 Sudoku, without those that were trained on; None for other puzzles."""
    if not isinstance(data, Sudoku) or data.size != 9:
        return None
    other = Sudoku(9, "generate", 0, 0, puzzles or 1000, EASY_CLUES, seed=FRESH_SEED, root=str(data.root))
    samples = labelled(other, 0)
    return other, samples.take(~np.isin(other.symmetry_keys(samples), seen))


def resized(module: TRMModule, data: PuzzleData, puzzles: int) -> dict[str, Groups]:
    """Measure mazes of other sizes than the model was trained on; none if its parameters depend on the size."""
    if not isinstance(data, Maze) or "seq_len" not in free_sizes(module.hparams):
        return {}
    solver, found = Solver((module, data), halt="never", batch_size=BATCH), dict[str, Groups]()
    for size in (size for size in MAZE_SIZES if size != data.size):
        other = Maze(size, "generate", 0, 0, puzzles or 1000, data.kind, data.min_moves, seed=FRESH_SEED)
        asked = labelled(other, 0)
        solved = matches(solver.of_size(size**2).roll_out(asked.inputs).answers, asked.labels)
        found[f"{size}x{size} mazes (trained on {data.size}x{data.size})"] = {"all": (int(solved.sum()), len(solved))}
    return found


def labelled(data: PuzzleData, puzzles: int) -> Samples:
    """Return the test puzzles that ``collect`` asks."""
    samples = data.eval_samples("test", 0, puzzles or data.eval_size("test"))
    return samples.take(samples.labels.any(axis=1))


def groups(data: PuzzleData, samples: Samples, solved: NDArray[np.bool_]) -> Groups:
    """Count solved puzzles by what makes them hard: clues and guesses of a Sudoku, moves through a maze."""
    found: Groups = {"all": (int(solved.sum()), len(solved))}
    features: dict[str, NDArray[np.integer]] = {}
    if isinstance(data, Sudoku):
        guesses = solve(samples.inputs - np.uint8(1), data.size).guesses
        features = {"clues": (samples.inputs > 1).sum(axis=1), "guesses of an exact solver": guesses}
    elif isinstance(data, Maze):
        features = {"moves": (samples.labels == PATH).sum(axis=1) + 1}
    for name, values in features.items():
        edges = np.unique(values)
        if len(edges) == 1:
            continue
        if len(edges) > 6:
            edges = np.unique(np.quantile(values, [0, 0.2, 0.4, 0.6, 0.8], method="lower"))
            edges = np.unique([*edges, 1]) if 0 in edges else edges  # none at all is a group of its own
        for number in np.unique(places := np.searchsorted(edges, values, side="right")):
            inside = places == number
            least, most = values[inside].min(), values[inside].max()
            title = f"{name} {least}" if least == most else f"{name} {least} to {most}"
            found[title] = (int(solved[inside].sum()), int(inside.sum()))
    return found


def scaled(module: TRMModule, data: PuzzleData, samples: Samples) -> dict[str, Any]:
    """Measure more supervision steps, and views where the family has symmetries; early exit as in ``trm solve``."""
    points: list[Point] = []
    for depth in DEPTHS:
        solver = Solver((module, data), select="vote", depth=depth, batch_size=BATCH)
        points += _votes(solver, samples, [1])
    if type(data).views is not PuzzleData.views:
        solver = Solver((module, data), select="vote", views=max(VOTES), batch_size=BATCH)
        points += _votes(solver, samples, VOTES)
    if has_rules(data) and len(points) > len(DEPTHS):
        points += checked(module, data, samples) + checked(module, data, samples, DEEPER)
    rounded = [_rounded(point._asdict()) for point in points]
    return {"puzzles": len(samples.inputs), "early_exit": True, "points": rounded}


def _votes(solver: Solver, samples: Samples, breadths: Sequence[int]) -> list[Point]:
    rollouts = solver.roll_out(samples.inputs, samples.puzzle_ids)
    found = (point for same in evaluate(rollouts, samples, solver, list(breadths)) for point in same)
    return [point for point in found if point.select == "vote"]


def checked(module: TRMModule, data: PuzzleData, samples: Samples, depth: int | None = None) -> list[Point]:
    """Measure the first valid answer among several views; a puzzle gets no more views once it has one."""
    views = max(CHECKED) if isinstance(data, Sudoku) else max(VOTES)  # a square has eight symmetries
    solver = Solver((module, data), select="verifier", views=views, depth=depth, batch_size=BATCH)
    found = solver.roll_out(samples.inputs, samples.puzzle_ids)
    order = np.argsort(found.puzzles, kind="stable")  # puzzle by puzzle, each in the order of its rollouts
    rollouts = Rollouts._make(values[order] for values in found)
    solved = matches(rollouts.answers, samples.labels[rollouts.puzzles])
    number = np.arange(len(solved)) - np.searchsorted(rollouts.puzzles, rollouts.puzzles)  # of the rollout, from 0
    points = []
    for breadth in (count for count in CHECKED if count <= views):
        tried = number < breadth
        share, valid = (  # a group of rollouts may answer a puzzle more than once
            len(np.unique(rollouts.puzzles[tried & good])) / len(samples.inputs) for good in (solved, rollouts.valid)
        )
        steps = float(rollouts.steps[tried].sum()) / len(samples.inputs)
        gflop = steps * solver.gflop_per_step
        points.append(Point(solver.depth, breadth, 0.0, "verifier", share, valid, steps, gflop))
    return points


def _rounded(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 5) if isinstance(value, float) else value for name, value in facts.items()}


if __name__ == "__main__":
    sys.exit(main())
