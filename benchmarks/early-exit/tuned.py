"""Choose the early exit of models of the zoo on validation, and verify it on their test split.

``python benchmarks/early-exit/tuned.py`` writes tuned.json; 5 minutes on one core.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trm.analysis.report import labelled
from trm.checkpoints.load import load_checkpoint
from trm.data.samples import Samples
from trm.inference import HaltingContext, halting_rule
from trm.provenance import PROJECT, commit, environment
from trm.tune.exits import Candidate, choose, observe, upper_bound, weigh

HERE = Path(__file__).parent
MODELS = {"sudoku-6x6": 0.005, "maze-11x11": 0.01}
"""Target loss by model; mazes have 500 validation puzzles, too few for less."""
BATCH = 250


def rows() -> list[list[str]]:
    """Return a row for each model of tuned.json: what was chosen on validation, and what it is on the test split."""
    found = []
    for name, facts in json.loads((HERE / "tuned.json").read_text())["models"].items():
        choice, chosen, full = facts["choice"], facts["test"]["chosen"], facts["test"]["full"]
        rule = f"head above {choice['halt_threshold']:g}" if choice["halt"] == "head" else choice["halt"]
        found.append(
            [
                f"`{name}`",
                f"{choice['target_loss']:.1%}",
                f"{rule}, views: {choice['views']}",
                f"{choice['lost']} of {choice['puzzles']:,}, at most {choice['upper_bound']:.2%}",
                f"{chosen['lost']} of {facts['test']['puzzles']:,}",
                f"{full['solved']:.2%}",
                f"{chosen['solved']:.2%}",
                f"{full['steps']:.2f}",
                f"{chosen['steps']:.2f}",
            ]
        )
    return found


HEAD = [
    *("model", "target", "chosen on validation", "lost there", "lost in test"),
    *("solved by all steps", "solved", "all steps", "steps"),
]


def measure(name: str, target: float) -> dict[str, Any]:
    """Choose the exit of a model, and count what it loses on the test split."""
    module, data = load_checkpoint(name)
    choice, _ = choose(module, data, target, BATCH)
    samples = Samples(*map(np.concatenate, zip(*labelled(data, None, data.eval_size("test")), strict=True)))
    names = [("never", None), (choice.halt, choice.halt_threshold)]
    rule = halting_rule(choice.halt, choice.halt_threshold, data)
    exits = observe(module, samples, data.views(choice.views), [never, rule or never], BATCH)
    weighed = weigh(exits, samples, names, sorted({1, choice.views}), np.zeros(len(samples.inputs), dtype=np.bool_))
    chosen = next(c for c in weighed if (c.halt, c.views) == (choice.halt, choice.views))
    bound = upper_bound(chosen.lost, len(samples.inputs))
    test = {"puzzles": len(samples.inputs), "full": plain(weighed[0]), "chosen": plain(chosen), "upper_bound": bound}
    return {"choice": choice._asdict(), "test": test}


def never(context: HaltingContext) -> torch.Tensor:
    """Return that no puzzle halts."""
    return torch.zeros_like(context.unchanged, dtype=torch.bool)


def plain(candidate: Candidate) -> dict[str, Any]:
    """Return a candidate as an object for JSON."""
    return candidate._asdict()


def main() -> int:
    """Measure all models."""
    torch.set_num_threads(1)
    facts = {"machine": environment(), "commit": commit(PROJECT), "models": {}}
    for name, target in MODELS.items():
        facts["models"][name] = measure(name, target)
        (HERE / "tuned.json").write_text(json.dumps(facts, indent=1) + "\n")
        print(name, json.dumps(facts["models"][name]["choice"]), json.dumps(facts["models"][name]["test"]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
