"""The command ``trm curve``: what stopping early costs in puzzles solved and saves in supervision steps.

Letters in shape comments: N puzzles, R rules, T supervision steps.
"""

from collections.abc import Callable, Collection
from typing import NamedTuple

import torch
from torch import Tensor

from trm.analysis.plot import Line, plot
from trm.analysis.report import labelled, load, publish, reserve
from trm.batch import Batch
from trm.data import PuzzleData
from trm.errors import check_range
from trm.inference import HaltingContext, HaltingRule, think
from trm.inference.halting import has_rules, head, rules, stable
from trm.module import TRMModule
from trm.nn import solved as is_solved
from trm.nn.flops import count_flops

THRESHOLDS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
UNCHANGED = (1, 2, 3)


class Point(NamedTuple):
    """A halting rule, and what came of it."""

    rule: str
    """"fixed" (the same number of steps for all), "head", "stable" or "rules"."""
    setting: float | None
    """Number of steps, threshold or steps without a change; None for "rules"."""
    solved: float
    """Share of puzzles with every labelled cell right."""
    steps: float
    """Mean supervision steps."""
    gflop: float
    """Mean billions of floating point operations per puzzle."""


def curve(
    checkpoint: str,
    *,
    output: str,
    puzzles: int = 0,
    batch_size: int = 256,
    force: bool = False,
    family: str = "",
) -> int:
    """Measure what stopping early costs and saves: every threshold and rule, on the test puzzles, in one pass.

    Each puzzle takes all supervision steps once, and it is noted after which of them each rule would have stopped.
    Writes the points as JSON, and a plot of solved against steps beside it, as SVG.

    Args:
        checkpoint: a file written by ``trm fit``, or the name of a model of the zoo.
        output: the JSON file to write, -o for short; the plot has its name and the ending .svg.
        puzzles: only so many of the test split, from its beginning; 0 for all.
        batch_size: puzzles that are thought about together.
        force: overwrite files that exist.
        family: the class the checkpoint was trained on if it is your own, such as my_puzzles.Futoshiki.
    """
    check_range("curve", 0, puzzles=puzzles)
    check_range("curve", 1, batch_size=batch_size)
    path = reserve(output, force)
    module, data = load(checkpoint, family)
    points, count = measure(module, data, puzzles, batch_size)
    for point in points:
        setting = "" if point.setting is None else f"{point.setting:g}"
        print(f"{point.rule:<7}{setting:>6}  solved {point.solved:7.2%}  steps {point.steps:6.3f}")
    facts = {"checkpoint": checkpoint, "family": data.family["class_path"], "puzzles": count}
    title = f"{count:,} test puzzles, {data.family['class_path'].rpartition('.')[2]}"
    publish(path, {**facts, "points": [point._asdict() for point in points]}, _drawn(points, title))
    return 0


def measure(module: TRMModule, data: PuzzleData, puzzles: int, batch_size: int) -> tuple[list[Point], int]:
    """Return a point for each rule, and the number of test puzzles with an answer that they are means of.

    Raises:
        InputError: if no puzzle has one.
    """
    asked: dict[tuple[str, float | None], HaltingRule] = {("head", p): head(p) for p in THRESHOLDS}
    asked |= {("stable", k): stable(k) for k in UNCHANGED}
    if has_rules(data):
        asked["rules", None] = rules(data)
    batches = labelled(data, puzzles, batch_size, module.device)
    parts = [observe(module, batch, asked.values()) for batch in batches]
    solved, stops = (torch.cat(part, dim=-1).cpu() for part in zip(*parts, strict=True))  # (T, N), (R, N)
    gflop = flops(module) / 1e9
    points = [_point("fixed", t, right, torch.tensor(t), gflop) for t, right in enumerate(solved, 1)]
    for (rule, setting), stop in zip(asked, stops, strict=True):
        points.append(_point(rule, setting, solved.gather(0, stop[None])[0], stop + 1, gflop))
    return points, solved.shape[1]


def observe(module: TRMModule, batch: Batch, asked: Collection[HaltingRule]) -> tuple[Tensor, Tensor]:
    """Take all supervision steps and note which of them, counted from 0, each rule would have made the last.

    Returns:
        After which steps each puzzle is solved, (T, N) bool, and where the rules would have stopped, (R, N).
    """
    solved, stops = [], []

    def note(context: HaltingContext) -> Tensor:
        solved.append(is_solved(context.output.logits, batch.labels))
        stops.append(torch.stack([rule(context) for rule in asked]))
        return torch.zeros_like(solved[-1])

    think(module.core, batch.inputs, batch.puzzle_ids, module.hparams["supervision_steps"], note)
    stops[-1] = torch.ones_like(stops[-1])
    return torch.stack(solved), torch.stack(stops).int().argmax(0)


def flops(module: TRMModule) -> int:
    """Count the floating point operations of one supervision step of one puzzle, without a backward pass."""
    return count_flops(module.core, slots=1).forward


def _point(rule: str, setting: float | None, solved: Tensor, steps: Tensor, gflop: float) -> Point:
    mean = float(steps.double().mean())
    return Point(rule, setting, float(solved.double().mean()), mean, mean * gflop)


def _drawn(points: list[Point], title: str) -> str:
    """Plot the share of solved puzzles against the mean number of supervision steps."""
    names: dict[str, tuple[str, Callable[[Point], str]]] = {
        "fixed": ("the same steps for all", lambda point: ""),
        "head": ("halting head above a threshold", lambda point: f"{point.setting:g}" if point.setting == 0.5 else ""),
        "stable": ("answer unchanged for 1, 2, 3 steps", lambda point: f"{point.setting:g}"),
        "rules": ("answer obeys the rules", lambda point: ""),
    }
    lines = []
    for rule, (name, label) in names.items():
        own = [point for point in points if point.rule == rule]
        if own:
            lines.append(Line(name, [(p.steps, 100 * p.solved) for p in own], [label(p) for p in own]))
    return plot(lines, title, "mean supervision steps", "solved, %")
