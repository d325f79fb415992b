"""Test-time scaling: accuracy against computation for deeper and broader inference, with noise or symmetry views.

Shapes: N puzzles, K rollouts of each.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trm.analysis.plots import doublings, legend, panels, percent, shares, subject
from trm.analysis.report import Facts, columns, labelled
from trm.arguments import EarlyExit
from trm.data import PuzzleData
from trm.data.samples import Samples, matches
from trm.errors import counted
from trm.inference.rollouts import Rollouts
from trm.inference.selection import SELECTIONS, rank_answers
from trm.module import TRMModule
from trm.solver import Solver
from trm.trace.theme import BLUE, INK, ORANGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BREADTHS = (1, 2, 4, 8, 16)
NOISES = (0.1, 0.3, 1.0)
DRAWN = {
    "halting": ("highest halting probability", "^", ":"),
    "vote": ("majority vote", "o", "-"),
    "verifier": ("first valid answer", "s", "--"),
}
"""Name, marker and line of the selections in the picture; the facts contain all selections."""


class Point(NamedTuple):
    """A way to spend computation at test time, with means over the puzzles."""

    depth: int
    """Most supervision steps of a rollout."""
    breadth: int
    """Rollouts of each puzzle."""
    noise: float
    """Standard deviation of the noise on the latent before each step; zero if the rollouts are views of the puzzle."""
    select: str
    """A selection; or "oracle", which selects the right answer if any rollout has it."""
    solved: float
    """Share of puzzles with every labelled cell right."""
    valid: float
    """Share of puzzles whose answer is valid by the rules; zero if the family has no rules."""
    steps: float
    """Supervision steps per puzzle, over all its rollouts; for the verifier, up to the first valid answer."""
    gflop: float
    """Billions of floating-point operations per puzzle."""


def measure(
    module: TRMModule,
    data: PuzzleData,
    puzzles: int | None,
    batch_size: int,
    depths: list[int] | None = None,
    breadths: list[int] | None = None,
    noises: list[float] | None = None,
    views: int = 8,
    halt: EarlyExit = "never",
    seed: int = 0,
    watch: Callable[[list[Point]], None] = lambda points: None,
) -> Facts:
    """Solve test puzzles at every depth with one rollout, and at the depth of training with noise and with views.

    Args:
        module: a trained model, in evaluation mode.
        data: its family.
        puzzles: at most this many of the test split, from its beginning; None for all.
        batch_size: rollouts in a forward pass.
        depths: most supervision steps; by default powers of two up to four times those of training.
        breadths: numbers of rollouts; by default ``BREADTHS``.
        noises: standard deviations of the noise; by default ``NOISES``.
        views: most symmetric forms of a puzzle; 1 for none, and none where the family has no symmetries.
        halt: early-exit rule of a rollout.
        seed: seed of views and noise.
        watch: called with the points of each run and breadth, as soon as they are measured.

    Returns:
        ``puzzles``, the number of those with a label, ``supervision_steps``, the depth of training, ``halt``,
        ``seed`` and ``points``, a ``Point`` for each run, breadth and selection.

    Raises:
        InputError: if no puzzle has a label, or an option is out of its range.
    """
    if type(data).views is PuzzleData.views:  # the family has no symmetries
        views = 1
    data.views(views, seed)  # raises if there are too few, before anything is measured
    trained, breadths = module.hparams["supervision_steps"], breadths or list(BREADTHS)
    samples = Samples(*map(np.concatenate, zip(*labelled(data, puzzles, batch_size), strict=True)))
    runs: list[dict[str, Any]] = [{"depth": d} for d in depths or [2**k for k in range((4 * trained).bit_length())]]
    runs += [{"depth": trained, "breadth": max(breadths), "noise": noise} for noise in noises or NOISES]
    if views > 1:
        runs.append({"depth": trained, "views": views})
    points: list[Point] = []
    for run in runs:
        solver = Solver(
            (module, data), select="vote", halt=halt, seed=seed, batch_size=batch_size, **{"views": 1, **run}
        )
        for same in evaluate(solver.roll_out(samples.inputs, samples.puzzle_ids), samples, solver, breadths):
            points += same
            watch(same)
    return {
        "puzzles": len(samples.inputs),
        "supervision_steps": trained,
        "halt": halt,
        "seed": seed,
        "points": [point._asdict() for point in points],
    }


def evaluate(rollouts: Rollouts, samples: Samples, solver: Solver, breadths: list[int]) -> Iterator[list[Point]]:
    """Yield, for each number of first rollouts, a point for each selection.

    Args:
        rollouts: K of each puzzle, puzzle by puzzle, (N * K, ...).
        samples: the puzzles, (N, L).
        solver: the solver that made them.
        breadths: numbers of rollouts, at most K; a greater one counts as K.
    """
    count, most = len(samples.inputs), len(rollouts.puzzles) // len(samples.inputs)
    right = matches(rollouts.answers, np.repeat(samples.labels, most, axis=0)).reshape(count, most)
    steps = rollouts.steps.reshape(count, most)
    valid = rollouts.valid.reshape(count, most)
    for breadth in sorted({min(breadth, most) for breadth in breadths}):
        first = np.arange(count * most) % most < breadth
        part = Rollouts._make(values[first] for values in rollouts)
        spent = steps[:, :breadth].sum(axis=1)
        found = valid[:, :breadth]
        until = np.where(found.any(axis=1), found.argmax(axis=1) + 1, breadth)
        until_valid = (steps[:, :breadth] * (np.arange(breadth) < until[:, None])).sum(axis=1)

        def point(select: str, solved: Any, obeys: Any, cost: Any, breadth: int = breadth) -> Point:
            mean = float(cost.mean())
            gflop = mean * solver.gflop_per_step
            return Point(
                solver.depth, breadth, solver.noise, select, float(solved.mean()), float(obeys.mean()), mean, gflop
            )

        points = []
        for select in SELECTIONS:
            best = [candidates[0] for candidates in rank_answers(part, select)]
            solved = matches(np.stack([candidate.answer for candidate in best]), samples.labels)
            obeys = np.array([candidate.valid for candidate in best])
            points.append(point(select, solved, obeys, until_valid if select == "verifier" else spent))
        yield [*points, point("oracle", right[:, :breadth].any(axis=1), found.any(axis=1), spent)]


def tabulate(facts: Facts) -> str:
    """Return a table for a terminal: a line for each run and breadth, a column for each selection."""
    runs: dict[tuple[int, int, float], dict[str, Point]] = {}
    for point in _points(facts):
        runs.setdefault(point[:3], {})[point.select] = point
    names = list(dict.fromkeys(point.select for point in _points(facts)))
    rows = [
        [
            f"{depth}",
            f"{breadth}",
            f"{noise:g}",
            f"{max(point.gflop for point in same.values()):.3f}",
            *(f"{same[name].solved:.1%}" if name in same else "" for name in names),
        ]
        for (depth, breadth, noise), same in runs.items()
    ]
    return columns(["depth", "breadth", "noise", "GFLOP", *names], rows)


def finding(facts: Facts) -> str:
    """Return in a sentence the accuracy of the best setting, beside that of one rollout as in training."""
    points, trained = _points(facts), _trained(facts)
    real = [point for point in points if point.select != "oracle"]
    plain = [point for point in real if (point.breadth, point.noise) == (1, 0)]
    base = min(plain, key=lambda point: abs(point.depth - trained))
    best = max(real, key=lambda point: (point.solved, -point.gflop))
    single = f"one rollout of {_steps(base.depth)}"
    if best.solved - base.solved < 0.0005:
        return f"Test-time scaling gains nothing here: {single} solves {percent(base.solved)}"
    how = f"{best.breadth} {'noisy rollouts' if best.noise else 'symmetry views'}, {_named(best.select)}"
    if best.breadth == 1:
        how = f"one of {_steps(best.depth)}"
    return f"{single.capitalize()} solves {percent(base.solved)}; {how}: {percent(best.solved)}"


def draw(facts: Facts) -> "Figure":
    """Draw the share solved against operations: one rollout of more steps, and more rollouts by selection."""
    points, trained = _points(facts), _trained(facts)
    single = {point.depth: point for point in points if point.breadth == 1 and point.select == "vote"}
    lines: list[tuple[str, list[Point], tuple[str, str, str]]] = [
        ("one rollout, more steps", [single[depth] for depth in sorted(single)], (INK, "o", "-"))
    ]
    for noisy, colour in ((True, BLUE), (False, ORANGE)):
        broader = [p for p in points if p.depth == trained and (p.noise > 0) == noisy]
        if not any(point.breadth > 1 for point in broader):
            continue
        for select, (name, marker, dashes) in list(DRAWN.items())[0 if noisy else 1 :]:
            chosen = [point for point in broader if point.select == select]
            best = max(chosen, key=lambda point: (point.solved, point.breadth)).noise
            curve = sorted({p.breadth: p for p in chosen if p.noise == best}.values(), key=lambda point: point.breadth)
            lines.append((f"{f'noise {best:g}' if noisy else 'views'}, {name}", curve, (colour, marker, dashes)))
    with panels(1, finding(facts)) as (figure, [axes]):
        for name, curve, (colour, marker, dashes) in lines:
            places = [point.gflop for point in curve], [100 * point.solved for point in curve]
            axes.plot(*places, label=name, color=colour, marker=marker, linestyle=dashes)
        drawn = [point for _, curve, _ in lines for point in curve]
        shares(axes, "y", "solved", [100 * point.solved for point in drawn])
        doublings(axes, "GFLOP per puzzle", [point.gflop for point in drawn])
        axes.set_title(subject(facts, facts["puzzles"]))
        legend(figure, 2)
    return figure


def _steps(count: int) -> str:
    return counted(count, "step")


def _named(select: str) -> str:
    return DRAWN[select][0] if select in DRAWN else f"selected by {select}"


def _points(facts: Facts) -> list[Point]:
    return [Point(**point) for point in facts["points"]]


def _trained(facts: Facts) -> int:
    """Return the depth of training; in facts without it, that of the runs with several rollouts."""
    broader: Iterable[int] = (point.depth for point in _points(facts) if point.breadth > 1)
    return int(facts.get("supervision_steps") or next(iter(broader), 1))
