"""Slots: who is refilled, who halts, and what exploration draws."""

import pytest
import torch
from training import default_dtype

from trm.batch import Batch
from trm.nn import State, StepOutput
from trm.training.slots import Slots, add_noise, explore_halting, step_weights


def fresh(value: int, rows: int = 3) -> Batch:
    return Batch(*(torch.full(shape, value, dtype=torch.int32) for shape in ((rows, 2), (rows, 2), (rows,))))


def state(value: float, rows: int = 3) -> State:
    return State(torch.full((rows, 2, 4), value), torch.full((rows, 2, 4), -value))


def thought(halt: list[float], value: float = 7.0) -> StepOutput:
    logits = torch.zeros(3, 2, 5)
    return StepOutput(
        State(*(part.requires_grad_() for part in state(value))), logits, torch.tensor(halt), torch.zeros(3)
    )


def test_halted_slots_take_fresh_puzzles_and_start_over_the_others_go_on() -> None:
    slots = Slots.fill(fresh(1), state(0.0)).advance(thought([1.0, -1.0, 0.0]), 16, torch.zeros(3, dtype=torch.int32))
    assert slots.halted.tolist() == [True, False, False]  # a logit of exactly zero goes on
    after = slots.refill(fresh(2), state(0.0))
    assert after.batch.puzzle_ids.tolist() == [2, 1, 1]
    assert after.batch.inputs[:, 0].tolist() == after.batch.labels[:, 0].tolist() == [2, 1, 1]
    assert after.steps.tolist() == [0, 1, 1]
    assert after.state.y[:, 0, 0].tolist() == [0.0, 7.0, 7.0]
    assert after.state.z[:, 0, 0].tolist() == [0.0, -7.0, -7.0]
    assert not after.halted.any()


def test_slots_carry_no_graph() -> None:
    slots = Slots.fill(fresh(1), state(0.0)).advance(thought([0.0] * 3), 16)
    assert not slots.state.y.requires_grad
    assert not slots.state.z.requires_grad


def test_every_slot_halts_at_the_last_step_whatever_exploration_asks() -> None:
    slots = Slots.fill(fresh(1), state(0.0))
    for step in range(1, 4):
        slots = slots.advance(thought([-9.0] * 3), 3, torch.full((3,), 3))
        assert slots.halted.tolist() == [step == 3] * 3


def test_exploration_delays_halting() -> None:
    slots = Slots.fill(fresh(1), state(0.0)).advance(thought([9.0] * 3), 16, torch.tensor([0, 2, 16]))
    assert slots.halted.tolist() == [True, False, False]


def test_exploration_draws_two_to_max_with_its_probability() -> None:
    least = explore_halting(20_000, 0.1, 16, torch.Generator().manual_seed(0))
    explored = least[least > 0]
    assert len(explored) / 20_000 == pytest.approx(0.1, abs=0.01)
    assert sorted(explored.unique().tolist()) == list(range(2, 17))
    assert not explore_halting(100, 0.0, 16, torch.Generator()).any()


def test_slots_come_back_from_their_state_dict() -> None:
    slots = Slots.fill(fresh(3), state(1.0)).advance(thought([1.0, -1.0, 1.0]), 16, torch.zeros(3))
    back = Slots.from_state_dict(slots.state_dict(), torch.device("cpu"))
    assert torch.equal(back.halted, slots.halted)
    assert torch.equal(back.steps, slots.steps)
    assert all(torch.equal(a, b) for a, b in zip((*back.state, *back.batch), (*slots.state, *slots.batch), strict=True))


def test_exploration_does_not_depend_on_the_precision() -> None:
    drawn = []
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        with default_dtype(dtype):
            drawn.append(explore_halting(200, 0.1, 16, torch.Generator().manual_seed(0)))
    assert drawn[0].any()
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])


def test_weights_of_supervision_steps_decay_and_are_one_on_average() -> None:
    weights = step_weights(torch.arange(4), 0.7, 4)
    torch.testing.assert_close(weights[1:] / weights[:-1], torch.full((3,), 0.7))
    assert weights.mean().item() == pytest.approx(1)


def test_noise_has_the_spread_asked_for_and_the_dtype_of_the_state() -> None:
    part = torch.ones(50, 40, 8, dtype=torch.bfloat16)
    noisy = add_noise(part, 0.5, torch.Generator().manual_seed(0))
    assert noisy.dtype == torch.bfloat16
    assert (noisy - part).float().std().item() == pytest.approx(0.5, abs=0.01)
    assert torch.equal(noisy, add_noise(part, 0.5, torch.Generator().manual_seed(0)))
