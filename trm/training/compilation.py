"""Compiling the network with ``torch.compile``, where there is a compiler."""

import torch
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch._dynamo.exc import BackendCompilerFailed

from trm.nn import TRM


def compile_in_place(core: TRM, device: torch.device) -> None:
    """Compile a network, whose keys stay as they are; where nothing compiles, say why and leave it as it is.

    What torch needs (a C++ compiler with Python's headers, or Triton) shows when something is compiled and not before,
    so that a function of one line goes first.
    """
    try:
        torch.compile(torch.neg)(torch.zeros(2, device=device))
    except BackendCompilerFailed as error:
        reason = str(error.inner_exception).partition("\n")[0]
        rank_zero_warn(
            f"model.compile is true, but torch cannot compile here, so that the network runs as it is: {reason}"
        )
    else:
        core.compile()
