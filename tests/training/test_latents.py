"""Several latents: every step takes all, the best one is differentiated, and every slot keeps its own."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from training import quiet_trainer

from trm import Solver, Sudoku, TRMModule
from trm.batch import Batch
from trm.checkpoints.official import to_official
from trm.errors import InputError
from trm.nn import TRM, State, answer_loss, halting_loss
from trm.nn.flops import count_flops
from trm.training.latents import Winners, start_all

SMALL = {"hidden_size": 16, "num_heads": 2, "multiple_of": 8, "cycles": 2, "latent_steps": 1, "puzzle_tokens": 0}
INPUTS, LABELS = torch.randint(1, 8, (2, 10, 6), generator=torch.Generator().manual_seed(0))


def module(latents: int = 3, **arguments: Any) -> TRMModule:
    torch.manual_seed(0)
    one = TRMModule(8, 6, **{**SMALL, **arguments}, latents=latents, explore=0.0, loss="softmax")
    with torch.no_grad():
        one.core.answer_head.weight.mul_(30)  # so that answers differ from latent to latent
    return one


def train(one: TRMModule, steps: int = 1) -> dict[str, Tensor]:
    """Train on the ten puzzles, and return the gradients of the last step."""
    gradients: dict[str, Tensor] = {}

    def keep(*_: Any) -> None:
        gradients.update(
            {name: part.grad.clone() for name, part in one.core.named_parameters() if part.grad is not None}
        )

    configure = one.configure_optimizers

    def configured() -> Any:
        found: Any = configure()
        found["optimizer"].register_step_pre_hook(keep)
        return found

    one.configure_optimizers = configured  # type: ignore[method-assign]
    loader = DataLoader(TensorDataset(INPUTS, LABELS), batch_size=10)
    quiet_trainer(max_steps=steps).fit(one, loader)
    return gradients


def after_each(core: TRM) -> list[Any]:
    """Return the outputs of a step from every latent."""
    return [core(core.start(10, torch.full((10,), number)), INPUTS) for number in range(core.latents)]


def test_the_gradient_is_that_of_the_latent_with_the_least_answer_loss_alone() -> None:
    one = module()
    core = copy.deepcopy(one.core)
    gradients = train(one)
    outputs = after_each(core)
    losses = torch.stack([answer_loss(output.logits, LABELS, "softmax") for output in outputs], dim=1)
    best = losses.argmin(1)
    assert len(best.unique()) > 1  # else one latent always wins, and the test would not see which is taken
    rows = torch.arange(10)
    logits = torch.stack([output.logits for output in outputs], dim=1)[rows, best]
    halt = torch.stack([output.halt for output in outputs], dim=1)[rows, best]
    (answer_loss(logits, LABELS, "softmax") + 0.5 * halting_loss(halt, logits, LABELS)).mean().backward()
    for name, parameter in core.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, msg=name)


def test_a_slot_keeps_every_latent_and_the_answer_of_the_best() -> None:
    one = module()
    core = copy.deepcopy(one.core)
    train(one)
    outputs = after_each(core)
    best = torch.stack([answer_loss(output.logits, LABELS, "softmax") for output in outputs], dim=1).argmin(1)
    assert one.slots is not None
    y, z = one.slots.state
    torch.testing.assert_close(z, torch.stack([output.state.z for output in outputs], dim=1).detach())
    torch.testing.assert_close(y, torch.stack([output.state.y for output in outputs], dim=1)[range(10), best].detach())


def test_a_fresh_puzzle_starts_with_all_initial_latents() -> None:
    one = module(supervision_steps=1)
    train(one)
    assert one.slots is not None and bool(one.slots.halted.all())
    fresh = Batch(INPUTS, LABELS, torch.zeros(10, dtype=torch.int32))
    state = one.slots.refill(fresh, start_all(one.core, 10)).state
    assert torch.equal(state.z[4, :, 2], one.core.z_init)
    assert torch.equal(state.y[4, 2], one.core.y_init)


def test_without_a_label_the_most_confident_latent_is_trained_to_doubt() -> None:
    one = module()
    torch.nn.init.normal_(one.core.halting_head.weight)
    batch = Batch(INPUTS, torch.full_like(LABELS, -100), torch.zeros(10, dtype=torch.int32))
    winners = Winners(one.core, start_all(one.core, 10), batch, None, one.answer_loss)
    halts = torch.stack([output.halt for output in after_each(one.core)], dim=1)
    assert torch.equal(winners.which, halts.argmax(1))


def test_one_latent_is_the_network_without_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("trm.training.supervision.Winners")  # it is not used
    plain, one = (TRMModule(8, 6, **SMALL, explore=0.0, **option) for option in ({}, {"latents": 1}))
    one.load_state_dict(plain.state_dict())
    for each in (plain, one):
        train(each, steps=3)
    assert one.core.z_init.shape == (16,)
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, one.state_dict()[name]), name


@pytest.mark.parametrize("network", ["two_networks", "multi_scale", "symmetric"])
def test_networks_with_a_latent_train_several(network: str) -> None:
    one = module(2, network=network, latent_steps=2, num_symbols=7, continue_loss=True)
    train(one, steps=2)
    assert one.slots is not None
    assert one.slots.state.z.shape == (10, 2, *one.core.start(1).z.shape[1:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"network": "single_z"}, "latents is 3, but the network SingleZ has no latents to choose from; accepted is 1"),
        ({"network": "direct", "cycles": 1}, "latents is 3, but the network Direct has no latents"),
        ({"network": "hrm"}, "latents is 3, but the network HRM has no latents"),
        ({"latents": 0}, "latents is 0"),
        ({"latents": 65}, "latents is 65"),
    ],
)
def test_numbers_of_latents_that_a_network_does_not_have_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TRMModule(8, 6, **{"latents": 3, **SMALL, **arguments})


def test_a_network_of_ones_own_that_has_one_latent_is_refused() -> None:
    class Own(TRM):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.z_init = torch.zeros(16)

    with pytest.raises(InputError, match=r"latents is 3, but the network .*Own sets a z_init of shape \(16,\)"):
        TRMModule(8, 6, network=Own, **SMALL, latents=3)


def test_the_official_code_has_no_such_network() -> None:
    with pytest.raises(InputError, match=r"x\.ckpt has 3 latents, but a network of the official code has one"):
        to_official(module().core.state_dict(), "trm", "", "x.ckpt")


def test_operations_include_a_forward_pass_of_each_latent() -> None:
    one, several = (module(latents).core for latents in (1, 3))
    flops = count_flops(several, 1)
    assert flops.total == count_flops(one, 1).total == flops.training(one)
    assert flops.training(several) == flops.total + 3 * flops.forward


def test_rollouts_start_from_one_latent_after_the_other_and_then_need_noise(tmp_path: Path) -> None:
    data = Sudoku(size=4, root=str(tmp_path))
    torch.manual_seed(0)
    one = TRMModule(data.vocab_size, data.seq_len, **SMALL, latents=3).eval()
    with torch.no_grad():
        one.core.answer_head.weight.mul_(30)  # so that answers differ
    question = data.parse(".3...2.1...4....")
    rollouts = Solver((one, data), breadth=3, depth=1, select="first").roll_out(question[None])
    for number, answer in enumerate(rollouts.answers):
        state = State(*(part.contiguous() for part in one.core.start(1, torch.tensor([number]))))
        logits = one.core(state, torch.from_numpy(question[None]).int()).logits
        assert answer.tolist() == logits.argmax(-1)[0].tolist()
    noisy = Solver((one, data), breadth=4, depth=1, noise=1.0).roll_out(question[None])
    assert (noisy.answers[:3] == rollouts.answers).all()
    with pytest.raises(InputError, match="breadth is 4, but without noise only 3 latents differ"):
        Solver((one, data), breadth=4)
