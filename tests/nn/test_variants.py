"""The networks that the Tiny Recursive Model is compared with: the official numbers, sizes, and what each changes."""

import json
from collections.abc import Iterator
from typing import Any, get_args

import official
import pytest
import torch
from official import LOGITS, SCALARS, Pair
from torch import Tensor
from torch.utils.data import DataLoader
from training import quiet_trainer

from trm.batch import Batch
from trm.checkpoints.official import from_official
from trm.errors import InputError
from trm.module import TRMModule
from trm.nn import NETWORKS, TRM, State, StepOutput
from trm.nn.variants import HRM, Direct, NetworkName, TwoNetworks

MLP = {"mixer": "mlp", "positions": "none"}
FORMULA: dict[str, dict[str, Any]] = {
    "trm_att": {},
    "trm_mlp": MLP,
    "trm_learned": {"positions": "learned"},
    "trm_singlez_mlp": {"network": "single_z", **MLP},
    "trm_hier6_mlp_L6": {"network": "multi_scale", "latent_steps": 6, **MLP},
    "hrm": {"network": "hrm", "cycles": 2, "puzzle_tokens": 1, "continue_loss": True},
    "transformer_baseline": {
        "network": "direct",
        "num_layers": 3,
        "cycles": 1,
        "latent_steps": 1,
        "puzzle_tokens": 1,
    },
}


SUMS = {"atol": 1e-2}
GRADIENT_SUMS = {
    "sums of gradients": {"atol": 1e-5, "rtol": 1e-3},
    # AdamATan2's first update is as large for the smallest gradient as for any, so that roundings of it come out whole.
    "sums of gradients after an update": {"atol": 1e-5, "rtol": 5e-3},
}


def formula_module(name: str, golden: dict[str, Any]) -> TRMModule:
    """A network of the fixture, with weights by its formula, that learns at a rate of zero."""
    sizes = {"hidden_size": 64, "num_heads": 2, "latent_steps": 2, "puzzle_tokens": 4}
    still = {"lr": 0.0, "puzzle_lr": 0.0, "warmup_steps": 0}
    module = TRMModule(11, 9, 5, **{**sizes, **FORMULA[name]}, **still, supervision_steps=3, explore=0.0)
    network, state = from_official(official.formula_state_dict(name), name)
    assert network == module.hparams["network"]
    module.core.load_state_dict(state)
    assert sum(parameter.numel() for parameter in module.core.parameters()) == golden["num_params"]
    # The official baseline halts by comparison with a logit that nothing trains.
    module.core.continue_loss |= name == "transformer_baseline"
    return module


def formula_batch() -> Batch:
    """The same three puzzles for two supervision steps."""
    b, j = torch.meshgrid(torch.arange(3), torch.arange(9), indexing="ij")
    inputs, labels = (7 * b + 3 * j) % 10 + 1, (5 * b + 2 * j + 1) % 10 + 1
    labels[0, 0] = labels[0, 4] = -100
    labels[2, :3] = -100
    return Batch(*(torch.stack((field, field)) for field in (inputs, labels, torch.tensor([1, 2, 2]))))


def formula_steps(module: TRMModule, precision: str) -> list[dict[str, Any]]:
    """Take two supervision steps through Lightning and return what each computed."""
    steps: list[dict[str, Any]] = []
    backward, supervise = module.manual_backward, module.supervision_step

    def recorded_backward(loss: Tensor) -> None:
        backward(loss)
        _, rows = module.core.puzzle_embedding._used
        grads = {name: parameter.grad.abs().sum().item() for name, parameter in module.core.named_parameters()}
        steps[-1].update(loss=loss.item(), grads=grads, rows=rows.grad.abs().sum(-1).tolist())

    def recorded_step(fresh: Batch) -> None:
        steps.append({})
        supervise(fresh)
        steps[-1].update(slots=module.slots)

    def recorded_thought(core: Any, args: Any, output: StepOutput) -> None:
        if output.logits.requires_grad:  # not the step ahead that a continue loss takes
            steps[-1].update(thought=output)

    module.manual_backward, module.supervision_step = recorded_backward, recorded_step
    module.core.register_forward_hook(recorded_thought)
    trainer = quiet_trainer(max_steps=2, max_epochs=1, precision=precision)
    trainer.fit(module, DataLoader([formula_batch()], batch_size=None))
    return steps


