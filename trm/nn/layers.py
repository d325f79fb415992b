"""The layers of a Tiny Recursive Model: RMS norm without parameters, SwiGLU, rotary attention, and their block.

Shapes: B batch, S sequence (puzzle tokens, then grid cells), D hidden size, H heads, I SwiGLU width.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPS = 1e-5
ROTARY_BASE = 10_000.0
GRID_BASE = 100.0
"""Base of the frequencies on the axes of a grid, which are shorter than a sequence; that of DINOv3 (2508.10104)."""


def truncated_normal_(tensor: Tensor, std: float) -> Tensor:
    """Fill ``tensor`` from a normal distribution cut at two standard deviations, with ``std`` *after* the cut.

    In ``torch.nn.init.trunc_normal_`` the cut reduces the standard deviation. The official code, like JAX, divides by
    that reduction, sqrt(1 - 4 phi(2) / erf(sqrt 2)) = 0.8796.
    """
    phi = math.exp(-2.0) / math.sqrt(2 * math.pi)  # the normal density at 2
    spread = std / math.sqrt(1 - 4 * phi / math.erf(math.sqrt(2)))
    return nn.init.trunc_normal_(tensor, std=spread, a=-2 * spread, b=2 * spread)


class Linear(nn.Linear):
    """``nn.Linear`` without a bias; its weights are initialised with standard deviation 1 / sqrt(fan in)."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)

    def reset_parameters(self) -> None:
        """Initialise the weights."""
        truncated_normal_(self.weight, std=self.in_features**-0.5)


def widen(x: Tensor) -> Tensor:
    """Return ``x`` in float32; unchanged if its type is wider."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def eager_on_cpu(x: Tensor) -> bool:
    """Return whether operations run unfused, each with its own pass over memory: on a CPU without a compiler."""
    return x.is_cpu and not torch.compiler.is_compiling()


class _RMSNorm(torch.autograd.Function):
    """x / sqrt(mean of x^2 + eps) and the scale 1 / sqrt(...).

    It saves its outputs for the backward pass, which the next layer keeps anyway, and not its input. Autograd's
    gradient of the same formula passes over memory twice as often. The scale is an output, which makes the backward
    pass differentiable.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        wide = widen(x)
        scale = wide.square().mean(dim, keepdim=True).add_(NORM_EPS).rsqrt_()
        return (wide * scale).to(x.dtype), scale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: tuple[Tensor, Tensor]) -> None:
        ctx.dim = inputs[1]
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, scale_grad: Tensor | None) -> tuple[Tensor | None, None]:
        out, scale = ctx.saved_tensors
        total = None
        if grad is not None:
            wide = widen(grad)
            along = (wide * out).mean(ctx.dim, keepdim=True)  # the component that only changes the length of x
            total = torch.addcmul(wide, out, along, value=-1).mul_(scale)
        if scale_grad is not None:  # only in a second derivative
            through_scale = out * (scale_grad * scale.square() / -out.shape[ctx.dim])
            total = through_scale if total is None else total + through_scale
        return None if total is None else total.to(out.dtype), None


def rms_norm(x: Tensor, dim: int = -1) -> Tensor:
    """Scale an axis to a root mean square of one, without parameters and without centring."""
    if eager_on_cpu(x):
        if not torch.is_grad_enabled():
            return _RMSNorm.forward(x, dim)[0]  # without the cost of entering autograd
        out: Tensor = _RMSNorm.apply(x, dim)[0]  # type: ignore[no-untyped-call]
        return out
    if dim == -1:
        return F.rms_norm(x, x.shape[-1:], eps=NORM_EPS)
    wide = widen(x)
    return (wide * wide.square().mean(dim, keepdim=True).add(NORM_EPS).rsqrt()).to(x.dtype)


def swiglu_width(size: int, expansion: float, multiple_of: int) -> int:
    """Return ``expansion`` * 2/3 * ``size``, rounded up to a multiple of ``multiple_of``.

    256 suits a GPU and is the official value. It would add most of the width of a tiny model.
    """
    return math.ceil(round(expansion * size * 2 / 3) / multiple_of) * multiple_of


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """Return silu(gate) * up, in the memory of ``gate`` unless a gradient or an export needs it."""
    if torch.is_grad_enabled() or torch.compiler.is_exporting():
        return F.silu(gate) * up
    return F.silu(gate, inplace=True).mul_(up)


