"""Train on 4x4 Sudoku boards of 2 to 12 solutions, on all of them or on one label, and count the answers found.

Each run is short and starts anew; all of it takes some minutes on one core: ``python benchmarks/recipes/answers.py``.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer, seed_everything
from report import spread

from trm import Solver, StepEMA, Sudoku, TRMModule
from trm.analysis.report import table
from trm.data.samples import Samples
from trm.data.sampling import DrawGenerator
from trm.provenance import PROJECT, commit, environment

HERE = Path(__file__).parent
ROLLOUTS = 8
NOISE = 1.0
"""Standard deviation of the noise on the initial state, in training and of all rollouts but the first."""
DATA = {"size": 4, "train_size": 5000, "val_size": 0, "test_size": 200, "solutions": (2, 12), "slots": 32, "workers": 0}
MODEL = {"hidden_size": 48, "multiple_of": 8, "mixer": "mlp", "positions": "none", "puzzle_tokens": 0, "cycles": 2}
MODEL |= {"latent_steps": 3, "supervision_steps": 4, "lr": 2e-3, "warmup_steps": 100, "start_noise": NOISE}
DEPTH = 8
"""Supervision steps of a rollout, at most."""


class AnyLabel(Sudoku):
    """One of the solutions of each board, the same in every pass, is its label."""

    def augment(self, samples: Samples, generator: DrawGenerator) -> Samples:
        """Return each board under a random symmetry, with one label."""
        samples = super().augment(samples, generator)
        return samples._replace(labels=samples.first)


class CanonicalLabel(Sudoku):
    """The solution that comes first by its digits is the label: a rule that the network can learn."""

    def augment(self, samples: Samples, generator: DrawGenerator) -> Samples:
        """Return each board under a random symmetry, with one label."""
        samples = super().augment(samples, generator)
        numbers = samples.answers @ self.vocab_size ** np.arange(self.seq_len - 1, -1, -1)  # (N, A), in order
        first = np.where(numbers == 0, np.iinfo(np.int64).max, numbers).argmin(1)
        return samples._replace(labels=samples.answers[np.arange(len(first)), first])


ARMS: dict[str, tuple[str, type[Sudoku]]] = {
    "nearest": ("nearest of all solutions", Sudoku),
    "canonical": ("solution that is first by its digits", CanonicalLabel),
    "any": ("one solution, drawn with the board", AnyLabel),
}
"""What is trained on: words for the table, and the family."""


def measure(arm: str, seed: int, steps: int, root: str | None) -> dict[str, Any]:
    """Train a model, and return what it finds on boards that it has not seen."""
    seed_everything(seed, verbose=False)
    data = ARMS[arm][1](**{**DATA, "seed": seed, "root": root})
    module = TRMModule(data.vocab_size, data.seq_len, explore_seed=seed, **MODEL)
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    quiet["enable_model_summary"] = False
    trainer = Trainer(accelerator="cpu", max_steps=steps, callbacks=[StepEMA(warmup=True)], **quiet)
    start = time.process_time()
    trainer.fit(module, data)
    seconds = time.process_time() - start
    samples = data.samples("test")
    options = {"depth": DEPTH, "breadth": ROLLOUTS, "start_noise": NOISE, "seed": seed}
    rollouts = Solver((module.eval(), data), **options).roll_out(samples.inputs)
    found = [
        {bytes(answer) for answer in rollouts.answers[(rollouts.puzzles == board) & rollouts.valid]}
        for board in range(len(samples.inputs))
    ]
    solutions = samples.answers.any(-1).sum(1)
    first = np.unique(rollouts.puzzles, return_index=True)[1]
    return {
        "arm": arm,
        "seed": seed,
        "core_seconds": seconds,
        "valid": float(rollouts.valid[first].mean()),
        "valid_rollouts": float(rollouts.valid.mean()),
        "found_any": float(np.mean([bool(answers) for answers in found])),
        "distinct": float(np.mean([len(answers) for answers in found])),
        "share_of_solutions": float(np.mean([len(a) / n for a, n in zip(found, solutions, strict=True)])),
        "solutions": float(solutions.mean()),
    }


COLUMNS = {
    "valid, one rollout": ("valid", 100, 1),
    "valid, of 8 rollouts": ("valid_rollouts", 100, 1),
    "a valid answer in 8": ("found_any", 100, 1),
    "distinct valid answers in 8": ("distinct", 1, 2),
    "share of the solutions in 8": ("share_of_solutions", 100, 1),
    "core-seconds": ("core_seconds", 1, 0),
}
"""Columns of the table, the values that they show, with factor and digits."""


def tables(folder: Path = HERE) -> dict[str, str]:
    """Return the table of the committed results: mean and standard deviation over the seeds."""
    rows = json.loads((folder / "answers.json").read_text())["rows"]
    lines = []
    for arm, (words, _) in ARMS.items():
        own = [row for row in rows if row["arm"] == arm]
        columns = COLUMNS.values()
        lines.append([words, *(spread([by * row[key] for row in own], digits) for key, by, digits in columns)])
    return {"answers": table(["loss against the", *COLUMNS], lines)}


def main(argv: list[str] | None = None) -> int:
    """Train and measure all runs, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=800, help="optimizer steps of a run")
    parser.add_argument("--root", help="folder for generated boards (default: the cache)")
    parser.add_argument("--into", type=Path, default=HERE, help="folder of the results (default: this one)")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    rows = []
    for seed in given.seeds:
        for arm in ARMS:
            rows.append(measure(arm, seed, given.steps, given.root))
            print(json.dumps(rows[-1]), flush=True)
    facts = {"steps": given.steps, "commit": commit(PROJECT), "machine": environment(), "rows": rows}
    (given.into / "answers.json").write_text(json.dumps(facts, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
