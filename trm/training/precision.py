"""The precisions that training and evaluation take, and where one of them is slow."""

import torch
from lightning.pytorch import Trainer
from lightning_utilities.core.rank_zero import rank_zero_warn

from trm.errors import InputError

PRECISIONS = ("32-true", "bf16-mixed", "bf16-true", "64-true")
"""What ``trainer.precision`` may be. The recipes have bf16-mixed: weights in float32, activations in bfloat16.

bf16-true keeps the weights themselves in bfloat16, and a step of less than half their last digit is lost: at the
recipes' learning rate of 1e-4, 45 % of the weights of a network of 512 channels did not move in 20 steps; at 1e-3, 1 %.
"""


def check_requested_precision(precision: str | int | None) -> None:
    """Refuse float16 as the user asked for it, before Lightning turns "16-mixed" into "bf16-mixed" on a CPU.

    Args:
        precision: the setting, before a ``Trainer`` is built from it; "16" and 16 are short for "16-mixed".

    Raises:
        InputError: if it is float16.
    """
    if str(precision) in ("16", "16-mixed", "16-true"):
        raise _refusal(str(precision))


def check_precision(trainer: Trainer) -> None:
    """Refuse float16, and warn of bfloat16 where the CPU has to emulate it.

    float16 needs a gradient scaler, which drops the steps that overflow: they would still count as supervision steps,
    and write NaN into the puzzle embedding. Where float16 is fast so is bfloat16, which the official code uses.

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
    """Return whether the CPU multiplies bfloat16 itself; True if torch cannot say."""
    if not hasattr(torch.cpu, "get_capabilities"):  # that of 2.9 has none
        return True
    can = torch.cpu.get_capabilities()
    return any(can.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))
