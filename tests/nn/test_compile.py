"""Every network compiles without a graph break and gives the same numbers."""

from typing import Any

import pytest
import torch

from trm.nn import NETWORKS, supervision_loss
from trm.nn.variants import NetworkName

MLP = {"mixer": "mlp", "positions": "none"}
ONE_LAYER = {**MLP, "num_layers": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "arguments"),
    [
        ("trm", MLP),
        ("trm", {}),
        ("trm", {"positions": "learned"}),
        ("single_z", ONE_LAYER),
        ("multi_scale", ONE_LAYER),
        ("trm", {**ONE_LAYER, "gradient_steps": 1}),
        ("trm", {**ONE_LAYER, "conv": 2}),
        ("hrm", {**ONE_LAYER, "continue_loss": True}),
        ("direct", {**ONE_LAYER, "cycles": 1, "latent_steps": 1}),
    ],
)
def test_compiled_training_step_gives_the_eager_numbers(network: NetworkName, arguments: dict[str, Any]) -> None:
    torch.compiler.reset()  # the cases share the code that is compiled
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_heads": 2, "multiple_of": 8, "cycles": 2, "latent_steps": 2, "puzzle_tokens": 2}
    core = NETWORKS[network](6, 9, 3, **{**sizes, **arguments})
    inputs, ids = torch.randint(1, 6, (4, 9)), torch.tensor([0, 1, 2, 1])

    def step() -> dict[str, torch.Tensor]:
        core.zero_grad()
        rows = core.puzzle_embedding(ids)
        output = core(core.start(4), inputs, rows)
        losses = supervision_loss(output.logits, output.halt, inputs)
        losses.total().backward()
        grads = {name: parameter.grad.clone() for name, parameter in core.named_parameters()}
        return {**grads, "rows": rows.grad, "logits": output.logits.detach(), "loss": losses.total().detach()}

    eager, keys = step(), core.state_dict().keys()
    core.compile(backend="aot_eager", fullgraph=True)
    for name, value in step().items():
        torch.testing.assert_close(value, eager[name], msg=lambda text, name=name: f"{name}: {text}")
    assert core.state_dict().keys() == keys
