"""What layers promise beyond the numbers of the official code."""

from collections.abc import Callable

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from trm.nn import TRM
from trm.nn.layers import Attention, Block, DepthwiseConv, GridConv, Rotary, SwiGLU, TokenSwiGLU, rms_norm


def test_attention_in_float64_has_the_gradient_of_finite_differences() -> None:
    torch.manual_seed(0)
    attention = Attention(8, 2, Rotary(torch.arange(3), 4)).double()
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


def test_a_grid_convolution_sees_the_cells_above_and_beside_but_not_across_an_edge() -> None:
    conv = GridConv(1, 2, 3, 3)
    puzzle_token, cells = torch.full((1, 1, 1), 9.0), torch.arange(1.0, 7.0).view(1, 6, 1)  # 1 2 3 / 4 5 6
    with torch.no_grad():
        conv.weight[..., 0, 1] = 10  # the cell above
        conv.weight[..., 1, 0] = 1  # the cell to the left
        mixed = conv(torch.cat((puzzle_token, cells), dim=1))
    assert mixed.flatten().tolist() == [0, 0, 1, 2, 10, 24, 35]


@pytest.mark.parametrize("mixer", ["mlp", "attention"])
def test_a_grid_convolution_begins_without_effect_and_is_trained(mixer: str) -> None:
    tiny = {"hidden_size": 8, "num_heads": 2, "multiple_of": 8, "mixer": mixer, "positions": "grid"}
    x = torch.randint(6, (2, 16))
    plain, convolved = (TRM(6, 16, **tiny, grid_conv=width) for width in (0, 3))
    convolved.load_state_dict(plain.state_dict() | {n: p for n, p in convolved.named_parameters() if "grid_conv" in n})
    outputs = [core(core.start(2), x).logits for core in (plain, convolved)]
    assert torch.equal(*outputs)
    outputs[1].square().sum().backward()
    assert convolved.blocks[1].grid_conv.weight.grad.any()


@pytest.mark.parametrize("kind", [SwiGLU, TokenSwiGLU])
def test_the_normalised_gate_is_the_published_formula(kind: type[SwiGLU]) -> None:
    layer, x = kind(8, 4.0, 8, normalised=True).double(), torch.randn(3, 8, 8, dtype=torch.float64)
    rows = x if kind is SwiGLU else x.mT
    gate, up = (rows @ weight.T for weight in layer.gate_up.weight.chunk(2))
    product = gate * up
    expected = (torch.sigmoid(gate) * product * product.square().mean(-1, keepdim=True).add(1e-5).rsqrt()) @ (
        layer.down.weight.T
    )
    torch.testing.assert_close(layer(x), expected if kind is SwiGLU else expected.mT)


def test_swiglu_convolves_what_is_gated() -> None:
    plain, convolved = SwiGLU(8, 4.0, 8), SwiGLU(8, 4.0, 8, conv=2)
    plain.gate_up, plain.down = convolved.gate_up, convolved.down
    x = torch.randn(2, 5, 8)
    hidden = []
    hook = plain.down.register_forward_pre_hook(lambda _, inputs: hidden.append(inputs[0]))
    plain(x)
    hook.remove()
    torch.testing.assert_close(convolved(x), plain.down(torch.nn.functional.silu(convolved.conv(hidden[0]))))


@pytest.mark.parametrize("mixer", ["attention", "mlp"])
def test_a_block_can_be_differentiated_twice(mixer: str) -> None:
    torch.manual_seed(0)
    block = Block(8, 3, mixer, 2, 2.0, 4, Rotary(torch.arange(3), 4)).double()
    x = torch.randn(2, 3, 8, dtype=torch.float64, requires_grad=True)
    with sdpa_kernel(SDPBackend.MATH):  # torch has no second derivative of its fused attention
        assert gradcheck(block, x)
        assert gradgradcheck(block, x)


@pytest.mark.parametrize("dim", [-1, 1])
def test_the_norm_has_the_gradients_of_its_formula(dim: int) -> None:
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 3, 4, dtype=torch.float64)

    def formula(x: torch.Tensor) -> torch.Tensor:
        return x * (x.square().mean(dim, keepdim=True) + 1e-5).rsqrt()

    def derivatives(norm: Callable[[torch.Tensor], torch.Tensor]) -> tuple[torch.Tensor, ...]:
        (first,) = torch.autograd.grad((norm(x) * weight).sum(), x, create_graph=True)
        return first, *torch.autograd.grad(first.square().sum(), x)

    torch.testing.assert_close(derivatives(lambda x: rms_norm(x, dim)), derivatives(formula))


@pytest.mark.parametrize("mixer", ["attention", "mlp"])
def test_gradients_of_each_puzzle_by_themselves_add_up_to_those_of_the_batch(mixer: str) -> None:
    core = TRM(6, 9, hidden_size=16, num_heads=2, multiple_of=8, mixer=mixer, cycles=1, latent_steps=2)
    inputs = torch.randint(1, 6, (4, 9))
    parameters, buffers = dict(core.named_parameters()), dict(core.named_buffers())

    def loss(parameters: dict[str, torch.Tensor], question: torch.Tensor) -> torch.Tensor:
        output = functional_call(core, (parameters, buffers), (core.start(1), question[None]))
        return output.logits.logsumexp(-1).sum() + output.halt.sum()

    with sdpa_kernel(SDPBackend.MATH):  # torch warns that its fused attention is slow under vmap
        each = vmap(grad(loss), in_dims=(None, 0))(parameters, inputs)
    sum(loss(parameters, question) for question in inputs).backward()
    for name, parameter in parameters.items():
        torch.testing.assert_close(each[name].sum(0), parameter.grad, msg=name)
