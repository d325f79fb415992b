"""Calibration against torchmetrics and by hand: padding counts nowhere, batches do not matter, nothing is a NaN."""

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc, binary_calibration_error

from trm.batch import IGNORE
from trm.training.metrics import BINS, AbstentionThreshold, HaltingCalibration


def counted(
    halt: Tensor, solved: Tensor, size: int = 100, kind: type[HaltingCalibration] = HaltingCalibration
) -> HaltingCalibration:
    """Count puzzles of two cells, of which the second tells whether the puzzle is solved, in batches."""
    metric = kind()
    predictions = torch.stack((torch.ones_like(solved), solved), dim=-1).int()
    for first in range(0, len(halt), size):
        part = slice(first, first + size)
        metric.update(halt[part], predictions[part], torch.ones_like(predictions[part]))
    return metric


def drawn(scale: float, count: int = 3000) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    halt = scale * torch.randn(count, generator=generator)
    return halt, torch.rand(count, generator=generator) < (halt / 2).sigmoid()


@pytest.mark.parametrize("scale", [0.5, 3.0, 30.0])
def test_error_and_ranking_are_those_of_torchmetrics(scale: float) -> None:
    halt, solved = drawn(scale)
    values = counted(halt, solved).compute()
    expected = binary_calibration_error(halt.double().sigmoid(), solved.int(), n_bins=BINS, norm="l1")
    assert values["halting_ece"].item() == pytest.approx(expected.item(), abs=1e-5)
    ranked = binary_auroc(halt.clamp(-16, 16).double().sigmoid(), solved.int())
    assert values["halting_auroc"].item() == pytest.approx(ranked.item(), abs=1e-3)


def test_batches_and_ranks_add_up() -> None:
    halt, solved = drawn(3.0)
    whole, halves = counted(halt, solved), counted(halt[:1000], solved[:1000], 7)
    other = counted(halt[1000:], solved[1000:], 64)
    torch.testing.assert_close(halves.slices + other.slices, whole.slices)


def test_padding_counts_nowhere() -> None:
    halt, labels = torch.tensor([2.0, -1.0, 9.0]), torch.tensor([[1, 1], [1, IGNORE], [IGNORE, IGNORE]])
    metric = HaltingCalibration()
    metric.update(halt, torch.tensor([[1, 1], [2, 1], [3, 3]]), labels)
    assert metric.bins().sum(0)[:2].tolist() == [2, 1]
    assert metric.compute()["halting_auroc"].item() == 1


def test_what_is_undefined_is_left_out() -> None:
    metric = HaltingCalibration()
    metric.update(torch.zeros(2), torch.ones(2, 3), torch.full((2, 3), IGNORE))
    assert metric.compute() == {}
    for solved in (torch.ones(5), torch.zeros(5)):
        assert set(counted(torch.randn(5), solved.bool()).compute()) == {"halting_ece"}


def test_counts_stay_exact_in_a_module_of_bfloat16() -> None:
    metric = torch.nn.ModuleList([HaltingCalibration()]).to(torch.bfloat16)[0]
    for _ in range(300):  # bfloat16 counts to 256
        metric.update(torch.tensor([1.0]), torch.ones(1, 2), torch.ones(1, 2))
    assert metric.bins().sum(0)[0].item() == 300


def threshold(halt: Tensor, solved: Tensor) -> float:
    return counted(halt, solved, kind=AbstentionThreshold).compute()["abstain_below"].item()


@pytest.mark.parametrize("scale", [0.5, 3.0, 30.0])
def test_no_threshold_separates_right_from_wrong_answers_better(scale: float) -> None:
    halt, solved = drawn(scale)
    halt = (4 * halt).round() / 4 + 1 / 64  # each value inside a slice of the logit

    def score(below: float) -> int:
        return int(((halt.sigmoid() >= below) == solved).sum())

    best = max(map(score, [0.0, 1.0, *halt.sigmoid().unique().tolist()]))
    assert score(threshold(halt, solved)) == best > max(score(0.0), score(1.0))


def test_the_threshold_is_the_middle_of_a_gap() -> None:
    halt, solved = torch.tensor([-6.0, -4.0, 5.0, 6.0]), torch.tensor([False, False, True, True])
    assert threshold(halt, solved) == pytest.approx(torch.tensor(0.5).sigmoid().item(), abs=0.02)
    lower = threshold(halt[2:], solved[2:])
    assert 0 < lower < halt[2].sigmoid(), "right answers alone: nothing to abstain from was seen"
    assert halt[1].sigmoid() < threshold(halt[:2], solved[:2]) < 1


def test_without_puzzles_there_is_no_threshold() -> None:
    padding = torch.full((2, 3), IGNORE)
    metric = AbstentionThreshold()
    metric.update(torch.zeros(2), torch.ones(2, 3), padding)
    assert metric.compute() == {}
