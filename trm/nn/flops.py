"""Floating-point operations of a supervision step, counted from the products and attention that are carried out."""

import copy
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from trm.nn import TRM

Product = tuple[int, int, int, int]
"""Sizes (b, m, k, n) of b matrix products, (m, k) times (k, n) each, which take 2 b m k n operations."""


class StepFlops(NamedTuple):
    """Operations of one forward and backward pass: matrix products and attention, each multiply-add as two.

    Element-wise work, the loss, the optimizer and a continue loss are not in it. The backward pass of fused attention
    computes the scores once more, which counts: these are operations carried out, not those a formula asks for.
    """

    without_gradient: int
    """Forward, of the cycles that are not differentiated."""
    with_gradient: int
    """Forward, of what is differentiated."""
    backward: int
    products: Counter[Product]
    """How often each product is carried out; attention is not in it."""

    @property
    def forward(self) -> int:
        """All operations but those of the backward pass: a supervision step of solving."""
        return self.without_gradient + self.with_gradient

    @property
    def total(self) -> int:
        """All operations of the step."""
        return self.forward + self.backward


def count_flops(core: TRM, slots: int) -> StepFlops:
    """Count a supervision step by taking one, on the core's own device and under the autocast that is on.

    Args:
        core: the network; it is left as it is, and so are the random numbers to come.
        slots: puzzles B in the step; the count is proportional to it.
    """
    core = copy.deepcopy(core).train()  # a copy is never compiled, and gradients stay in it
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

        count._get_raw = True  # type: ignore[attr-defined]  # FlopCounterMode then hands over tensors, not shapes
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


_CPU_ATTENTION = {  # torch 2.13 counts attention on a GPU alone
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