def gated_norm(gate: Tensor, up: Tensor, dim: int = -1) -> Tensor:
    """Return sigmoid(gate) * rms_norm(gate * up), the normalised gate of SIC (arXiv 2601.19085)."""
    return torch.sigmoid(gate) * rms_norm(gate * up, dim)


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)), with ``swiglu_width`` channels in between.

    With ``conv``, a depthwise convolution of that width over the tokens and a second silu precede ``down``. This is
    the ConvSwiGLU of URM (arXiv 2512.14693). With ``normalised`` the product is normalised, see ``gated_norm``.
    """

    def __init__(
        self, size: int, expansion: float, multiple_of: int = 256, conv: int = 0, normalised: bool = False
    ) -> None:
        super().__init__()
        self.normalised = normalised
        width = swiglu_width(size, expansion, multiple_of)
        self.gate_up = Linear(size, 2 * width)
        self.conv = DepthwiseConv(width, conv) if conv else None
        self.down = Linear(width, size)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., size) to (..., size); a convolution requires (B, S, size)."""
        if eager_on_cpu(x) or torch.compiler.is_exporting():  # two products: halves of one cost 5 to 15 % of a step
            gate, up = (F.linear(x, weight) for weight in self.gate_up.weight.chunk(2))  # 2 x (..., I)
        else:
            gate, up = self.gate_up(x).chunk(2, dim=-1)
        hidden = gated_norm(gate, up) if self.normalised else gated(gate, up)
        if self.conv is not None:
            hidden = F.silu(self.conv(hidden))
        out: Tensor = self.down(hidden)
        return out


class DepthwiseConv(nn.Module):
    """A weighted sum over ``width`` neighbouring tokens in each channel: width // 2 before a token, then itself on."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, 1, width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise the weights."""
        truncated_normal_(self.weight, std=self.weight.shape[-1] ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, S, channels) to (B, S, channels); tokens beyond either end count as zero."""
        channels, _, width = self.weight.shape
        mixed = F.conv1d(x.mT, self.weight, padding=width // 2, groups=channels)
        return mixed[..., : x.shape[1]].mT


class GridConv(nn.Module):
    """A convolution over the rows and columns of a grid; cells beyond its edges count as zero.

    Its weights begin at zero, so that a trained network to which it is added is at first unchanged.

    Args:
        channels: channels of a cell.
        rows: rows of the grid.
        columns: columns of the grid.
        width: rows and columns of the window around a cell, an odd number.
    """

    def __init__(self, channels: int, rows: int, columns: int, width: int) -> None:
        super().__init__()
        self.grid = rows, columns
        self.weight = nn.Parameter(torch.zeros(channels, channels, width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, S, channels) to (B, S, channels); tokens before the grid get zeros."""
        before = x.shape[1] - math.prod(self.grid)
        cells = x[:, before:].mT.reshape(-1, x.shape[-1], *self.grid)  # (B, channels, rows, columns)
        mixed = F.conv2d(cells, self.weight, padding="same").flatten(2).mT
        return F.pad(mixed, (0, 0, before, 0))


class TokenSwiGLU(SwiGLU):
    """A SwiGLU across the tokens of each channel, (B, S, D) to (B, S, D), with ``size`` S.

    On a CPU the weights multiply each puzzle from the left, without a transposition; a third faster at D = 128.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, S, D) to (B, S, D)."""
        if not x.is_cpu:
            return super().forward(x.mT).mT
        if torch.compiler.is_exporting():  # two products, as above
            gate, up = (self._times(weight, x) for weight in self.gate_up.weight.chunk(2))
        else:
            gate, up = self._times(self.gate_up.weight, x).chunk(2, dim=1)  # 2 x (B, I, D)
        return self._times(self.down.weight, gated_norm(gate, up, 1) if self.normalised else gated(gate, up))

    @staticmethod
    def _times(weight: Tensor, x: Tensor) -> Tensor:
        if torch.compiler.is_exporting():
            return weight @ x  # ONNX has this product without the expansion
        # Autocast would convert the expanded weights, once per puzzle.
        return torch.bmm(weight.to(x.dtype).expand(x.shape[0], -1, -1), x)


