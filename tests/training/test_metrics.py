"""Metrics against counts by hand: padding counts nowhere."""

import pytest
import torch
from training import default_dtype

from trm.batch import IGNORE
from trm.training.metrics import PuzzleMetrics

PREDICTIONS = torch.tensor([[1, 2, 3], [1, 9, 3], [7, 7, 7], [5, 5, 5]])
LABELS = torch.tensor([[1, 2, 3], [1, 2, IGNORE], [IGNORE] * 3, [5, 6, 7]])
HALT = torch.tensor([2.0, 1.0, 5.0, -3.0])
STEPS = torch.tensor([4, 16, 16, 2])
LOSSES = torch.tensor([0.5, 1.0, 99.0, 1.5], dtype=torch.float64)


def updated(finished: list[bool], *rows: slice) -> dict[str, float]:
    metrics = PuzzleMetrics()
    done = torch.tensor(finished)
    for part in rows or (slice(None),):
        fields = (PREDICTIONS, LABELS, HALT, STEPS, done, LOSSES, 2 * LOSSES)
        metrics.update(*(field[part] for field in fields))
    return {name: value.item() for name, value in metrics.compute().items()}


def test_means_are_over_real_puzzles() -> None:
    assert updated([True] * 4) == pytest.approx(
        {
            "solved": 1 / 3,
            "cells": (1 + 1 / 2 + 1 / 3) / 3,
            "halting_accuracy": 2 / 3,
            "supervision_steps": (4 + 16 + 2) / 3,
            "answer_loss": 1.0,
            "halting_loss": 2.0,
        }
    )


def test_valid_is_reported_where_rules_were_checked() -> None:
    metrics = PuzzleMetrics()
    done = torch.ones(4, dtype=torch.bool)
    valid = torch.tensor([True, True, True, False])
    metrics.update(PREDICTIONS, LABELS, HALT, STEPS, done, LOSSES, LOSSES, valid=valid)
    assert metrics.compute()["valid"].item() == pytest.approx(2 / 3)
    assert "valid" not in updated([True] * 4)


def test_unfinished_puzzles_count_in_the_losses_only() -> None:
    means = updated([True, False, False, False])
    assert means["solved"] == means["cells"] == means["halting_accuracy"] == 1
    assert means["supervision_steps"] == 4
    assert means["answer_loss"] == pytest.approx(1.0)


def test_means_do_not_depend_on_the_batches() -> None:
    assert updated([True] * 4, slice(0, 1), slice(1, 4)) == pytest.approx(updated([True] * 4))


def test_what_was_not_measured_is_absent_and_not_zero() -> None:
    assert updated([True] * 4, slice(2, 3)) == {}
    assert set(updated([False] * 4)) == {"answer_loss", "halting_loss"}


def test_puzzles_without_a_label_count_where_none_is_needed() -> None:
    metrics = PuzzleMetrics()
    done, real = torch.ones(4, dtype=torch.bool), torch.tensor([True, True, True, False])
    unknown = torch.full_like(LABELS, IGNORE)
    metrics.update(PREDICTIONS, unknown, HALT, STEPS, done, LOSSES, LOSSES, done, real)
    assert {name: value.item() for name, value in metrics.compute().items()} == {"supervision_steps": 12, "valid": 1}
    metrics.update(PREDICTIONS, LABELS, HALT, STEPS, done, LOSSES, LOSSES, done, real)
    means = metrics.compute()
    assert means["solved"].item() == 1 / 2
    assert means["supervision_steps"].item() == 10  # as all means, over those with a label
    assert (metrics.labelled, metrics.finished) == (2, 6)


def test_means_stay_exact_in_a_run_of_bfloat16() -> None:
    module = torch.nn.ModuleList([PuzzleMetrics()]).to(torch.bfloat16)
    with default_dtype(torch.bfloat16):
        for _ in range(300):  # bfloat16 counts to 256
            module[0].update(PREDICTIONS, LABELS, HALT, STEPS, torch.ones(4, dtype=torch.bool), LOSSES, 2 * LOSSES)
    once = updated([True] * 4)
    assert {name: value.item() for name, value in module[0].compute().items()} == pytest.approx(once, rel=1e-12)
