"""Floating-point operations of a supervision step, counted while it runs."""

import copy
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from trm.nn import TRM

Product = tuple[int, int, int, int]
"""Sizes (b, m, k, n) of b matrix products, each (m, k) times (k, n); together they take 2 b m k n operations."""


class StepFlops(NamedTuple):
    """Operations of a forward and a backward pass: matrix products and attention, a multiply-add counted as two.

    Element-wise operations, the loss, the optimizer and the continue loss are not counted. The counts are of operations
    that run, so they include the attention scores that the backward pass of fused attention computes again.
    """

    without_gradient: int
    """Forward pass of the cycles that are not differentiated."""
    with_gradient: int
    """Forward pass of the cycle that is differentiated."""
    backward: int
    """Backward pass."""
    products: Counter[Product]
    """Number of times that each matrix product runs, attention excluded."""

    @property
    def forward(self) -> int:
        """Operations of the forward pass: a supervision step of inference."""
        return self.without_gradient + self.with_gradient

    @property
    def total(self) -> int:
        """All operations of the step."""
        return self.forward + self.backward

    def training(self, core: TRM) -> int:
        """Return the operations of a training step of a network.

        A continue loss adds the forward pass of one more step, and several latents one forward pass each.
        """
        return self.total + (core.continue_loss + core.latents * (core.latents > 1)) * self.forward


def count_flops(core: TRM, slots: int) -> StepFlops:
    """Return the operations of a supervision step, which is run on the device of the network under the active autocast.

    Args:
        core: the network; neither it nor the state of the random generators changes.
        slots: puzzles B in the step; the count is proportional to it.
    """
    core = copy.deepcopy(core).train()  # the copy is not compiled, and receives the gradients
    device = core.tokens.weight.device
    inputs = torch.zeros(slots, core.length - core.puzzle_tokens, dtype=torch.long, device=device)
    rows = None if core.puzzle_embedding is None else core.puzzle_embedding(inputs[:, 0])
    parts: Counter[str] = Counter()
    products: Counter[Product] = Counter()
    phase = ""

    def counted(name: str, formula: Callable[..., int]) -> Callable[..., int]:
        def count(*args: Any, **kwargs: Any) -> int:
            flops = formula(*args, **kwargs)
            parts[phase or ("with_gradient" if torch.is_grad_enabled() else "without_gradient")] += flops
            if name in ("aten.mm", "aten.bmm"):
                *batch, rows, inner = args[0].shape
                products[(*(batch or [1]), rows, inner, args[1].shape[-1])] += 1
            return flops

        count._get_raw = True  # type: ignore[attr-defined]  # FlopCounterMode then passes tensors, not shapes
        return count

    formulas = {**flop_registry, **_CPU_ATTENTION}
    mapping = {op: counted(str(op), formula) for op, formula in formulas.items()}
    generators = torch.random.fork_rng([device] if device.type == "cuda" else [])
    with generators, torch.enable_grad(), FlopCounterMode(display=False, custom_mapping=mapping):
        output = core(core.start(slots), inputs, rows)
        loss = output.logits.sum() + output.halt.sum()
        phase = "backward"
        loss.backward()
    return StepFlops(parts["without_gradient"], parts["with_gradient"], parts["backward"], products)


def _attention(q: Tensor, k: Tensor, v: Tensor, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(q.shape, k.shape, v.shape))  # type: ignore[no-untyped-call]


def _attention_backward(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, *_: Any, **__: Any) -> int:
    return int(sdpa_backward_flop_count(grad.shape, q.shape, k.shape, v.shape))  # type: ignore[no-untyped-call]


_CPU_ATTENTION = {  # torch 2.13 counts attention only on a GPU
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
