"""Fresh weights are drawn from the distributions of the official code."""

import json

import official
import pytest
import torch

from trm.nn import TRM
from trm.nn.layers import truncated_normal_

STATS = json.loads((official.GOLDEN / "init" / "init_stats.json").read_text())


@pytest.mark.parametrize("name", STATS)
def test_fresh_weights_have_the_official_statistics(name: str) -> None:
    torch.manual_seed(0)
    stats = dict(STATS[name])
    core = TRM(**official.hyper_parameters(stats.pop("_config")))
    golden = {official.our_name(key): entry for key, entry in stats.items()}
    state = core.state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == {k: e["shape"] for k, e in golden.items()}
    for key, entry in golden.items():
        tensor = state[key]
        spread = 5 / max(tensor.numel(), 1) ** 0.5  # five standard errors, relative to the standard deviation
        assert tensor.std().item() == pytest.approx(entry["std"], rel=2 * spread, abs=1e-12), key
        assert tensor.mean().item() == pytest.approx(entry["mean"], abs=2 * spread * entry["std"] + 1e-12), key
        assert tensor.abs().max().item() <= max(abs(entry["min"]), abs(entry["max"]), 2.2737 * entry["std"]) * 1.1, key
        assert entry["trainable"] == (key in dict(core.named_parameters())), key


def test_truncation_keeps_the_standard_deviation() -> None:
    torch.manual_seed(0)
    values = truncated_normal_(torch.empty(1_000_000), std=3.0)
    assert values.std().item() == pytest.approx(3.0, rel=5e-3)
    assert values.abs().max().item() <= 3.0 * 2.2736944687 + 1e-5


@pytest.mark.parametrize(
    ("data", "mixer", "positions", "count"),
    [
        ((11, 81, 1), "mlp", "none", 5_028_866),
        ((11, 81, 1), "attention", "rotary", 6_828_034),
        ((11, 81, 1), "attention", "learned", 6_877_698),
        ((6, 900, 1), "attention", "rotary", 6_822_914),
        ((12, 900, 1), "attention", "rotary", 6_829_058),
        ((12, 900, 1), "mlp", "none", 18_801_666),
    ],
)
def test_paper_models_have_the_published_number_of_weights(
    data: tuple[int, int, int], mixer: str, positions: str, count: int
) -> None:
    with torch.device("meta"):
        core = TRM(*data, mixer=mixer, positions=positions)
    assert sum(parameter.numel() for parameter in core.parameters()) == count
