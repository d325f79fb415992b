"""A run says what it takes before its first step."""

from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from paths import REPO
from ranks import Guess, small_module
from training import quiet_trainer

import trm.callbacks.notice as notice
from trm.callbacks.notice import SMALLER, RunNotice, duration, estimate_step, product_speed, scaled
from trm.nn.flops import count_flops


def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said before the first step."""
    lines: list[str] = []
    before: list[str] = []

    class Before(Callback):
        def on_sanity_check_start(self, *_: Any) -> None:
            before.extend(lines)

    monkeypatch.setattr(notice, "rank_zero_info", lines.append)
    quiet_trainer(max_steps=6, limit_train_batches=2, callbacks=[Before(), RunNotice()]).fit(
        small_module(), Guess(slots=4)
    )
    assert lines == before
    return lines


def test_it_says_parameters_slots_operations_memory_and_time_before_anything_is_evaluated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    what, cost, duration_ = said(monkeypatch)
    module = small_module()
    parameters = sum(parameter.numel() for parameter in module.parameters())
    assert what == f"trm: {parameters:,} parameters, 4 slots, 6 steps"
    assert cost.startswith(f"A step takes about {scaled(count_flops(module.core, 4).total)}FLOP, and ")
    assert cost.endswith("B of memory for activations")
    assert duration_.startswith("On this CPU, with ")
    assert "suits a laptop" not in duration_


def test_a_step_of_many_seconds_is_told_a_smaller_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notice, "product_speed", lambda *_: 1000.0)  # operations per second
    assert said(monkeypatch)[-1].endswith("a smaller network or fewer slots suit a laptop")
    monkeypatch.setitem(SMALLER, "Guess", "configs/mine.yaml")
    assert said(monkeypatch)[-1].endswith("; configs/mine.yaml suits a laptop")


def test_the_smaller_configurations_exist() -> None:
    assert all((REPO / path).is_file() for path in SMALLER.values())


def test_memory_is_what_the_backward_pass_keeps() -> None:
    module = small_module()
    one, four = (estimate_step(module, slots, torch.autocast("cpu", enabled=False)) for slots in (1, 4))
    assert four.saved_bytes == 4 * one.saved_bytes > 0
    deeper = estimate_step(small_module(latent_steps=3), 1, torch.autocast("cpu", enabled=False))
    assert deeper.saved_bytes > 1.5 * one.saved_bytes
    assert not any(parameter.grad is not None for parameter in module.parameters())


def test_the_estimate_changes_neither_weights_nor_random_numbers() -> None:
    found = []
    for callbacks in ([], [RunNotice()]):
        trainer = quiet_trainer(max_steps=6, limit_train_batches=2, callbacks=callbacks)
        module = small_module()
        trainer.fit(module, Guess(slots=4))
        found.append((module.state_dict(), torch.rand(3)))
    (weights, random), (others, other_random) = found
    assert torch.equal(random, other_random)
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_the_speed_of_products_is_a_positive_number() -> None:
    flops = count_flops(small_module().core, 1)
    assert product_speed(flops, 4, torch.float32, seconds=0.0) > 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0004, "0.4 milliseconds"), (0.25, "250 milliseconds"), (90, "90 seconds"), (7500, "2.1 hours"),
     (2e6, "23 days")],
)  # fmt: skip
def test_durations_are_for_people(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 "), (999, "999 "), (2.82e9, "2.8 G"), (3e14, "300 T"), (5e22, "50,000 E")]
)
def test_numbers_have_the_prefix_of_their_unit(number: float, words: str) -> None:
    assert scaled(number) == words


def test_epochs_give_the_length_of_a_run_as_steps_do(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(notice, "rank_zero_info", lines.append)
    quiet_trainer(max_epochs=2, callbacks=[RunNotice()]).fit(small_module(), Guess(size=24, slots=4))
    assert lines[0].endswith("4 slots, 12 steps")  # two epochs of two batches of three steps