class Rotary(nn.Module):
    """Rotary position embedding in the half-split form (GPT-NeoX), as a cached table of cosines and sines.

    With several coordinates per token, each pair of channels turns with one of them, in rotation, so that attention
    sees the offsets along every axis.

    Args:
        coordinates: the place of each token, (S,), or its A coordinates, (S, A).
        head_size: channels of a head, even and at least 2 A.
        base: base of the frequencies, which fall from 1 towards 1 / base.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, coordinates: Tensor, head_size: int, base: float = ROTARY_BASE) -> None:
        super().__init__()
        places = coordinates.view(len(coordinates), -1)  # (S, A)
        axes = places.shape[1]
        pair = torch.arange(head_size // 2)
        exponent = 2 * (pair // axes) / head_size * axes
        angle = (places[:, pair % axes] * base**-exponent).repeat(1, 2)  # (S, D / H)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Rotate (B, H, S, D / H) by position, in float32 or wider, and return it in its own dtype."""
        first, second = widen(x).chunk(2, dim=-1)
        rotated = torch.cat((-second, first), dim=-1)
        return (x * self.cos + rotated * self.sin).to(x.dtype)


def grid_coordinates(grid: Sequence[int], before: int) -> Tensor:
    """Return the coordinates of the tokens of a grid, (S, A) integers: row, column and, if it has boxes, box.

    Args:
        grid: rows and columns and, for a grid of boxes, the rows and columns of a box.
        before: number of tokens before the grid; they continue the diagonal to the upper left.
    """
    rows, columns, *box = grid
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    axes = [row, column]
    if box:
        axes.append(row // box[0] * -(-columns // box[1]) + column // box[1])
    cells = torch.stack(axes, -1).flatten(0, 1)  # (L, A)
    prefix = torch.arange(-before, 0)[:, None].expand(-1, len(axes))
    return torch.cat((prefix, cells))


class Attention(nn.Module):
    """Full self-attention over puzzle tokens and cells, without a mask: padding takes part like any other cell.

    Each head has hidden_size // num_heads channels; the remainder of the division takes no part in the attention.
    A second derivative needs torch's plain attention: ``with torch.nn.attention.sdpa_kernel(SDPBackend.MATH)``.
    """

    def __init__(self, hidden_size: int, num_heads: int, rotary: Rotary | None) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.rotary = rotary
        width = hidden_size // num_heads * num_heads
        self.qkv = Linear(hidden_size, 3 * width)
        self.out = Linear(width, hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, S, D) to (B, S, D)."""
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1))  # (B, S, 3, H, D / H)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # 3 x (B, H, S, D / H)
        if self.rotary is not None:
            q, k = self.rotary(q), self.rotary(k)
        mixed = F.scaled_dot_product_attention(q, k, v)  # (B, H, S, D / H)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """One layer: mixes the tokens, then the channels of each token; RMS norm after each residual (post-norm).

    Attention mixes the tokens or, with ``mixer="mlp"``, a SwiGLU across the token axis. The norm after that SwiGLU
    runs over the *tokens* of each channel, as in the official code. With ``grid_conv`` a convolution over ``grid`` of
    that width is added.
    """

    def __init__(
        self,
        hidden_size: int,
        length: int,
        mixer: str,
        num_heads: int,
        expansion: float,
        multiple_of: int,
        rotary: Rotary | None,
        conv: int = 0,
        normalised: bool = False,
        grid_conv: int = 0,
        grid: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.grid_conv = GridConv(hidden_size, grid[0], grid[1], grid_conv) if grid_conv else None
        self.attention = Attention(hidden_size, num_heads, rotary) if mixer == "attention" else None
        self.token_mlp = TokenSwiGLU(length, expansion, multiple_of, 0, normalised) if mixer == "mlp" else None
        self.mlp = SwiGLU(hidden_size, expansion, multiple_of, conv, normalised)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, S, D) to (B, S, D)."""
        kept = x if self.grid_conv is None else x + self.grid_conv(x)
        if self.attention is not None:
            x = rms_norm(self.attention(x).add_(kept))
        if self.token_mlp is not None:
            x = rms_norm(self.token_mlp(x).add_(kept), dim=1)
        return rms_norm(self.mlp(x).add_(x))
