"""Stablemax, both losses, and the gradient where a naive stablemax has none."""

from collections.abc import Iterator

import official
import pytest
import torch
from official import Pair
from safetensors.torch import load_file

from trm.batch import IGNORE
from trm.nn.losses import (
    CELL_LOSSES,
    answer_loss,
    continue_loss,
    halting_loss,
    log_stablemax,
    solved,
    stablemax_cross_entropy,
    supervision_loss,
)

TOLERANCES = {"stablemax": {"atol": 1e-12, "rtol": 1e-10}, "softmax": {"atol": 1e-5, "rtol": 1e-6}}


def cross_entropy(name: str) -> Iterator[Pair]:
    golden = load_file(official.GOLDEN / "loss" / "loss.safetensors")
    logits = golden["logits"].requires_grad_()
    loss = CELL_LOSSES[name](logits, golden["labels"])
    loss.sum().backward()
    yield Pair(f"{name} losses", loss, golden[name], **TOLERANCES[name])
    yield Pair(f"{name} gradients", logits.grad, golden[f"{name}_grad"], atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("name", CELL_LOSSES)
def test_cross_entropy_and_its_gradient_match_official(name: str) -> None:
    official.assert_match(cross_entropy(name))


@pytest.mark.parametrize("value", [1.0, 0.0, -0.0, -1.0, 1e4, -1e4, 1e30, -1e30])
def test_gradient_is_finite_everywhere(value: float) -> None:
    logits = torch.tensor([[value, 0.5, -0.5]], requires_grad=True)
    log_stablemax(logits).sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_stablemax_is_a_distribution_in_float64() -> None:
    logs = log_stablemax(torch.randn(5, 11) * 10)
    assert logs.dtype == torch.float64
    torch.testing.assert_close(logs.exp().sum(-1), torch.ones(5, dtype=torch.float64))


def test_loss_of_a_row_is_the_mean_over_its_labelled_cells() -> None:
    logits, labels = torch.randn(2, 4, 5), torch.tensor([[1, 2, IGNORE, IGNORE], [IGNORE] * 4])
    losses = supervision_loss(logits, torch.zeros(2), labels)
    cells = stablemax_cross_entropy(logits, labels)
    assert losses.answer[0].item() == pytest.approx((cells[0, :2].sum() / 2).item())
    assert losses.answer[1] == 0


def test_label_smoothing_is_that_of_torch() -> None:
    logits, labels = torch.randn(2, 3, 5), torch.tensor([[0, 4, IGNORE], [1, 2, 3]])
    expected = torch.nn.functional.cross_entropy(
        logits.mT, labels, ignore_index=IGNORE, label_smoothing=0.2, reduction="none"
    )
    ours = answer_loss(logits, labels, "softmax", smoothing=0.2)
    torch.testing.assert_close(ours, expected.sum(-1) / torch.tensor([2, 3]))


def test_rows_are_asked_by_the_loss_that_is_named() -> None:
    logits, labels = torch.randn(2, 4, 5), torch.randint(0, 5, (2, 4))
    softmax = supervision_loss(logits, torch.zeros(2), labels, "softmax")
    torch.testing.assert_close(softmax.answer, CELL_LOSSES["softmax"](logits, labels).mean(-1))
    assert not torch.allclose(softmax.answer, supervision_loss(logits, torch.zeros(2), labels).answer.float())


def test_going_on_is_taught_what_is_best_one_step_later_and_at_the_end_what_comes_then() -> None:
    later, later_proceed = torch.tensor([2.0, -1.0, -1.0]), torch.tensor([1.0, 3.0, 3.0])
    last = torch.tensor([False, False, True])
    worth = torch.tensor([2.0, 3.0, -1.0]).sigmoid()
    proceed = torch.tensor([0.5, -0.5, 0.0], requires_grad=True)
    continue_loss(proceed, later, later_proceed, last).sum().backward()
    torch.testing.assert_close(proceed.grad, proceed.detach().sigmoid() - worth)


def test_halting_is_taught_whether_the_row_is_solved() -> None:
    logits = torch.eye(3)[None].repeat(2, 1, 1)  # answers 0, 1, 2
    labels = torch.tensor([[0, 1, IGNORE], [0, 2, IGNORE]])
    assert solved(logits, labels).tolist() == [True, False]
    halting = supervision_loss(logits, torch.tensor([20.0, 20.0]), labels).halting
    assert halting[0] < 1e-6 < 19 < halting[1]


def test_a_question_without_an_answer_is_never_solved() -> None:
    logits, labels, halt = torch.randn(1, 3, 5), torch.full((1, 3), IGNORE), torch.zeros(1)
    assert halting_loss(halt + 9, logits, labels, unlabelled=False) > 8
    assert halting_loss(halt + 9, logits, labels) < 1e-3  # as in the official code


def test_total_is_the_mean_of_answer_and_half_of_halting() -> None:
    losses = supervision_loss(torch.randn(3, 4, 5), torch.randn(3), torch.randint(0, 5, (3, 4)))
    assert losses.total().item() == pytest.approx((losses.answer + 0.5 * losses.halting).mean().item())
