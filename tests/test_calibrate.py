"""Calibration: its measures against a count by hand, in evaluation and by ``trm calibrate``."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from ranks import Guess, small_module
from training import BOARDS, SMALL, quiet_trainer

from trm.batch import IGNORE
from trm.calibrate import observe, summary
from trm.cli import main
from trm.data.base import Rows, to_batch
from trm.inference import think
from trm.metrics import Calibration

CONFIDENCE = torch.tensor([0.95, 0.93, 0.91, 0.55, 0.51, 0.05, 1.0, 0.0], dtype=torch.float64)
RIGHT = torch.tensor([True, True, False, True, False, False, True, False])


class Half(Guess):
    """Of every second puzzle the answer is what the model says, of every fifth none is known."""

    def load(self, split: str) -> Rows:
        rows = super().load(split)
        inputs, puzzles = torch.from_numpy(rows.inputs).int(), torch.from_numpy(rows.puzzles)
        rows.labels[::2] = think(small_module().eval().core, inputs, puzzles, 4).tokens.clamp(min=1)[::2]
        rows.labels[::5] = 0
        return rows


def by_hand(confidence: torch.Tensor, right: torch.Tensor) -> tuple[float, float]:
    bins = [(confidence >= k / 10) & ((confidence < (k + 1) / 10) | (k == 9)) for k in range(10)]
    error = sum(abs(float((confidence - right.double())[inside].sum())) for inside in bins) / len(right)
    pairs = [(float(a), float(b)) for a in confidence[right] for b in confidence[~right]]
    return error, float(np.mean([(a > b) + 0.5 * (a == b) for a, b in pairs]))


def test_measures_are_those_counted_by_hand() -> None:
    found = summary(CONFIDENCE, RIGHT, torch.tensor([True] * 4 + [False] * 4))
    error, area = by_hand(CONFIDENCE, RIGHT)
    assert found["calibration_error"] == pytest.approx(error)
    assert found["auroc"] == pytest.approx(area)
    assert found["brier_score"] == pytest.approx(float((CONFIDENCE - RIGHT.double()).square().mean()))
    assert (found["solved"], found["valid"], found["valid_but_not_the_label"]) == (0.5, 0.5, 0.125)
    assert [part["puzzles"] for part in found["bins"]] == [2, 2, 4]
    assert found["bins"][2] == {"from": 0.9, "puzzles": 4, "confidence": pytest.approx(0.9475), "solved": 0.75}
    wrong = [0, 0, 0, 1 / 4, 1 / 5, 2 / 6, 3 / 7, 4 / 8]
    assert [point["wrong"] for point in found["risk"]] == pytest.approx(wrong)
    assert [point["coverage"] for point in found["risk"]] == pytest.approx([k / 8 for k in range(1, 9)])
    assert found["area_under_risk"] == pytest.approx(np.mean(wrong))


def test_evaluation_logs_them_over_the_puzzles_with_an_answer() -> None:
    data, module = Half(slots=8), small_module()
    (logged,) = quiet_trainer().test(module, datamodule=data, verbose=False)
    confidence, right, _ = observe(small_module().eval(), data, None, 0, 50)
    assert len(right) == 40
    assert 0 < int(right.sum()) < 40
    error, area = by_hand(confidence, right)
    assert logged["test/halting_ece"] == pytest.approx(error, rel=1e-4)
    assert logged["test/halting_auroc"] == pytest.approx(area, rel=1e-4)


def test_without_a_difference_the_area_is_that_of_a_guess_and_without_puzzles_there_is_none() -> None:
    batch = to_batch(Guess().rows("test"))
    metric = Calibration()
    metric.update(batch.labels, torch.full_like(batch.labels, IGNORE), torch.zeros(50))
    assert metric.compute() == {}
    metric.update(batch.labels, batch.labels, torch.linspace(-1, 1, 50))
    assert metric.compute()["halting_auroc"] == 0.5


def test_the_command_writes_numbers_and_two_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = Path(__file__).parent.parent / "configs" / "quickstart.yaml"
    trainer = ["--trainer.max_steps=2", "--trainer.limit_val_batches=0", "--trainer.enable_progress_bar=false"]
    assert main(["fit", f"--config={config}", *trainer, *BOARDS, *SMALL]) == 0
    command = ["calibrate", "runs/quickstart/checkpoints/last.ckpt", "-o", "out.json"]
    assert main(command) == 0
    assert json.loads(Path("out.json").read_text())["puzzles"] == 10
    assert "auroc" in capsys.readouterr().out
    for name, axis in {"out.svg": "halting probability, %", "out-risk.svg": "wrong, %"}.items():
        texts = [element.text for element in ElementTree.parse(name).iter("{http://www.w3.org/2000/svg}text")]
        assert axis in texts
    Path("out.json").unlink()
    assert main(command) == 2
    assert "out.svg exists already" in capsys.readouterr().err
    assert main([*command, "--force", "--puzzles=-3"]) == 2
    assert "puzzles is -3" in capsys.readouterr().err
    assert main(["calibrate", "last.ckpt", "-o", "out.svg"]) == 2
    assert "the name of the plot" in capsys.readouterr().err
