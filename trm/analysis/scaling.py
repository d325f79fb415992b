"""The command ``trm scale``: what more thinking brings - deeper, broader, noisier, from more sides.

Letters in shape comments: N puzzles, K rollouts of each.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from trm.analysis.plot import Line, plot
from trm.analysis.report import load, publish, reserve
from trm.data import PuzzleData
from trm.data.samples import Samples, Tokens
from trm.errors import InputError, check_range
from trm.inference import RuleName
from trm.inference.rollouts import Rollouts
from trm.inference.selection import SELECTIONS
from trm.solver import Solver, elect

DRAWN = ("halting", "vote", "verifier")
"""The selections in the plot; the JSON file has all."""


class Point(NamedTuple):
    """A way to spend computation, and what came of it."""

    depth: int
    """Most supervision steps of a rollout."""
    breadth: int
    """Rollouts of each puzzle."""
    noise: float
    """On the latent, before each step; zero where the rollouts are views of the puzzle instead."""
    select: str
    """A selection; or "oracle", which takes the right answer if any rollout came to it."""
    solved: float
    """Share of puzzles with every labelled cell right."""
    valid: float
    """Share of puzzles whose answer obeys the rules; zero where there are none."""
    steps: float
    """Mean supervision steps per puzzle, over all its rollouts; for the verifier, up to the first valid one."""
    gflop: float
    """Mean billions of floating-point operations per puzzle."""


def scale(
    checkpoint: str,
    *,
    output: str,
    depths: list[int] | None = None,
    breadths: list[int] | None = None,
    noises: list[float] | None = None,
    views: int = 8,
    halt: RuleName = "never",
    puzzles: int = 200,
    seed: int = 0,
    force: bool = False,
    family: str = "",
) -> int:
    """Sweep how deep, how broad and with how much noise test puzzles are thought about, and measure what it brings.

    Every depth is run with one rollout; the depth of training also with noisy rollouts and with views, of which every
    breadth and every selection is evaluated. Writes the points as JSON, and a plot of the share solved against
    operations beside it, as SVG.

    Args:
        checkpoint: a file written by ``trm fit``, or the name of a model of the zoo.
        output: the JSON file to write, -o for short; the plot has its name and the ending .svg.
        depths: supervision steps of a rollout; null for powers of two up to four times those of training.
        breadths: rollouts of a puzzle; null for 1, 2, 4, 8 and 16.
        noises: standard deviations of the noise on the latent; null for 0.1, 0.3 and 1.
        views: most symmetric forms of a puzzle to think about, without noise, where the family has some; 0 for none.
        halt: when a rollout stops before its last step: never, head, stable or rules.
        puzzles: only so many of the test split, from its beginning; 0 for all.
        seed: seed of views and noise.
        force: overwrite files that exist.
        family: the class the checkpoint was trained on if it is your own, such as my_puzzles.Futoshiki.
    """
    check_range("scale", 0, puzzles=puzzles, views=views)
    for name, values in (("depths", depths), ("breadths", breadths)):
        for value in values or []:
            check_range("scale", 1, **{name: value})
    path = reserve(output, force)
    module, data = load(checkpoint, family)
    if type(data).views is PuzzleData.views:  # it knows no symmetries
        views = 0
    data.views(max(1, views), seed)  # refuses too many before anything is measured
    trained = module.hparams["supervision_steps"]
    rows = data.eval_rows("test", 0, puzzles or data.eval_size("test"))
    rows = rows.take(np.flatnonzero(rows.labels.any(axis=1)))
    if not len(rows.inputs):
        raise InputError("none of the test puzzles has an answer to compare with")
    options: dict[str, Any] = {"halt": halt, "select": "vote", "seed": seed}
    runs: list[dict[str, Any]] = [
        {"depth": depth} for depth in depths or [2**k for k in range((4 * trained).bit_length())]
    ]
    broadest = max(breadths or [16])
    runs += [{"depth": trained, "breadth": broadest, "noise": noise} for noise in noises or [0.1, 0.3, 1.0]]
    if views > 1:
        runs.append({"depth": trained, "views": views})
    points: list[Point] = []
    for run in runs:
        solver = Solver((module, data), **options, **run)
        rollouts = solver.roll_out(rows.inputs, rows.puzzle_ids)
        for same in evaluate(rollouts, rows, solver, breadths or [1, 2, 4, 8, 16]):
            points += same
            shares = "  ".join(f"{point.select} {point.solved:.1%}" for point in same)
            depth, breadth, noise = same[0][:3]
            print(f"depth {depth}, {breadth} rollouts, noise {noise:g}: {shares}", flush=True)
    name = data.family["class_path"]
    facts = {"checkpoint": checkpoint, "family": name, "puzzles": len(rows.inputs), "halt": halt, "seed": seed}
    title = f"{len(rows.inputs):,} test puzzles, {name.rpartition('.')[2]}"
    publish(path, {**facts, "points": [point._asdict() for point in points]}, drawn(points, trained, title))
    return 0


def evaluate(rollouts: Rollouts, rows: Samples, solver: Solver, breadths: list[int]) -> Iterator[list[Point]]:
    """Yield, for each number of first rollouts, a point for each selection.

    Args:
        rollouts: K of each puzzle, those of a puzzle behind each other, (N * K, ...).
        rows: the puzzles, (N, L).
        solver: which made them.
        breadths: numbers of rollouts; those above K are passed over.
    """
    count, most = len(rows.inputs), len(rollouts.puzzles) // len(rows.inputs)
    right = solves(rollouts.answers, np.repeat(rows.labels, most, axis=0)).reshape(count, most)
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
            best = [candidates[0] for candidates in elect(part, select)]
            solved = solves(np.stack([candidate.answer for candidate in best]), rows.labels)
            obeys = np.array([candidate.valid for candidate in best])
            points.append(point(select, solved, obeys, until_valid if select == "verifier" else spent))
        yield [*points, point("oracle", right[:, :breadth].any(axis=1), found.any(axis=1), spent)]


def solves(answers: Tokens, labels: Tokens) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Tell which answers have every labelled cell right, 2 x (N, L) to (N,)."""
    return np.asarray(((answers == labels) | (labels == 0)).all(axis=1))


def drawn(points: list[Point], trained: int, title: str) -> str:
    """Plot the share solved against operations: one rollout of more steps, and more rollouts by selection."""
    single = {point.depth: point for point in points if point.breadth == 1 and point.select == "vote"}
    deeper = [single[depth] for depth in sorted(single)]
    lines = [_line("one rollout, deeper", deeper, [f"{point.depth}" for point in deeper])]
    for name, noisy in (("noise", True), ("views", False)):
        broader = [p for p in points if p.depth == trained and (p.noise > 0) == noisy]
        if not any(point.breadth > 1 for point in broader):
            continue
        for select in DRAWN if noisy else DRAWN[1:]:
            chosen = [point for point in broader if point.select == select]
            best = max(chosen, key=lambda point: (point.solved, point.breadth)).noise
            curve = sorted({p.breadth: p for p in chosen if p.noise == best}.values(), key=lambda point: point.breadth)
            kind = f"noise {best:g}" if noisy else name
            lines.append(_line(f"{kind}, {select}", curve, ["" for _ in curve]))
    return plot(lines, title, "GFLOP per puzzle", "solved, %", doubling=True)


def _line(name: str, points: list[Point], labels: list[str]) -> Line:
    return Line(name, [(point.gflop, 100 * point.solved) for point in points], labels)
