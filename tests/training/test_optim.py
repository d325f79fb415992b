"""AdamATan2, the puzzle embedding's update and the schedule give the numbers of the official code."""

import json
from collections.abc import Iterator

import official
import pytest
import torch
from official import Pair
from safetensors.torch import load_file

from trm.nn.puzzle_embedding import PuzzleEmbedding
from trm.training.optim import AdamATan2, MuonATan2, warmup_cosine

OPTIM = load_file(official.GOLDEN / "optim" / "optim.safetensors")


def adam_atan2_steps() -> Iterator[Pair]:
    p = torch.nn.Parameter(OPTIM["p0"].clone())
    optimizer = AdamATan2([p], betas=(0.9, 0.95), weight_decay=0.1)
    for i, lr in enumerate(OPTIM["lrs"].tolist(), 1):
        optimizer.param_groups[0]["lr"] = lr
        p.grad = OPTIM[f"grad{i}"].clone()
        optimizer.step()
        yield Pair("AdamATan2", p, OPTIM[f"p{i}"], atol=1e-6, rtol=1e-6)


def sign_steps() -> Iterator[Pair]:
    table = PuzzleEmbedding(*OPTIM["emb_w0"].shape)
    table.weights.copy_(OPTIM["emb_w0"])
    for i in (1, 2):
        rows = table(OPTIM[f"emb_ids{i}"])
        rows.backward(OPTIM[f"emb_grad{i}"])
        table.update(lr=1e-2, weight_decay=0.1)
        yield Pair("sign update of the puzzle embedding", table.weights, OPTIM[f"emb_w{i}"], atol=1e-7, rtol=1e-6)


def learning_rates() -> Iterator[Pair]:
    for row in json.loads((official.GOLDEN / "optim" / "lr_schedule.json").read_text()):
        if row["step"] == 0:  # the official first update already has step 1
            continue
        factor = warmup_cosine(row["warmup"], row["total"], row["min_ratio"])
        yield Pair("learning rates", factor(row["step"] - 1) * row["base_lr"], row["lr"], rtol=1e-9)


def test_adam_atan2_matches_official_steps() -> None:
    official.assert_match(adam_atan2_steps())


def test_adam_atan2_matches_the_kernels_formula() -> None:
    expected = [0.9989033134750884, 0.9985352859203491, 0.9982255264065727, 0.9979515398178148]
    p = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = AdamATan2([p], lr=1e-3, weight_decay=0.1)
    for grad, value in zip([0.5, -0.25, 1e-9, 0.0], expected, strict=True):
        p.grad = torch.tensor([grad], dtype=torch.float64)
        optimizer.step()
        assert p.item() == pytest.approx(value, abs=1e-12)


def test_adam_atan2_skips_parameters_without_gradient_and_counts_their_own_steps() -> None:
    early, late = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    optimizer = AdamATan2([early, late], lr=0.1, weight_decay=0.0)
    early.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(late, torch.ones(2))
    late.grad = torch.ones(2)
    before = late.detach().clone()
    optimizer.step()
    first_step = 0.1 / (1 - 0.9) * torch.atan2(torch.tensor(0.1), torch.tensor(1.0))
    torch.testing.assert_close(before - late.detach(), first_step.expand(2))


def test_adam_atan2_resumes_from_its_state_dict() -> None:
    def run(optimizer: AdamATan2, p: torch.nn.Parameter, steps: range) -> None:
        for i in steps:
            p.grad = torch.full_like(p, 0.1 * i - 0.2)
            optimizer.step()

    p, q = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3))
    whole = AdamATan2([p])
    run(whole, p, range(6))
    half = AdamATan2([q])
    run(half, q, range(3))
    rest = AdamATan2([q])
    rest.load_state_dict(half.state_dict())
    run(rest, q, range(3, 6))
    assert torch.equal(p, q)


@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"weight_decay": -0.1}, {"betas": (1.0, 0.9)}, {"lr": float("nan")}])
def test_adam_atan2_refuses_values_out_of_range(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AdamATan2([torch.nn.Parameter(torch.ones(1))], **wrong)


def test_puzzle_table_matches_official_sign_steps() -> None:
    official.assert_match(sign_steps())


def test_puzzle_table_is_no_parameter_and_needs_no_gradient_in_evaluation() -> None:
    table = PuzzleEmbedding(4, 3)
    assert not list(table.parameters())
    assert not table.eval()(torch.tensor([1, 2])).requires_grad
    table.update(lr=1.0, weight_decay=1.0)
    assert torch.equal(table.weights, torch.zeros(4, 3))


def test_schedule_matches_official() -> None:
    official.assert_match(learning_rates())


def train_linear(optimizer: torch.optim.Optimizer, layer: torch.nn.Linear, steps: int) -> None:
    torch.manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        layer(torch.randn(4, 3)).square().mean().backward()
        optimizer.step()


def test_muon_moves_matrices_and_adam_atan2_the_rest_as_each_would_alone() -> None:
    together, apart = torch.nn.Linear(3, 5), torch.nn.Linear(3, 5)
    apart.load_state_dict(together.state_dict())
    both = MuonATan2([together.weight], [together.bias], lr=0.01, weight_decay=0.1)
    muon = torch.optim.Muon([apart.weight], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    adam = AdamATan2([apart.bias], lr=0.01, weight_decay=0.1)
    torch.manual_seed(1)
    for _ in range(3):
        x = torch.randn(4, 3)
        for layer, optimizers in ((together, [both]), (apart, [muon, adam])):
            layer.zero_grad()
            layer(x).square().mean().backward()
            for optimizer in optimizers:
                optimizer.step()
    assert torch.equal(together.weight, apart.weight)
    assert torch.equal(together.bias, apart.bias)


def test_muon_may_have_a_learning_rate_and_weight_decay_of_its_own() -> None:
    together, apart = torch.nn.Linear(3, 5), torch.nn.Linear(3, 5)
    apart.load_state_dict(together.state_dict())
    both = MuonATan2([together.weight], [together.bias], 1e-4, 1.0, muon_lr=0.02, muon_weight_decay=0.005)
    muon = torch.optim.Muon([apart.weight], lr=0.02, weight_decay=0.005)  # with the scale of its author
    adam = AdamATan2([apart.bias], lr=1e-4, weight_decay=1.0)
    x = torch.randn(4, 3)
    for layer in (together, apart):
        layer(x).square().mean().backward()
    for optimizer in (both, muon, adam):
        optimizer.step()
    assert torch.equal(together.weight, apart.weight)
    assert torch.equal(together.bias, apart.bias)


def test_muon_goes_on_from_a_saved_state() -> None:
    whole, parts = torch.nn.Linear(3, 5), torch.nn.Linear(3, 5)
    parts.load_state_dict(whole.state_dict())
    first = MuonATan2([whole.weight], [whole.bias], lr=0.01, weight_decay=0.1)
    before = MuonATan2([parts.weight], [parts.bias], lr=0.01, weight_decay=0.1)
    train_linear(first, whole, 2)
    train_linear(before, parts, 2)
    after = MuonATan2([parts.weight], [parts.bias], lr=0.5, weight_decay=0.5)
    after.load_state_dict(before.state_dict())
    train_linear(first, whole, 2)
    train_linear(after, parts, 2)
    assert torch.equal(whole.weight, parts.weight)
    assert torch.equal(whole.bias, parts.bias)
