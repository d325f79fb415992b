"""The optimizers AdamATan2 (HRM and TRM) and Muon, and the learning-rate schedule."""

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn
from torch.optim import Muon
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.optimizer import Optimizer

RATES = ("initial_lr", "weight_decay", "adjust_lr_fn")
"""Settings of a parameter group that a run which resumes may change; the last is the scale of Muon."""


class AdamATan2(Optimizer):
    """Adam with the step atan2(m, sqrt(v)) instead of m / (sqrt(v) + eps), which has no epsilon.

    At step t, with gradient g, in this order::

        p <- p (1 - lr * weight_decay)
        m <- m + (1 - b1) (g - m)
        v <- v + (1 - b2) (g^2 - v)
        p <- p - lr / (1 - b1^t) * atan2(m, sqrt(v) / sqrt(1 - b2^t))

    The bias correction of the first moment scales the step and is *not* inside atan2. This is the rule of the CUDA
    extension ``adam-atan2`` 0.0.3, with which TRM was trained; the package ``adam-atan2-pytorch`` has another rule.

    Args:
        params: parameters or parameter groups.
        lr: learning rate; a parameter moves by at most pi / 2 * lr / (1 - b1^t) per step.
        betas: decay rates b1 and b2 of the first and the second moment.
        weight_decay: decoupled weight decay, scaled by ``lr``.

    Raises:
        ValueError: if a value is out of its range.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.1,
    ) -> None:
        if not (lr >= 0 and weight_decay >= 0 and all(0 <= beta < 1 for beta in betas)):
            given = f"{lr=}, {weight_decay=}, {betas=}"
            raise ValueError(f"AdamATan2 takes lr and weight_decay from 0 and betas in [0, 1), not {given}")
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step; parameters without a gradient do not change."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._apply(group)
        return loss

    def _apply(self, group: dict[str, Any]) -> None:
        params = [p for p in group["params"] if p.grad is not None]
        for age, same_age in self._by_age(params).items():
            _update(same_age, [self.state[p] for p in same_age], age, group)

    def _by_age(self, params: list[Tensor]) -> dict[int, list[Tensor]]:
        """Increment the step count of each parameter and return the parameters by count; usually there is one group."""
        groups: dict[int, list[Tensor]] = {}
        for p in params:
            state = self.state[p]
            if not state:
                state["step"] = torch.tensor(0.0)  # on the CPU: reading it does not synchronise with a GPU
                state["exp_avg"] = torch.zeros_like(p)
                state["exp_avg_sq"] = torch.zeros_like(p)
            state["step"] += 1
            groups.setdefault(int(state["step"]), []).append(p)
        return groups


def _update(params: list[Tensor], states: list[dict[str, Tensor]], t: int, group: dict[str, Any]) -> None:
    """Apply step ``t`` to all ``params`` at once."""
    lr, (beta1, beta2) = group["lr"], group["betas"]
    grads = [p.grad for p in params if p.grad is not None]
    m, v = [state["exp_avg"] for state in states], [state["exp_avg_sq"] for state in states]
    torch._foreach_mul_(params, 1 - lr * group["weight_decay"])
    torch._foreach_lerp_(m, grads, 1 - beta1)
    torch._foreach_lerp_(v, torch._foreach_mul(grads, grads), 1 - beta2)
    scale = torch._foreach_sqrt(v)
    torch._foreach_div_(scale, math.sqrt(1 - beta2**t))
    angles = [torch.atan2(*pair, out=pair[1]) for pair in zip(m, scale, strict=True)]
    torch._foreach_add_(params, angles, alpha=-lr / (1 - beta1**t))


class MuonATan2(AdamATan2):
    """Muon for matrices and AdamATan2 for the other parameters in one optimizer, whose steps Lightning counts once.

    ``torch.optim.Muon`` moves a matrix along its orthogonalised momentum. By default the step is scaled to the size of
    an Adam step (``match_rms_adamw``), so both use the same learning rate. With a learning rate of its own the step has
    the scale of the Muon post, sqrt(max(1, rows / columns)). Sources: that post (Keller Jordan, 2024); arXiv 2502.16982
    for the scale of Adam; URM (arXiv 2512.14693), which trains ARC-AGI-2 with Muon; SIC (arXiv 2601.19085), which gives
    it a learning rate of 0.02 beside 1e-4, and a weight decay of 0.005 beside 1.

    Args:
        matrices: weight matrices of the blocks, (out, in) each.
        others: the other parameters: embeddings, heads, biases and convolutions.
        lr: learning rate.
        weight_decay: decoupled weight decay, scaled by the learning rate.
        muon_lr: learning rate of the matrices; None for ``lr``.
        muon_weight_decay: weight decay of the matrices; None for ``weight_decay``.
    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        others: Iterable[Tensor],
        lr: float,
        weight_decay: float,
        muon_lr: float | None = None,
        muon_weight_decay: float | None = None,
    ) -> None:
        scale = "match_rms_adamw" if muon_lr is None else "original"
        muon_lr = lr if muon_lr is None else muon_lr
        muon_weight_decay = weight_decay if muon_weight_decay is None else muon_weight_decay
        muon = Muon(matrices, lr=muon_lr, weight_decay=muon_weight_decay, adjust_lr_fn=scale)
        super().__init__(others, lr=lr, weight_decay=weight_decay)
        for group in muon.param_groups:
            self.add_param_group(group)

    def _apply(self, group: dict[str, Any]) -> None:
        if "ns_steps" not in group:
            super()._apply(group)
            return
        muon = Muon(group["params"])  # temporary: settings and momentum are stored in this optimizer
        muon.param_groups, muon.state = [group], self.state
        muon.step()  # type: ignore[no-untyped-call]