def every_network(name: str) -> Iterator[Pair]:
    golden = json.loads((official.GOLDEN / "formula" / "model_golden.json").read_text())[name]
    network = FORMULA[name].get("network", "trm")
    steps = formula_steps(formula_module(name, golden), "32-true")
    for ours, theirs, (sums_of, near) in zip(steps, golden["float32"], GRADIENT_SUMS.items(), strict=True):
        output, slots, grads = ours["thought"], ours["slots"], ours["grads"]
        yield Pair("losses", ours["loss"] * 3, theirs["loss"], **SCALARS)
        yield Pair("halting logits", output.halt.tolist(), theirs["q_halt"], **SCALARS)
        if name in ("hrm", "transformer_baseline"):  # which compare the two
            yield Pair("logits of going on", output.proceed.tolist(), theirs["q_continue"], **SCALARS)
        yield Pair("halting decisions", slots.halted.tolist(), theirs["halted"])
        yield Pair("steps of each slot", slots.steps.tolist(), theirs["steps"])
        yield Pair("answer logits", output.logits[0, 0].tolist(), theirs["logits_0_0"], **LOGITS)
        yield Pair("answer logits", output.logits[2, 8].tolist(), theirs["logits_2_8"], **LOGITS)
        yield Pair("predicted tokens", output.logits.argmax(-1).tolist(), theirs["preds"])
        yield Pair("sums of logits, y and z", output.logits.double().abs().sum(), theirs["logits_abs_sum"], **SUMS)
        features = [output.state.y, *output.state.z.split(64, dim=-1)]  # z_H, then every z_L there is
        features = [feature.double() for feature in features if feature.numel()]
        for feature, sums in zip(features, theirs["z_sum_abssum"].values(), strict=True):
            yield Pair("sums of logits, y and z", torch.stack((feature.sum(), feature.abs().sum())), sums, **SUMS)
        for key, expected in theirs["grad_abs_sum"].items():
            yield Pair(sums_of, grads[official.our_name(key, network)], expected, **near)
        yield Pair(sums_of, ours["rows"], theirs["puzzle_local_grad_abs_sum"], **near)


def every_network_in_bfloat16(name: str) -> Iterator[Pair]:
    """Rounding grows with each recursion, so that only losses and decisions can be compared."""
    golden = json.loads((official.GOLDEN / "formula" / "model_golden.json").read_text())[name]
    for ours, theirs in zip(formula_steps(formula_module(name, golden), "bf16-mixed"), golden["bfloat16"], strict=True):
        assert ours["thought"].state.y.dtype == torch.bfloat16
        yield Pair("losses", ours["loss"] * 3, theirs["loss"], atol=0.2)  # of about 10
        yield Pair("halting decisions", ours["slots"].halted.tolist(), theirs["halted"])


@pytest.mark.parametrize("name", FORMULA)
def test_every_network_matches_official(name: str) -> None:
    """Weights and inputs are by the formula of the fixture: no file of weights could have been fitted to."""
    official.assert_match(every_network(name))


@pytest.mark.parametrize("name", FORMULA)
def test_every_network_comes_near_official_in_bfloat16(name: str) -> None:
    official.assert_match(every_network_in_bfloat16(name))


PAPER = {"cycles": 3, "latent_steps": 6, **MLP}
SUDOKU, MAZE, ARC = (11, 81, 1), (6, 900, 1), (12, 900, 1)


@pytest.mark.parametrize(
    ("network", "data", "arguments", "count"),
    [
        ("trm", SUDOKU, PAPER, 5_028_866),
        ("trm", SUDOKU, {**PAPER, "num_layers": 4}, 10_045_442),
        ("trm", MAZE, PAPER, 18_795_522),
        ("single_z", SUDOKU, PAPER, 5_028_866),
        ("multi_scale", SUDOKU, PAPER, 5_028_866),
        ("two_networks", SUDOKU, PAPER, 10_045_442),
        ("hrm", SUDOKU, {"num_layers": 4, "puzzle_tokens": 1}, 27_275_266),
        ("hrm", MAZE, {"num_layers": 4, "puzzle_tokens": 1}, 27_270_146),
        ("hrm", ARC, {"num_layers": 4, "puzzle_tokens": 1}, 27_276_290),
        ("direct", SUDOKU, {"num_layers": 8, "num_heads": 12, "cycles": 1, "latent_steps": 1}, 27_144_194),
        ("direct", ARC, {"num_layers": 8, "num_heads": 12, "cycles": 1, "latent_steps": 1}, 27_145_218),
    ],
)
def test_networks_have_the_official_number_of_weights(
    network: NetworkName, data: tuple[int, int, int], arguments: dict[str, Any], count: int
) -> None:
    with torch.device("meta"):
        core = NETWORKS[network](*data, **arguments)
    assert sum(parameter.numel() for parameter in core.parameters()) == count


def test_every_network_has_a_name() -> None:
    assert set(get_args(NetworkName)) == NETWORKS.keys()


TINY = {"vocab_size": 6, "seq_len": 9, "hidden_size": 16, "num_heads": 2, "multiple_of": 8}
INPUTS = torch.arange(18).view(2, 9) % 6


