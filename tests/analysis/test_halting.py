"""The analysis of early exit: its points are what evaluations with each rule find, and its title says so."""

from typing import Any

import pytest
import torch
from ranks import Guess, small_module
from training import quiet_trainer

from trm.analysis.halting import UNCHANGED, Point, draw, finding, flops, measure, tabulate
from trm.data import Samples
from trm.errors import InputError
from trm.inference import think
from trm.module import TRMModule

SIZE = 30


def speaking_module(**arguments: Any) -> TRMModule:
    """``small_module``, which always answers with padding, taught not to."""
    module = small_module(**arguments).eval()
    with torch.no_grad():
        module.core.answer_head.weight[0].neg_()
    return module


class HalfKnown(Guess):
    """Twenty puzzles with an answer, ten without; the first ten agree with what the module says after a step."""

    def load(self, split: str) -> Samples:
        samples = super().load(split)
        inputs, puzzles = torch.from_numpy(samples.inputs).int(), torch.from_numpy(samples.puzzle_ids)
        samples.labels[:10] = think(speaking_module().core, inputs, puzzles, 1).tokens[:10]
        samples.labels[20:] = 0
        return samples


def test_points_are_what_an_evaluation_with_each_rule_finds() -> None:
    module, data = speaking_module(), HalfKnown(size=SIZE, slots=8)
    facts = measure(module, data, 0, 8)
    assert facts["puzzles"] == 20
    points = [Point(**point) for point in facts["points"]]
    found = {(point.rule, point.setting): point for point in points}
    assert [point.setting for point in points if point.rule == "fixed"] == [1, 2, 3, 4]
    for name, setting, arguments in [
        ("fixed", 4, {"halt": "never"}),
        ("head", 0.5, {"halt": "head"}),
        ("head", 0.6, {"halt": "head", "halt_threshold": 0.6}),
        ("stable", 1, {"halt": "stable"}),
        ("rules", None, {"halt": "rules"}),
    ]:
        (metrics,) = quiet_trainer().test(speaking_module(**arguments), data, verbose=False)
        point = found[name, setting]
        assert point.solved == pytest.approx(metrics["test/solved"])
        assert point.steps == pytest.approx(metrics["test/supervision_steps"])
        assert point.gflop == pytest.approx(point.steps * flops(module) / 1e9)
    assert 0 < found["fixed", 1].solved < 1
    assert len({point.steps for point in points if point.rule == "head"}) > 2
    assert len([point for point in points if point.rule == "stable"]) == len(UNCHANGED)


def test_flops_are_those_of_the_matrix_products() -> None:
    module = TRMModule(6, 9, hidden_size=16, num_heads=2, multiple_of=8, cycles=1, latent_steps=1, num_layers=1,
                       puzzle_tokens=0, mixer="mlp", positions="none")  # fmt: skip
    block = sum(p.numel() for p in module.core.blocks.parameters())
    across = sum(p.numel() for name, p in module.core.blocks.named_parameters() if "token_mlp" in name)
    assert across
    once = 2 * (9 * (block - across) + 16 * across)  # the mixer's weights see channels, the others cells
    assert flops(module) == 2 * once + 2 * 9 * 16 * 6 + 2 * 16 * 2


def test_puzzles_without_an_answer_are_refused() -> None:
    class Unknown(Guess):
        def load(self, split: str) -> Samples:
            samples = super().load(split)
            return samples._replace(labels=samples.labels * 0)

    with pytest.raises(InputError, match="none of the 5 puzzles of the test split has a label"):
        measure(small_module().eval(), Unknown(), 5, 8)


@pytest.mark.parametrize(
    ("solved", "steps", "sentence"),
    [
        (0.989, 5.92, "Early exit at 0.5 saves 63.0 % of the steps and loses 0.1 points of accuracy"),
        (0.99, 1.6, "Early exit at 0.5 saves 90.0 % of the steps and loses no puzzle"),
        (1.0, 16.0, "Early exit at 0.5 saves 0 % of the steps and gains 1.0 points of accuracy"),
    ],
)
def test_table_and_picture_say_what_the_numbers_say(solved: float, steps: float, sentence: str) -> None:
    points = [Point("fixed", 1, 0.4, 1, 0.1), Point("fixed", 16, 0.99, 16, 1.6), Point("head", 0.5, solved, steps, 0.6)]
    facts = {"checkpoint": "runs/six/checkpoints/last.ckpt", "family": "trm.data.Sudoku", "puzzles": 1000,
             "points": [point._asdict() for point in points]}  # fmt: skip
    assert finding(facts).replace("\N{NO-BREAK SPACE}", " ") == sentence
    (axes,) = draw(facts).axes
    assert axes.get_title("left") == "six: 1,000 test puzzles, Sudoku"
    fixed, head, ring = axes.lines
    assert fixed.get_xydata().tolist() == [[1, 40], [16, 99]]
    assert head.get_xydata().tolist() == ring.get_xydata().tolist() == [[steps, 100 * solved]]
    assert [line.split()[:2] for line in tabulate(facts).splitlines()] == [
        ["rule", "setting"],
        ["fixed", "1"],
        ["fixed", "16"],
        ["head", "0.5"],
    ]
