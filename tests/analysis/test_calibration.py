"""The analysis of calibration: its numbers are those of an evaluation, and its title says what they say."""

import numpy as np
import pytest
import torch
from ranks import Guess, small_module
from training import quiet_trainer

from trm.analysis.calibration import Outcomes, draw, finding, measure, risk_coverage, summary, tabulate
from trm.data import Samples
from trm.errors import InputError
from trm.module import TRMModule
from trm.training.metrics import HaltingCalibration


class HalfKnown(Guess):
    """Twenty puzzles with an answer, ten without; the first ten agree with what the module says."""

    def load(self, split: str) -> Samples:
        samples = super().load(split)
        inputs, puzzles = torch.from_numpy(samples.inputs).int(), torch.from_numpy(samples.puzzle_ids)
        samples.labels[:10] = module().solve(inputs, puzzles, None).tokens[:10]
        samples.labels[20:] = 0
        return samples


def module() -> TRMModule:
    """``small_module``, which always answers with padding, taught not to."""
    module = small_module().eval()
    with torch.no_grad():
        module.core.answer_head.weight[0].neg_()
    return module


def test_numbers_are_those_of_an_evaluation() -> None:
    data = HalfKnown(size=30, slots=8)
    found = measure(module(), data, 0, 8)
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
    found = summary(Outcomes(halt, solved, np.array([True, True, True, False]), calibration))
    assert (found["solved"], found["valid"], found["valid_but_not_the_label"]) == (0.75, 0.75, 0.25)
    assert found["brier"] == pytest.approx((0.25 + 0.25 + 0 + 1) / 4)
    assert found["aurc"] == pytest.approx((0 + 0.25 + 1 / 3 + 0.25) / 4)
    assert [part["puzzles"] for part in found["reliability"]] == [1, 2, 1]
    assert found["reliability"][1] == {"puzzles": 2, "confidence": 0.5, "solved": 0.5}
    assert found["risk_coverage"][-1] == {"coverage": 1, "wrong": 0.25}


def test_puzzles_without_an_answer_are_refused() -> None:
    class Unknown(Guess):
        def load(self, split: str) -> Samples:
            samples = super().load(split)
            return samples._replace(labels=samples.labels * 0)

    with pytest.raises(InputError, match="none of the 5 puzzles of the test split has a label"):
        measure(module(), Unknown(), 5, 8)


def test_table_and_picture_say_what_the_numbers_say() -> None:
    facts = {"checkpoint": "a.ckpt", "family": "trm.data.Maze", "puzzles": 10, "solved": 0.6, "valid": None, "ece": 0.3,
             "auroc": None, "brier": 0.2, "aurc": 0.25,
             "reliability": [{"puzzles": 10, "confidence": 0.9, "solved": 0.6}],
             "risk_coverage": [{"coverage": 0.5, "wrong": 0.0}, {"coverage": 1.0, "wrong": 0.4}]}  # fmt: skip
    assert finding(facts).replace("\N{NO-BREAK SPACE}", " ") == (
        "Calibration error 30.0 %, overconfident; answering only the more confident half cuts errors from 40.0 % to 0 %"
    )
    assert "every answer is right" in finding({**facts, "solved": 1.0})
    reliability, risk = draw(facts).axes
    assert reliability.lines[-1].get_xydata().tolist() == [[90, 60]]
    assert risk.lines[-1].get_xydata().tolist() == [[50, 0], [100, 40]]
    assert [line.split()[-1] for line in tabulate(facts).splitlines()[1:]] == [
        "10", "0.6", "undefined", "0.3", "undefined", "0.2", "0.25"]  # fmt: skip


def test_the_surest_answers_come_first_and_equally_sure_ones_share() -> None:
    halt = torch.tensor([0.0, 3.0, 1.0, 1.0])
    solved = torch.tensor([False, True, False, True])
    assert risk_coverage(halt.numpy(), solved.numpy()).tolist() == pytest.approx([0, 0.25, 1 / 3, 0.5])
