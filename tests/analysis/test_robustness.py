"""The analysis of robustness: its numbers are those of what was asked, and its title says what they say."""

import math
from pathlib import Path

import pytest
import torch
from ranks import Guess, small_module
from torch import Tensor
from training import quiet_trainer

from trm.analysis.report import Facts
from trm.analysis.robustness import CORRUPTIONS, STYLES, Point, draw, finding, markdown, measure, tabulate
from trm.data import Samples, Sudoku
from trm.errors import InputError
from trm.inference import Answers
from trm.module import TRMModule


class Parrot(TRMModule):
    """Answers with the question, and is the surer the more cells are blank."""

    def solve(self, inputs: Tensor, puzzles: Tensor, halting: object = None) -> Answers:
        blanks = (inputs == 1).sum(-1)
        logits = 1e9 * torch.nn.functional.one_hot(inputs.long(), self.hparams["vocab_size"]).float()
        return Answers(logits, blanks.float(), blanks)


def boards(root: Path, count: int = 12) -> Sudoku:
    """4x4 boards of 8 clues."""
    return Sudoku(4, clues=(8, 8), root=str(root / "data"), train_size=20, val_size=0, test_size=count, slots=4,
                  steps_per_batch=2, workers=0)  # fmt: skip


def small(cls: type[TRMModule] = TRMModule) -> TRMModule:
    torch.manual_seed(0)
    return cls(6, 16, hidden_size=16, num_heads=2, multiple_of=8, cycles=1, latent_steps=1, puzzle_tokens=0,
               supervision_steps=3)  # fmt: skip


def points_of(facts: Facts) -> list[Point]:
    return [Point(**point) for point in facts["points"]]


def test_the_numbers_are_those_of_the_answers(tmp_path: Path) -> None:
    measured = points_of(measure(small(Parrot).eval(), boards(tmp_path), 12, 8))
    points = {(point.kind, point.strength): point for point in measured}
    assert {kind for kind, _ in points} == {"intact", *CORRUPTIONS}
    for (kind, strength), point in points.items():
        blanks = 8 + {"missing": strength, "extra": -strength, "contradictory": -strength}.get(kind, 0)
        if kind != "unused":  # of which some are blanks
            assert point.confidence == pytest.approx(1 / (1 + math.exp(-blanks)))
            assert point.quartiles == pytest.approx([point.confidence] * 3)
            assert point.steps == blanks
            full = strength == 8 and kind in ("extra", "contradictory")  # and what was not changed is right
            assert (point.solved, point.valid) == (full, full and kind == "extra")
        assert point.puzzles == 12
        assert point.keeps_givens == 1
        assert point.cell_probability == pytest.approx(1)
    areas = {"extra": 1.0, "contradictory": 1.0, "missing": 0.0, "wrong": 0.5}
    assert {kind: points[kind, 1].auroc for kind in areas} == areas
    assert points["intact", 0].auroc is None
    assert points["unused", 1].valid is None
    assert ("unused", 16) not in points  # nothing would be left of the question


def test_intact_puzzles_are_answered_as_in_an_evaluation(tmp_path: Path) -> None:
    class Half(Guess):
        """Of ten puzzles, five without an answer, which do not count."""

        def load(self, split: str) -> Samples:
            samples = super().load(split)
            samples.labels[5:10] = 0
            return samples

    module, data = small_module(halt="head").eval(), Half(size=10, slots=4)
    intact = points_of(measure(module, data, 10, 4))[0]
    (metrics,) = quiet_trainer().test(module, data, verbose=False)
    assert intact.puzzles == 5
    assert intact.keeps_givens is None
    for name, metric in (("solved", "solved"), ("steps", "supervision_steps")):
        assert getattr(intact, name) == pytest.approx(metrics[f"test/{metric}"])


def test_batches_do_not_matter_and_the_seed_does(tmp_path: Path) -> None:
    module, data = small().eval(), boards(tmp_path)
    points, again, other = (
        points_of(measure(module, data, 10, size, seed)) for size, seed in ((256, 0), (3, 0), (256, 1))
    )
    for one, two in zip(points, again, strict=True):
        assert one.confidence == pytest.approx(two.confidence)
        assert one.cell_probability == pytest.approx(two.cell_probability)
        assert (one.kind, one.strength, one.puzzles, one.steps) == (
            two.kind,
            two.strength,
            two.puzzles,
            two.steps,
        )
    assert other[0].confidence == points[0].confidence or other[0].confidence == pytest.approx(points[0].confidence)
    assert other[1].cell_probability != pytest.approx(points[1].cell_probability, rel=1e-9)


def test_puzzles_without_an_answer_are_refused() -> None:
    class Unknown(Guess):
        def load(self, split: str) -> Samples:
            samples = super().load(split)
            return samples._replace(labels=samples.labels * 0)

    with pytest.raises(InputError, match="none of the 5 puzzles of the test split has a label"):
        measure(small_module().eval(), Unknown(), 5, 8)


def test_table_and_picture_say_what_the_numbers_say(tmp_path: Path) -> None:
    facts = {
        "checkpoint": "a.ckpt",
        "family": "trm.data.Sudoku",
        **measure(small(Parrot).eval(), boards(tmp_path), 12, 8),
    }
    areas = {point.kind: point.auroc for point in points_of(facts) if point.strength == 1}
    assert max(areas, key=lambda kind: areas[kind] or 0) == "extra"
    assert finding(facts) == (
        "Confidence drops most where a cell of the answer is given (AUROC 1.00), "
        "least where a given is missing (0.00; 0.5 is chance)"
    )
    confidence, separation = draw(facts).axes
    assert {line.get_label() for line in confidence.lines} == {name for name, *_ in STYLES.values()}
    assert len(separation.lines) == 1 + len(CORRUPTIONS)
    lines = tabulate(facts).splitlines()
    assert len(lines) == 1 + len(facts["points"]) == len(markdown(facts).splitlines()) - 1
    assert lines[1].startswith("intact")
