"""Gradient checkpointing changes what is kept for the backward pass, and no number."""

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from trm.nn import NETWORKS, supervision_loss


def kept_and_gradients(network: str, gradient_checkpointing: bool) -> tuple[int, list[Tensor | None]]:
    """Return how many bytes one supervision step keeps for its backward pass, and the gradients."""
    torch.manual_seed(0)
    core = NETWORKS[network](
        11,
        16,
        hidden_size=32,
        num_heads=2,
        multiple_of=8,
        cycles=1 if network == "direct" else 2,
        latent_steps=1 if network == "direct" else 4,
        gradient_checkpointing=gradient_checkpointing,
        num_symbols=9,
    )
    inputs = torch.randint(1, 11, (4, 16))
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        output = core(core.start(4), inputs)
        loss = supervision_loss(output.logits, output.halt, inputs).total()
    loss.backward()
    return sum(kept.values()), [p.grad for p in core.parameters()]


@pytest.mark.parametrize("network", NETWORKS)
def test_gradients_are_equal_and_less_is_kept(network: str) -> None:
    kept, gradients = kept_and_gradients(network, gradient_checkpointing=False)
    kept_less, recomputed = kept_and_gradients(network, gradient_checkpointing=True)
    for one, other in zip(gradients, recomputed, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.equal(one, other)
    assert kept_less < kept / 2
