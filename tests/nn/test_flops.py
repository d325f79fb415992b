"""Counted operations equal a count by hand."""

import math

import pytest

from trm.nn import TRM
from trm.nn.flops import count_flops

B, L, P, D, I, V = 3, 5, 2, 8, 16, 7  # noqa: E741 - slots, cells, puzzle tokens, channels, SwiGLU width, tokens
S = P + L
T, N = 3, 2  # cycles, latent steps


def tiny(mixer: str) -> TRM:
    """Build a network of one layer of two heads."""
    return TRM(V, L, 4, D, 1, 2, expansion=3, multiple_of=8, mixer=mixer, cycles=T, latent_steps=N, puzzle_tokens=P)


def swiglu(rows: int, size: int, width: int) -> int:
    """Gate and up, then down."""
    return 2 * rows * size * 2 * width + 2 * rows * width * size


HEADS = 2 * B * L * D * V + 2 * B * D * 2  # answer and halting


def test_operations_of_the_mlp_mixer_are_those_counted_by_hand() -> None:
    layer = swiglu(B * D, S, 16) + swiglu(B * S, D, I)  # across the tokens, across the channels
    flops = count_flops(tiny("mlp"), B)
    assert flops.without_gradient == (T - 1) * (N + 1) * layer
    assert flops.with_gradient == (N + 1) * layer + HEADS
    # Each product has one for its input's gradient and one for its weights': every input holds the question, whose
    # embedding is learned.
    assert flops.backward == 2 * flops.with_gradient
    assert flops.total == flops.without_gradient + flops.with_gradient + flops.backward


def test_operations_of_attention_are_those_counted_by_hand() -> None:
    scores = 2 * B * S * S * D  # over both heads; as many for the weighted sum of the values
    products = 2 * B * S * D * 3 * D + 2 * B * S * D * D + swiglu(B * S, D, I)
    layer = products + 2 * scores
    flops = count_flops(tiny("attention"), B)
    assert flops.without_gradient == (T - 1) * (N + 1) * layer
    assert flops.with_gradient == (N + 1) * layer + HEADS
    # Attention goes back through five products, as it computes the scores once more.
    assert flops.backward == 2 * ((N + 1) * products + HEADS) + (N + 1) * 5 * scores


def test_the_products_of_a_step_are_named_by_their_sizes() -> None:
    flops = count_flops(tiny("attention"), B)
    in_products = sum(2 * math.prod(sizes) * count for sizes, count in flops.products.items())
    scores = 2 * B * S * S * D
    halting = 2 * B * D * 2  # a product with a bias, which is another operation; its gradients are plain ones
    attention = T * (N + 1) * 2 * scores + (N + 1) * 5 * scores
    assert in_products == flops.total - attention - halting
    assert flops.products[1, B * L, D, V] == 1


@pytest.mark.parametrize("mixer", ["mlp", "attention"])
def test_counting_leaves_the_network_as_it_is(mixer: str) -> None:
    core = tiny(mixer)
    assert 2 * count_flops(core, 2).total == count_flops(core, 4).total
    assert all(parameter.grad is None for parameter in core.parameters())
