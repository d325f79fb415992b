r"""Does training on boards that contradict themselves make the model doubt them, and what does that cost?

    python benchmarks/robustness/abstain.py
    python benchmarks/robustness/abstain.py --name sudoku-9x9 --data.size 9 --data.clues '[40, 60]' --data.slots 16

Trains a configuration with and without ``--data.corrupt``, one run per seed, where runs/ lacks them, and measures them
on test puzzles, intact and made to contradict themselves. Options that are not listed go to ``trm fit``.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchmetrics.functional.classification import binary_auroc

from trm.analysis.calibration import COVERAGES, risk_coverage
from trm.analysis.plots import legend, panels, percent, shares, svg
from trm.analysis.report import labelled, table
from trm.analysis.robustness import ask
from trm.checkpoints.files import read_checkpoint
from trm.checkpoints.load import load_checkpoint
from trm.checkpoints.summary import cost
from trm.cli.main import main as trm
from trm.data import Samples
from trm.data.corruption import given_tokens
from trm.provenance import PROJECT, commit, environment
from trm.trace.theme import BLUE, VERMILLION

HERE = Path(__file__).parent
SHARES = (0.0, 0.25)
"""Values of ``--data.corrupt`` that are compared."""
COLOURS = {0.0: VERMILLION, 0.25: BLUE}
BATCH = 256
HEAD = [
    *("corrupt", "seed", "solved", "AUROC", "of one cell", "threshold", "intact: answered", "of these wrong"),
    *("contradictory: answered", "core-seconds"),
]


def tables() -> dict[str, str]:
    """Return a table of each committed result, a line for each run."""
    results = {path.stem: json.loads(path.read_text())["runs"] for path in sorted(HERE.glob("abstain-*.json"))}
    return {name: table(HEAD, map(_row, runs)) for name, runs in results.items()}


def _row(run: dict[str, Any]) -> list[str]:
    parts = ("intact_answered", "answered_wrong", "contradictory_answered")
    return [
        f"{run['corrupt']:g}",
        str(run["seed"]),
        f"{run['solved']:.1%}",
        *(f"{run[name]:.4f}" for name in ("auroc", "auroc_of_one_cell", "threshold")),
        *(f"{run[name]:.1%}" for name in parts),
        f"{run['core_seconds']:.0f}",
    ]


def train(name: str, config: str, corrupt: float, seed: int, options: list[str]) -> Path:
    """Train a run, or go on where it was stopped, and return its last checkpoint."""
    folder = Path("runs", f"{name}-corrupt-{corrupt:g}-seed-{seed}")
    seeds = (f"--seed_everything={seed}", f"--data.seed={seed}", f"--model.explore_seed={seed}")
    command = ["fit", "--config", config, f"--data.corrupt={corrupt}", *seeds, *options]
    if status := trm([*command, f"--trainer.logger.save_dir={folder}"]):
        raise SystemExit(status)
    return folder / "checkpoints" / "last.ckpt"


def measure(checkpoint: Path, puzzles: int) -> dict[str, Any]:
    """Return what a run answers, and how surely, on intact and contradictory test puzzles."""
    module, data = load_checkpoint(checkpoint)
    content = read_checkpoint(checkpoint)
    samples = Samples(*map(np.concatenate, zip(*labelled(data, puzzles, BATCH), strict=True)))
    given = torch.from_numpy(given_tokens(samples.inputs, samples.labels, data.vocab_size))
    questions, changed = data.contradictions(samples, 0)
    cells = (questions != samples.inputs).sum(1)[changed]
    intact = ask(module, data, samples, samples.inputs, given, BATCH)
    broken = ask(module, data, samples.take(changed), questions[changed], given, BATCH).confidence
    threshold, sure = module.abstain_below, intact.confidence
    assert threshold is not None, f"{checkpoint} has no threshold: it was not validated"
    right = np.concatenate([intact.solved.numpy() == 1, np.zeros(len(broken), dtype=np.bool_)])
    confidences = torch.cat((sure, broken))
    risks = risk_coverage(confidences.logit().numpy(), right)
    answered = sure >= threshold
    return {
        "puzzles": len(sure),
        "contradictory": len(broken),
        "solved": float(intact.solved.mean()),
        "auroc": auroc(sure, broken),
        "auroc_of_one_cell": auroc(sure, broken[torch.from_numpy(cells == 1)]),
        "threshold": threshold,
        "intact_answered": float(answered.double().mean()),
        "answered_wrong": float((1 - intact.solved)[answered].mean()) if answered.any() else 0.0,
        "contradictory_answered": float((broken >= threshold).double().mean()),
        "risk_coverage": [
            (share / 100, float(risks[max(1, round(len(risks) * share / 100)) - 1])) for share in COVERAGES
        ],
        "core_seconds": cost(content, "core_seconds"),
        "steps": content["global_step"],
    }


def auroc(intact: torch.Tensor, broken: torch.Tensor) -> float:
    """Return the AUROC of separating intact from contradictory puzzles by confidence."""
    target = torch.cat((torch.ones(len(intact)), torch.zeros(len(broken)))).int()
    return float(binary_auroc(torch.cat((intact, broken)), target))


def draw(facts: dict[str, Any]) -> str:
    """Return a picture of risk against coverage on as many contradictory as intact puzzles, as SVG."""
    means = {
        corrupt: np.mean([run["risk_coverage"] for run in facts["runs"] if run["corrupt"] == corrupt], axis=0)
        for corrupt in SHARES
    }
    halves = [percent(float(curve[len(curve) // 2 - 1, 1])) for curve in means.values()]
    title = f"Of the more confident half of intact and contradictory boards, {halves[0]} are answered wrongly, or "
    with panels(1, f"{title}{halves[1]} after training on a share of contradictory ones") as (figure, [axes]):
        for corrupt, curve in means.items():
            label = f"data.corrupt {corrupt:g}"
            axes.plot(100 * curve[:, 0], 100 * curve[:, 1], label=label, color=COLOURS[corrupt], marker="o")
        shares(axes, "x", "puzzles answered, half of all being contradictory", [0, 100])
        shares(axes, "y", "wrong answers", [0, *(100 * value for curve in means.values() for value in curve[:, 1])])
        legend(figure, 2)
    return svg(figure)


def main(argv: list[str] | None = None) -> int:
    """Train, measure, and write abstain-NAME.json with its picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="sudoku-4x4", help="of the runs and results")
    parser.add_argument("--config", default=str(PROJECT / "configs/quickstart.yaml"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--puzzles", type=int, default=1000, help="at most this many of the test split")
    parser.add_argument("--into", type=Path, default=HERE, help="folder of the results (default: this one)")
    arguments, options = parser.parse_known_args(argv)
    runs = [
        {"corrupt": corrupt, "seed": seed}
        | measure(train(arguments.name, arguments.config, corrupt, seed, options), arguments.puzzles)
        for corrupt in SHARES
        for seed in arguments.seeds
    ]
    facts = {"runs": runs, "machine": environment(), "commit": commit(PROJECT)}
    path = arguments.into / f"abstain-{arguments.name}.json"
    path.write_text(json.dumps(facts, indent=1) + "\n")
    path.with_suffix(".svg").write_text(draw(facts))
    print("the tables of the pages follow by: make tables", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
