"""What layers promise beyond the numbers of the official code."""

import torch

from trm.nn.layers import Attention, DepthwiseConv, Rotary, SwiGLU


def test_attention_in_float64_has_the_gradient_of_finite_differences() -> None:
    torch.manual_seed(0)
    attention = Attention(8, 2, Rotary(3, 4)).double()
    assert torch.autograd.gradcheck(attention, torch.randn(2, 3, 8, dtype=torch.float64, requires_grad=True))


def test_depthwise_convolution_mixes_each_channel_with_its_neighbour_before() -> None:
    conv = DepthwiseConv(3, 2)
    x = torch.randn(2, 5, 3)
    before = torch.cat((torch.zeros(2, 1, 3), x[:, :-1]), dim=1)
    weight = conv.weight.detach()[:, 0]  # (channels, width)
    torch.testing.assert_close(conv(x), before * weight[:, 0] + x * weight[:, 1])


def test_convolution_of_width_three_is_centred_and_keeps_the_length() -> None:
    conv = DepthwiseConv(2, 3)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([0.0, 0.0, 1.0]).expand(2, 1, 3))
    x = torch.randn(1, 4, 2)
    assert torch.equal(conv(x)[:, :-1], x[:, 1:])
    assert not conv(x)[:, -1].any()


def test_swiglu_convolves_what_is_gated() -> None:
    plain, convolved = SwiGLU(8, 4.0, 8), SwiGLU(8, 4.0, 8, conv=2)
    plain.gate_up, plain.down = convolved.gate_up, convolved.down
    x = torch.randn(2, 5, 8)
    hidden = []
    hook = plain.down.register_forward_pre_hook(lambda _, inputs: hidden.append(inputs[0]))
    plain(x)
    hook.remove()
    torch.testing.assert_close(convolved(x), plain.down(torch.nn.functional.silu(convolved.conv(hidden[0]))))
