"""``trm calibrate``: its numbers are those of an evaluation, and its files are whole and readable."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from ranks import Guess, small_module
from training import quiet_trainer

from trm.analysis.calibration import Measured, measure, summary
from trm.cli.main import main
from trm.data import Samples, Sudoku
from trm.errors import InputError
from trm.module import TRMModule
from trm.training.calibration import HaltingCalibration


class HalfKnown(Guess):
    """Twenty puzzles with an answer, ten without; the first ten agree with what the module says."""

    def load(self, split: str) -> Samples:
        rows = super().load(split)
        inputs, puzzles = torch.from_numpy(rows.inputs).int(), torch.from_numpy(rows.puzzle_ids)
        rows.labels[:10] = module().solve(inputs, puzzles, None).tokens[:10]
        rows.labels[20:] = 0
        return rows


def module() -> TRMModule:
    """``small_module``, which always answers with padding, taught not to."""
    module = small_module().eval()
    with torch.no_grad():
        module.core.answer_head.weight[0].neg_()
    return module


def test_numbers_are_those_of_an_evaluation() -> None:
    data = HalfKnown(size=30, slots=8)
    found = summary(measure(module(), data, 0, 8))
    (logged,) = quiet_trainer().test(module(), data, verbose=False)
    assert found["puzzles"] == 20
    assert 0 < found["solved"] < 1
    for name in ("solved", "valid"):
        assert found[name] == pytest.approx(logged[f"test/{name}"])
    for name in ("ece", "auroc"):
        assert found[name] == pytest.approx(logged[f"test/halting_{name}"], abs=1e-6)


def test_shares_and_scores_are_as_by_hand() -> None:
    halt, solved = np.array([0.0, 0.0, 40.0, -40.0]), np.array([True, False, True, True])
    calibration = HaltingCalibration()
    calibration.update(torch.from_numpy(halt), torch.from_numpy(solved)[:, None], torch.ones(4, 1))
    found = summary(Measured(halt, solved, np.array([True, True, True, False]), calibration))
    assert (found["solved"], found["valid"], found["valid_but_not_the_label"]) == (0.75, 0.75, 0.25)
    assert found["brier"] == pytest.approx((0.25 + 0.25 + 0 + 1) / 4)
    assert found["aurc"] == pytest.approx((0 + 0.25 + 1 / 3 + 0.25) / 4)
    assert [part["puzzles"] for part in found["reliability"]] == [1, 2, 1]
    assert found["reliability"][1] == {"puzzles": 2, "confidence": 0.5, "solved": 0.5}
    assert found["risk_coverage"][-1] == {"coverage": 1, "wrong": 0.25}


def test_puzzles_without_an_answer_are_refused() -> None:
    class Unknown(Guess):
        def load(self, split: str) -> Samples:
            rows = super().load(split)
            return rows._replace(labels=rows.labels * 0)

    with pytest.raises(InputError, match="none of the 5 puzzles of the test split has an answer"):
        measure(module(), Unknown(), 5, 8)


def test_the_command_writes_both_files_overwrites_neither_and_refuses_nonsense(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sizes = {"train_size": 20, "val_size": 0, "test_size": 12, "slots": 4, "steps_per_batch": 2, "workers": 0}
    trainer = quiet_trainer(max_steps=2, limit_train_batches=1)
    network = {"hidden_size": 16, "num_heads": 2, "multiple_of": 8, "cycles": 1, "latent_steps": 1, "puzzle_tokens": 0}
    trainer.fit(TRMModule(6, 16, **network), Sudoku(4, clues=(8, 8), root="data", **sizes))
    trainer.save_checkpoint("a.ckpt")
    command = ["calibrate", "a.ckpt", "-o", "c.json", "--puzzles", "10"]
    for options, message in [
        (["-o", "c.svg"], "'c.svg' is a folder, or ends in .svg"),
        (["-o", "c.json", "--puzzles", "-1"], "calibrate.puzzles is -1, but must be at least 0"),
    ]:
        assert main(["calibrate", "a.ckpt", *options]) == 2
        assert message in capsys.readouterr().err
    assert not list(Path().glob("c.*"))
    assert main(command) == 0
    written = json.loads(Path("c.json").read_text())
    assert (written["puzzles"], written["auroc"]) == (10, None)  # two steps of training solve nothing
    assert "auroc   undefined" in capsys.readouterr().out
    assert len(ElementTree.parse("c.svg").findall("{*}svg/{*}svg")) == 2
    assert main(command) == 2
    assert "exists already; --force overwrites it" in capsys.readouterr().err
    assert main([*command, "--force"]) == 0
