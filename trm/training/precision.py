"""The accepted precisions, and the check that parameters and gradients are finite numbers."""

from collections.abc import Iterable
from typing import Literal

import torch
from lightning.pytorch import Trainer
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor

from trm.errors import DivergedError, InputError

PRECISIONS = ("32-true", "bf16-mixed", "bf16-true", "64-true")
"""Accepted values of ``trainer.precision``. The recipes have bf16-mixed: float32 parameters, bfloat16 activations.

bf16-true stores the parameters in bfloat16, which loses a step of less than half their last digit. At the recipes'
learning rate of 1e-4, 45 % of the parameters of a network of 512 channels did not change in 20 steps; at 1e-3, 1 %.
"""


def check_requested_precision(precision: str | int | None) -> None:
    """Check the configured precision for float16, before Lightning changes "16-mixed" to "bf16-mixed" on a CPU.

    Args:
        precision: the setting of the user; "16" and 16 are short for "16-mixed".

    Raises:
        InputError: if it is float16.
    """
    if str(precision) in ("16", "16-mixed", "16-true"):
        raise _refusal(str(precision))


def check_precision(trainer: Trainer) -> None:
    """Check the precision of a trainer, and warn of bfloat16 on a CPU that emulates it.

    float16 needs a gradient scaler, which skips steps that overflow. Such a step would still count as a supervision
    step and write NaN to the puzzle embedding. Hardware with fast float16 has fast bfloat16, as in the official code.

    Raises:
        InputError: if the trainer's precision is none of ``PRECISIONS``.
    """
    if trainer.precision not in PRECISIONS:
        raise _refusal(trainer.precision)
    if trainer.precision.startswith("bf16") and trainer.strategy.root_device.type == "cpu" and not _has_bfloat16():
        rank_zero_warn(
            f"This CPU has no instructions for bfloat16, and with trainer.precision {trainer.precision} is many times "
            "slower than in float32: pass --trainer.precision 32-true."
        )


def _refusal(precision: str) -> InputError:
    return InputError(f"trainer.precision is {precision}, but must be one of {', '.join(PRECISIONS)}")


def _has_bfloat16() -> bool:
    """Return whether the CPU has bfloat16 instructions; True if this version of torch does not report it."""
    if not hasattr(torch.cpu, "get_capabilities"):  # absent in torch 2.9
        return True
    can = torch.cpu.get_capabilities()
    return any(can.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


def check_finite(
    what: Literal["parameters", "gradients"], tensors: Iterable[Tensor | None], steps: range, offered: int
) -> None:
    """Check that parameters or gradients are finite numbers; they are the same on all ranks.

    Args:
        what: name of the tensors in the message.
        tensors: the tensors; None is skipped.
        steps: supervision steps since the last check.
        offered: number of draws that a supervision step is offered, over all ranks.

    Raises:
        DivergedError: if a number is not finite.
    """
    norms = torch._foreach_norm([tensor for tensor in tensors if tensor is not None], ord=float("inf"))
    if bool(torch.stack(norms).isfinite().all()):
        return
    before = what == "gradients"
    remedy = "" if before else "; resume from the last checkpoint with --model.check_finite step to find the first"
    raise DivergedError(
        f"the {what} are no longer finite numbers in supervision steps {steps[0]} to {steps[-1]}, which were offered "
        f"the draws {steps[0] * offered} to {(steps[-1] + 1) * offered - 1}{remedy}",
        before,
    )