def build_optimizer(
    name: Literal["adam_atan2", "muon"],
    core: nn.Module,
    lr: float,
    weight_decay: float,
    muon_lr: float | None = None,
    muon_weight_decay: float | None = None,
) -> AdamATan2:
    """Return the optimizer of a network; Muon takes the weight matrices of its blocks."""
    if name == "adam_atan2":
        return AdamATan2(core.parameters(), lr=lr, weight_decay=weight_decay)
    named = dict(core.named_parameters())
    matrices = {key: weight for key, weight in named.items() if "blocks." in key and weight.dim() == 2}
    others = [weight for key, weight in named.items() if key not in matrices]
    return MuonATan2(matrices.values(), others, lr, weight_decay, muon_lr, muon_weight_decay)


def rates_of(optimizer: Optimizer) -> list[dict[str, Any]]:
    """Return the settings of each parameter group that a run may change: learning rate, weight decay and scale."""
    return [{name: group[name] for name in RATES if name in group} for group in optimizer.param_groups]


def set_rates(optimizer: Optimizer, scheduler: LambdaLR, rates: list[dict[str, Any]], factor: float) -> None:
    """Give each parameter group its settings, in place of those that a checkpoint restored.

    Args:
        optimizer: the optimizer.
        scheduler: its schedule.
        rates: the settings of each group, from ``rates_of``.
        factor: factor of the schedule for the next step.
    """
    for group, own in zip(optimizer.param_groups, rates, strict=True):
        group |= {**own, "lr": own["initial_lr"] * factor}
    scheduler.base_lrs = [own["initial_lr"] for own in rates]


def warmup_cosine(warmup_steps: int, total_steps: int, min_ratio: float) -> Callable[[int], float]:
    """Return a function from steps taken to learning-rate factor, for ``LambdaLR``.

    The factor rises linearly to 1 at step ``warmup_steps``, then falls along a half cosine to ``min_ratio`` at
    ``total_steps``, and stays there. The recipes of the paper have ``min_ratio`` 1: constant after the warm-up. The
    first step is number 1, so its learning rate is not zero.
    """

    def factor(steps_taken: int) -> float:
        step = steps_taken + 1
        if step < warmup_steps:
            return step / warmup_steps
        progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
        return min_ratio + max(0.0, (1 - min_ratio) * 0.5 * (1 + math.cos(math.pi * progress)))

    return factor