def outcome(core: TRM, state: Any = None) -> dict[str, Tensor]:
    """What a supervision step computes, and the gradients of something that depends on all of it."""
    output = core(state or core.start(2), INPUTS)
    (output.logits.square().mean() + output.halt.mean() + output.state.y.mean()).backward()
    grads = {name: parameter.grad for name, parameter in core.named_parameters()}
    return {**grads, "logits": output.logits.detach(), "y": output.state.y.detach(), "z": output.state.z.detach()}


def test_damping_keeps_a_share_of_the_old_value_in_every_update() -> None:
    core = TRM(**TINY, cycles=1, latent_steps=1, damping=0.25, pass_noise=1.0).eval()  # noise in training only
    x, (y, z) = core.embed(INPUTS, None), core.start(2)
    new_z = 0.25 * z + 0.75 * core.network(z + (y + x))
    new_y = 0.25 * y + 0.75 * core.network(y + new_z)
    output = core(core.start(2), INPUTS)
    torch.testing.assert_close(output.state, State(new_y, new_z))
    assert not torch.equal(core.train()(core.start(2), INPUTS).state.y, new_y)


def test_one_step_gradient_is_that_of_the_last_updates_alone() -> None:
    one_step = TRM(**TINY, cycles=2, latent_steps=3, gradient_steps=1)
    last = TRM(**TINY, cycles=1, latent_steps=1)
    last.load_state_dict(one_step.state_dict())
    x = last.embed(INPUTS, None)
    y, z = last.start(2)
    with torch.no_grad():
        for _ in range(3):
            z = last.network(z + (y + x))
        y = last.network(y + z)
        for _ in range(2):
            z = last.network(z + (y + x))
    ours, theirs = outcome(one_step), outcome(last, State(y, z))
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name


@pytest.mark.parametrize("network", ["trm", "single_z", "multi_scale", "two_networks"])
def test_truncated_gradient_changes_no_number_but_the_gradients(network: NetworkName) -> None:
    whole, truncated = (NETWORKS[network](**TINY, cycles=2, latent_steps=3, gradient_steps=k) for k in (0, 2))
    truncated.load_state_dict(whole.state_dict())
    one, other = outcome(whole), outcome(truncated)
    assert torch.equal(one["logits"], other["logits"])
    assert not torch.equal(one["blocks.0.mlp.down.weight"], other["blocks.0.mlp.down.weight"])
    all_of_them = NETWORKS[network](**TINY, cycles=2, latent_steps=3, gradient_steps=3)
    all_of_them.load_state_dict(whole.state_dict())
    for name, value in outcome(all_of_them).items():
        assert torch.equal(value, one[name]), name


def test_more_gradient_than_there_is_is_refused() -> None:
    with pytest.raises(InputError, match="gradient_steps is 4, but must be from 0 to 3"):
        TRM(**TINY, latent_steps=3, gradient_steps=4)
    with pytest.raises(InputError, match="network hrm differentiates one latent step, but gradient_steps is 2"):
        HRM(**TINY, latent_steps=3, gradient_steps=2)


def test_halting_head_starts_where_it_is_asked_to() -> None:
    assert TRM(**TINY, halt_bias=-3).halting_head.bias.tolist() == [-3.0, -3.0]


def test_two_networks_are_drawn_apart_and_are_the_plain_model_where_they_are_equal() -> None:
    plain, two = TRM(**TINY, cycles=2, latent_steps=2), TwoNetworks(**TINY, cycles=2, latent_steps=2)
    assert not torch.equal(two.blocks[0].mlp.down.weight, two.answer_blocks[0].mlp.down.weight)
    mixed = TwoNetworks(**TINY, cycles=2, latent_steps=2, conv=2)
    for (name, one), other in zip(mixed.blocks.named_parameters(), mixed.answer_blocks.parameters(), strict=True):
        assert not torch.equal(one, other), name
    two.load_state_dict(plain.state_dict(), strict=False)
    two.answer_blocks.load_state_dict(plain.blocks.state_dict())
    one, both = outcome(plain), outcome(two)
    for name, value in one.items():
        if name.startswith("blocks."):
            torch.testing.assert_close(both[name] + both[f"answer_{name}"], value)
        else:
            torch.testing.assert_close(both[name], value)


def test_hrm_takes_the_path_of_two_networks_and_differentiates_less_of_it() -> None:
    two, hrm = TwoNetworks(**TINY, cycles=2, latent_steps=2), HRM(**TINY, cycles=2, latent_steps=2)
    hrm.load_state_dict(two.state_dict())
    one, other = outcome(two), outcome(hrm)
    assert torch.equal(one["logits"], other["logits"])
    assert not torch.allclose(one["blocks.0.mlp.down.weight"], other["blocks.0.mlp.down.weight"])


def test_heads_need_not_divide_the_hidden_size() -> None:
    core = Direct(**{**TINY, "num_heads": 7}, cycles=1, latent_steps=1)
    assert core.blocks[0].attention.out.weight.shape == (16, 14)
    assert torch.isfinite(outcome(core)["logits"]).all()
