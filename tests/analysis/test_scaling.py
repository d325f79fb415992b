"""``trm scale``: what the first rollouts of each puzzle come to by selection, what they cost, and the files."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from paths import REPO
from ranks import Guess, small_module
from training import BOARDS, SMALL

from trm.analysis.scaling import evaluate
from trm.cli.main import main
from trm.data import Maze
from trm.data.samples import Samples
from trm.inference.rollouts import Rollouts
from trm.solver import Solver, elect

BREADTHS = [1, 2, 4]


@pytest.fixture(scope="module")
def sweep() -> tuple[Samples, Solver, Rollouts]:
    rows = Guess(size=20).rows("test")
    solver = Solver((small_module().eval(), Guess(size=20)), depth=3, breadth=4, noise=0.8, select="vote", halt="head")
    rollouts = solver.roll_out(rows.inputs, rows.puzzle_ids)
    often = np.random.default_rng(0).random(len(rollouts.puzzles)) < 0.4  # a random network is never right by itself
    answers = np.where(often[:, None], rows.labels[rollouts.puzzles], rollouts.answers)
    return rows, solver, rollouts._replace(answers=answers, valid=often)


def test_every_breadth_is_what_a_solver_of_that_breadth_elects(sweep: tuple[Samples, Solver, Rollouts]) -> None:
    rows, solver, rollouts = sweep
    for breadth, points in zip(BREADTHS, evaluate(rollouts, rows, solver, [*BREADTHS, 99]), strict=True):
        first = np.arange(len(rollouts.puzzles)) % 4 < breadth
        part = Rollouts._make(values[first] for values in rollouts)
        for point in points[:-1]:
            best = np.stack([candidates[0].answer for candidates in elect(part, point.select)])
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


def test_the_command_writes_points_and_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = REPO / "configs" / "quickstart.yaml"
    trainer = ["--trainer.max_steps=2", "--trainer.limit_val_batches=0", "--trainer.enable_progress_bar=false"]
    assert main(["fit", f"--config={config}", *trainer, *BOARDS, *SMALL]) == 0
    command = ["scale", "runs/quickstart/checkpoints/last.ckpt", "-o", "out.json", "--puzzles=4"]
    small: list[Any] = ["--depths=[1,2]", "--breadths=[1,3]", "--noises=[0.5]", "--views=2"]
    assert main([*command, *small]) == 0
    written = json.loads(Path("out.json").read_text())
    runs = {(point["depth"], point["breadth"], point["noise"]) for point in written["points"]}
    assert runs == {(1, 1, 0), (2, 1, 0), (2, 2, 0), (2, 1, 0.5), (2, 3, 0.5)}
    assert written["puzzles"] == 4
    assert "depth 2, 3 rollouts, noise 0.5: halting" in capsys.readouterr().out
    texts = [element.text for element in ElementTree.parse("out.svg").iter("{http://www.w3.org/2000/svg}text")]
    assert {"GFLOP per puzzle", "one rollout, deeper", "noise 0.5, vote", "views, vote"} <= set(texts)
    assert main([*command, *small]) == 2
    assert "out.json exists" in capsys.readouterr().err
    for wrong, message in {"--breadths=[0]": "breadths is 0", "--puzzles=-1": "puzzles is -1"}.items():
        assert main([*command, "--force", wrong]) == 2
        assert message in capsys.readouterr().err
    assert main(["scale", "last.ckpt", "-o", "out.svg"]) == 2
    assert "ends in .svg" in capsys.readouterr().err


def test_too_many_views_are_refused_first_and_a_family_without_symmetries_goes_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    module, small = small_module().eval(), ["--puzzles=4", "--depths=[1]", "--breadths=[2]", "--noises=[0.5]"]
    for data, views, status in ((Guess(size=20), 8, 0), (Maze(7, test_size=4), 9, 2)):
        monkeypatch.setattr("trm.analysis.report.load_checkpoint", lambda *_, data=data: (module, data))
        assert main(["scale", "any.ckpt", "-o", f"{views}.json", *small, f"--views={views}"]) == status
    assert "views is 9, but a maze has 8 symmetries" in capsys.readouterr().err
    assert not Path("9.json").exists()
    assert {point["noise"] for point in json.loads(Path("8.json").read_text())["points"]} == {0, 0.5}
