"""The analysis of test-time scaling: what the first rollouts of a puzzle come to by selection, and what they cost."""

from typing import Any

import numpy as np
import pytest
from ranks import Guess, small_module

from trm.analysis.scaling import Point, draw, evaluate, finding, measure, tabulate
from trm.data import Maze, PuzzleData
from trm.data.samples import Samples
from trm.errors import InputError
from trm.inference.rollouts import Rollouts
from trm.inference.selection import rank_answers
from trm.module import TRMModule
from trm.solver import Solver

BREADTHS = [1, 2, 4]


@pytest.fixture(scope="module")
def sweep() -> tuple[Samples, Solver, Rollouts]:
    samples = Guess(size=20).samples("test")
    solver = Solver((small_module().eval(), Guess(size=20)), depth=3, breadth=4, noise=0.8, select="vote", halt="head")
    rollouts = solver.roll_out(samples.inputs, samples.puzzle_ids)
    often = np.random.default_rng(0).random(len(rollouts.puzzles)) < 0.4  # a random network is never right by itself
    answers = np.where(often[:, None], samples.labels[rollouts.puzzles], rollouts.answers)
    return samples, solver, rollouts._replace(answers=answers, valid=often)


def test_every_breadth_is_what_a_solver_of_that_breadth_elects(sweep: tuple[Samples, Solver, Rollouts]) -> None:
    rows, solver, rollouts = sweep
    for breadth, points in zip(BREADTHS, evaluate(rollouts, rows, solver, [*BREADTHS, 99]), strict=True):
        first = np.arange(len(rollouts.puzzles)) % 4 < breadth
        part = Rollouts._make(values[first] for values in rollouts)
        for point in points[:-1]:
            best = np.stack([candidates[0].answer for candidates in rank_answers(part, point.select)])
            assert point.solved == pytest.approx((best == rows.labels).all(axis=1).mean())
            assert (point.depth, point.breadth, point.noise) == (3, breadth, 0.8)
            assert point.gflop == pytest.approx(point.steps * solver.gflop_per_step)
        steps = rollouts.steps.reshape(-1, 4)[:, :breadth]
        valid = rollouts.valid.reshape(-1, 4)[:, :breadth]
        by_name = {point.select: point for point in points}
        assert by_name["vote"].steps == pytest.approx(steps.sum(axis=1).mean())
        assert by_name["oracle"].solved == pytest.approx(valid.any(axis=1).mean()) == by_name["verifier"].solved
        needed = [next((k + 1 for k in range(breadth) if row[k]), breadth) for row in valid]
        until = [row[:count].sum() for row, count in zip(steps, needed, strict=True)]
        assert by_name["verifier"].steps == pytest.approx(np.mean(until))
    assert by_name["oracle"].solved > by_name["halting"].solved


@pytest.mark.slow
def test_every_depth_breadth_and_noise_is_measured_and_a_family_without_symmetries_goes_without() -> None:
    shown: list[list[Point]] = []
    small: dict[str, Any] = {"depths": [1, 2], "breadths": [1, 3], "noises": [0.5], "watch": shown.append}
    for data, symmetries in ((Guess(size=20), 0), (Maze(7, test_size=4), 2)):
        assert isinstance(data, PuzzleData)
        module = small_module() if not symmetries else maze_module(data)
        facts = measure(module.eval(), data, 4, 256, views=symmetries or 8, **small)
        points = [Point(**point) for point in facts["points"]]
        trained = module.hparams["supervision_steps"]
        expected = {(1, 1, 0.0), (2, 1, 0.0), (trained, 1, 0.5), (trained, 3, 0.5)}
        assert {point[:3] for point in points} == expected | {(trained, k, 0.0) for k in (1, 2) if symmetries}
        assert (facts["puzzles"], facts["supervision_steps"]) == (4, trained)
        assert [point for same in shown for point in same] == points
        assert len(tabulate(facts).splitlines()) == 1 + len(shown)
        shown.clear()


def maze_module(data: PuzzleData) -> TRMModule:
    return TRMModule(data.vocab_size, data.seq_len, hidden_size=16, num_heads=2, multiple_of=8, supervision_steps=4)


def test_more_views_than_a_family_has_symmetries_are_refused_first() -> None:
    with pytest.raises(InputError, match="views is 9, but a maze has 8 symmetries"):
        measure(small_module().eval(), Maze(7, test_size=4), 4, 8, views=9)


def test_table_and_picture_say_what_the_numbers_say() -> None:
    points = [
        Point(16, 1, 0.0, "vote", 0.54, 0.54, 16, 8),
        Point(32, 1, 0.0, "vote", 0.55, 0.55, 32, 16),
        *(Point(16, k, 0.0, "vote", 0.54 + k / 100, 0.6, 16 * k, 8 * k) for k in (1, 2, 8)),
        Point(16, 8, 0.0, "verifier", 0.91, 0.91, 40, 20),
        Point(16, 8, 0.0, "oracle", 0.99, 0.99, 128, 64),
    ]
    facts = {"checkpoint": "a.ckpt", "family": "trm.data.Sudoku", "puzzles": 150,
             "points": [point._asdict() for point in points]}  # fmt: skip
    assert finding(facts).replace("\N{NO-BREAK SPACE}", " ") == (
        "One rollout of 16 steps solves 54.0 %; 8 symmetry views, first valid answer: 91.0 %"
    )
    (axes,) = draw(facts).axes
    assert [line.get_label() for line in axes.lines] == [
        "one rollout, more steps",
        "views, majority vote",
        "views, first valid answer",
    ]
    flat = {**facts, "points": [point._asdict() for point in points[:1]]}
    assert "gains nothing here: one rollout of 16 steps" in finding(flat)
    assert [line.split()[:2] for line in tabulate(facts).splitlines()[1:]] == [["16", "1"], ["32", "1"], ["16", "2"],
                                                                               ["16", "8"]]  # fmt: skip
