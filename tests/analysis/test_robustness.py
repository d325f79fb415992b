"""The probe: its numbers are those of what was asked, and its files are whole and readable."""

import json
import math
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from ranks import Guess, small_module
from torch import Tensor
from training import quiet_trainer

import trm.analysis.robustness
from trm.analysis.robustness import KINDS, Point, measure, tabulated
from trm.cli.main import main
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


def found(points: list[Point]) -> dict[tuple[str, int], Point]:
    return {(point.kind, point.strength): point for point in points}


def test_the_numbers_are_those_of_the_answers(tmp_path: Path) -> None:
    points = found(measure(small(Parrot).eval(), boards(tmp_path), 12, 0))
    assert {kind for kind, _ in points} == {"intact", *KINDS}
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
            rows = super().load(split)
            rows.labels[5:10] = 0
            return rows

    module, data = small_module(halt="head").eval(), Half(size=10, slots=4)
    intact = measure(module, data, 10, 0)[0]
    (metrics,) = quiet_trainer().test(module, data, verbose=False)
    assert intact.puzzles == 5
    assert intact.keeps_givens is None
    for name, metric in (("solved", "solved"), ("steps", "supervision_steps")):
        assert getattr(intact, name) == pytest.approx(metrics[f"test/{metric}"])


def test_batches_do_not_matter_and_the_seed_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, data = small().eval(), boards(tmp_path)
    points = measure(module, data, 10, 0)
    monkeypatch.setattr(trm.analysis.robustness, "BATCH", 3)
    again, other = measure(module, data, 10, 0), measure(module, data, 10, 1)
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
            rows = super().load(split)
            return rows._replace(labels=rows.labels * 0)

    with pytest.raises(InputError, match="none of the 5 puzzles of the test split has an answer"):
        measure(small_module().eval(), Unknown(), 5, 0)


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    trainer = quiet_trainer(max_steps=2, limit_train_batches=1)
    trainer.fit(small(), boards(tmp_path))
    trainer.save_checkpoint("a.ckpt")
    return tmp_path / "a.ckpt"


def test_the_command_writes_numbers_a_table_and_a_picture_and_overwrites_none(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["probe", "a.ckpt", "-o", "probe.json", "--puzzles", "10"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    written = json.loads(Path("probe.json").read_text())
    assert (written["checkpoint"], written["family"]) == ("a.ckpt", "trm.data.Sudoku")
    assert [(point["kind"], point["puzzles"]) for point in written["points"][:2]] == [("intact", 10), ("wrong", 10)]
    assert Path("probe.md").read_text() == tabulated([Point(**point) for point in written["points"]]) != ""
    assert Path("probe.md").read_text() in shown
    texts = {text.text for text in ElementTree.parse("probe.svg").iter() if text.text}
    assert {*KINDS, "10 test puzzles, Sudoku"} <= texts
    for left in ("probe.svg", "probe.md", "probe.json"):
        assert main(command) == 2
        assert "exists already; --force overwrites it" in capsys.readouterr().err
        Path(left).unlink()
    Path("probe.json").write_text("")
    assert main([*command, "--force"]) == 0
    assert json.loads(Path("probe.json").read_text()) == written


def test_nonsense_is_refused(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("folder").mkdir()
    Path("text").write_text("no checkpoint")
    before = set(Path().iterdir())
    for file, options, message in [
        ("a.ckpt", ["-o", "p.svg"], "'p.svg' is a folder, or ends in .md or .svg"),
        ("a.ckpt", ["-o", "p.md"], "accepted is a file with another ending"),
        ("a.ckpt", ["-o", "folder", "--force"], "'folder' is a folder"),
        ("a.ckpt", ["-o", "."], "'.' is a folder"),
        ("a.ckpt", ["-o", "text/p.json"], "cannot write text/p.json"),
        ("a.ckpt", ["-o", "p.json", "--puzzles", "0"], "probe.puzzles is 0, but must be at least 1"),
        ("a.ckpt", ["-o", "p.json", "--seed", "-1"], "probe.seed is -1, but must be at least 0"),
        ("missing", ["-o", "p.json"], "there is no checkpoint at missing"),
        ("folder", ["-o", "p.json"], "there is no checkpoint at folder"),
        ("text", ["-o", "p.json"], "text is not a checkpoint"),
    ]:
        assert main(["probe", file, *options]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert set(Path().iterdir()) == before
