"""The trade-off curve: its points are what an evaluation with each rule finds, and its files are whole and readable."""

import itertools
import json
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from ranks import Guess, small_module
from training import quiet_trainer

from trm.analysis.halting import UNCHANGED, flops, measure
from trm.analysis.plot import Line, plot, ticks
from trm.cli.main import main
from trm.data import Samples, Sudoku
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
        rows = super().load(split)
        inputs, puzzles = torch.from_numpy(rows.inputs).int(), torch.from_numpy(rows.puzzle_ids)
        rows.labels[:10] = think(speaking_module().core, inputs, puzzles, 1).tokens[:10]
        rows.labels[20:] = 0
        return rows


def test_points_are_what_an_evaluation_with_each_rule_finds() -> None:
    module, data = speaking_module(), HalfKnown(size=SIZE, slots=8)
    points, count = measure(module, data, 0, 8)
    assert count == 20
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
            rows = super().load(split)
            return rows._replace(labels=rows.labels * 0)

    with pytest.raises(InputError, match="none of the 5 puzzles of the test split has an answer"):
        measure(small_module().eval(), Unknown(), 5, 8)


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    sizes = {"train_size": 20, "val_size": 0, "test_size": 12, "slots": 4, "steps_per_batch": 2, "workers": 0}
    trainer = quiet_trainer(max_steps=2, limit_train_batches=1)
    module = TRMModule(6, 16, hidden_size=16, num_heads=2, multiple_of=8, cycles=1, latent_steps=1, puzzle_tokens=0)
    trainer.fit(module, Sudoku(4, clues=(8, 8), root=str(tmp_path / "data"), **sizes))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    return tmp_path / "a.ckpt"


def test_the_command_writes_points_and_a_picture_and_overwrites_neither(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["curve", str(checkpoint), "-o", "curve.json", "--puzzles", "10", "--batch_size", "4"]
    assert main(command) == 0
    written = json.loads(Path("curve.json").read_text())
    assert (written["puzzles"], written["family"]) == (10, "trm.data.Sudoku")
    assert {point["rule"] for point in written["points"]} == {"fixed", "head", "stable", "rules"}
    assert capsys.readouterr().out.count("\n") == len(written["points"]) + 1  # the files it has written
    picture = ElementTree.parse("curve.svg")
    assert len(picture.findall("{*}circle")) == len(written["points"])
    for left in ("curve.svg", "curve.json"):
        assert main(command) == 2
        assert "exists already; --force overwrites it" in capsys.readouterr().err
        Path(left).unlink()
    Path("curve.json").write_text("")
    assert main([*command, "--force"]) == 0
    assert json.loads(Path("curve.json").read_text()) == written


def test_nonsense_is_refused(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, message in [
        (["-o", "curve.svg"], "'curve.svg' is a folder, or ends in .svg"),
        (["-o", f"{checkpoint}/c.json"], f"{checkpoint} is not a folder that can be written to"),
        (["-o", "c.json", "--batch_size", "0"], "curve.batch_size is 0, but must be at least 1"),
        (["-o", "c.json", "--puzzles", "-1"], "curve.puzzles is -1, but must be at least 0"),
    ]:
        assert main(["curve", str(checkpoint), *options]) == 2
        assert message in capsys.readouterr().err
    assert not list(Path().glob("c*.*"))


@pytest.mark.parametrize("values", [[0.0, 1.0], [3.0, 3.0], [97.2, 99.9], [-1e-3, 2e-3], [1.0, 16.0]])
def test_ticks_are_round_even_and_enclose_the_values(values: list[float]) -> None:
    marks = ticks(values)
    assert 3 <= len(marks) <= 11
    assert marks[0] <= min(values)
    assert marks[-1] >= max(values)
    assert [b - a for a, b in itertools.pairwise(marks)] == pytest.approx([marks[1] - marks[0]] * (len(marks) - 1))
    assert float(f"{marks[1] - marks[0]:.0e}") == pytest.approx(marks[1] - marks[0])


def test_a_plot_places_points_on_its_axes_and_escapes_text() -> None:
    picture = ElementTree.fromstring(plot([Line("a < b", [(0, 0), (1, 10)], ["", "end"])], "t & t", "x", "y"))
    (x0, y0), (x1, y1) = ((float(c.get("cx")), float(c.get("cy"))) for c in picture.findall("{*}circle"))
    assert x0 < x1
    assert y0 > y1
    assert {"a < b", "t & t", "end"} <= {text.text for text in picture.iter() if text.text}
    assert math.isclose(x0, 60)
