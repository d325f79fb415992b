"""What layers promise beyond the numbers of the official code."""

import torch

from trm.nn.layers import Attention, Rotary


def test_attention_in_float64_has_the_gradient_of_finite_differences() -> None:
    torch.manual_seed(0)
    attention = Attention(8, 2, Rotary(3, 4)).double()
    assert torch.autograd.gradcheck(attention, torch.randn(2, 3, 8, dtype=torch.float64, requires_grad=True))
