"""Early exit: the supervision steps that each halting rule saves, and the accuracy that it loses.

Shapes: B puzzles of a batch, N puzzles, R rules, T supervision steps.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from trm.analysis.plots import doublings, legend, panels, percent, shares, subject
from trm.analysis.report import Facts, columns, labelled
from trm.batch import Batch
from trm.data import PuzzleData
from trm.data.progress import Progress, unwatched
from trm.data.samples import to_batch
from trm.inference import HaltingContext, HaltingRule, think
from trm.inference.halting import has_rules, head, rules, stable
from trm.module import TRMModule
from trm.nn import solved as is_solved
from trm.nn.flops import count_flops
from trm.trace.theme import BLUE, GREEN, ORANGE, SOFT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THRESHOLDS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
UNCHANGED = (1, 2, 3)
STYLES = {
    "fixed": ("no early exit, 1 step to all", SOFT, "o"),
    "head": ("halting probability above 0.01 to 0.999", BLUE, "s"),
    "stable": ("answer unchanged for 1, 2 or 3 steps", ORANGE, "^"),
    "rules": ("answer is valid", GREEN, "D"),
}
"""Name, colour and marker of each rule in the picture."""


class Point(NamedTuple):
    """An early-exit rule, with means over the puzzles."""

    rule: str
    """"fixed" (the same number of steps for all), "head", "stable" or "rules"."""
    setting: float | None
    """Number of steps, threshold or steps without a change; None for "rules"."""
    solved: float
    """Share of puzzles with every labelled cell right."""
    steps: float
    """Supervision steps taken."""
    gflop: float
    """Billions of floating-point operations per puzzle."""


def measure(
    module: TRMModule, data: PuzzleData, puzzles: int | None, batch_size: int, watch: Progress = unwatched
) -> Facts:
    """Take all supervision steps once, and record after which of them each rule would exit.

    Args:
        module: a trained model, in evaluation mode.
        data: its family.
        puzzles: at most this many of the test split, from its beginning; None for all.
        batch_size: puzzles in a forward pass.
        watch: called with the numbers of puzzles done and wanted.

    Returns:
        ``puzzles``, the number of those with a label, and ``points``, a ``Point`` for each rule.

    Raises:
        InputError: if no puzzle has a label.
    """
    exit_rules = rules_of(data)
    batches = (
        Batch(*(field.to(module.device) for field in to_batch(samples)))
        for samples in labelled(data, puzzles, batch_size, watch=watch)
    )
    parts = [observe(module, batch, exit_rules.values()) for batch in batches]
    solved, exits = (torch.cat(part, dim=-1).cpu() for part in zip(*parts, strict=True))  # (T, N), (R, N)
    gflop = flops(module) / 1e9
    points = [_point("fixed", t, right, torch.tensor(t), gflop) for t, right in enumerate(solved, 1)]
    for (rule, setting), last in zip(exit_rules, exits, strict=True):
        points.append(_point(rule, setting, solved.gather(0, last[None])[0], last + 1, gflop))
    return {"puzzles": solved.shape[1], "points": [point._asdict() for point in points]}


def rules_of(data: PuzzleData) -> dict[tuple[str, float | None], HaltingRule]:
    """Return the early-exit rules of a family by name and setting: a threshold, or steps without a change."""
    found: dict[tuple[str, float | None], HaltingRule] = {("head", p): head(p) for p in THRESHOLDS}
    found |= {("stable", k): stable(k) for k in UNCHANGED}
    return found | ({("rules", None): rules(data)} if has_rules(data) else {})


def observe(module: TRMModule, batch: Batch, exit_rules: Collection[HaltingRule]) -> tuple[Tensor, Tensor]:
    """Take all supervision steps with a batch of labelled puzzles.

    Returns:
        Which puzzles are solved after each step, (T, B) bool, and the step, from 0, at which each rule would exit,
        (R, B).
    """
    solved, exits = [], []

    def note(context: HaltingContext) -> Tensor:
        logits = context.output.logits
        solved.append(is_solved(logits, module.nearest_labels(logits, batch.labels)))
        exits.append(torch.stack([rule(context) for rule in exit_rules]))
        return torch.zeros_like(solved[-1])

    think(module.core, batch.inputs, batch.puzzle_ids, module.hparams["supervision_steps"], note)
    exits[-1] = torch.ones_like(exits[-1])
    return torch.stack(solved), torch.stack(exits).int().argmax(0)


def flops(module: TRMModule) -> int:
    """Return the floating-point operations of one supervision step of one puzzle, without a backward pass."""
    return count_flops(module.core, slots=1).forward


def _point(rule: str, setting: float | None, solved: Tensor, steps: Tensor, gflop: float) -> Point:
    mean = float(steps.double().mean())
    return Point(rule, setting, float(solved.double().mean()), mean, mean * gflop)


def tabulate(facts: Facts) -> str:
    """Return a table for a terminal, a line for each rule."""
    return columns(
        ["rule", "setting", "solved", "steps", "GFLOP"],
        [
            [
                point.rule,
                "" if point.setting is None else f"{point.setting:g}",
                f"{point.solved:.2%}",
                f"{point.steps:.3f}",
                f"{point.gflop:.3f}",
            ]
            for point in _points(facts)
        ],
    )


def finding(facts: Facts) -> str:
    """Return in a sentence what early exit at a halting probability of 0.5 saves and loses."""
    points = _points(facts)
    whole = max((point for point in points if point.rule == "fixed"), key=lambda point: point.steps)
    half = next(point for point in points if (point.rule, point.setting) == ("head", 0.5))
    saved, lost = 1 - half.steps / whole.steps, 100 * (whole.solved - half.solved)
    price = "no puzzle" if abs(lost) < 0.05 else f"{abs(lost):.1f} points of accuracy"
    verb = "gains" if lost <= -0.05 else "loses"
    return f"Early exit at 0.5 saves {percent(saved)} of the steps and {verb} {price}"


def draw(facts: Facts) -> "Figure":
    """Draw the share of solved puzzles against the mean number of supervision steps, a line for each kind of rule."""
    points = _points(facts)
    with panels(1, finding(facts)) as (figure, [axes]):
        for rule, (name, colour, marker) in STYLES.items():
            own = [point for point in points if point.rule == rule]
            if own:
                places = [point.steps for point in own], [100 * point.solved for point in own]
                axes.plot(*places, label=name, color=colour, marker=marker)
        shares(axes, "y", "solved", [100 * point.solved for point in points])
        doublings(axes, "mean supervision steps", [point.steps for point in points])
        half = next(point for point in points if (point.rule, point.setting) == ("head", 0.5))
        ring: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 13, "fillstyle": "none", "color": BLUE}
        name = f"the same at 0.5: {half.steps:.2g} steps, {percent(half.solved)}"
        axes.plot([half.steps], [100 * half.solved], label=name, **ring)
        axes.set_title(subject(facts, facts["puzzles"]))
        legend(figure, 2)
    return figure


def _points(facts: Facts) -> list[Point]:
    return [Point(**point) for point in facts["points"]]
