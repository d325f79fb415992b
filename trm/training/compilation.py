"""Compilation of the network with ``torch.compile``, if a compiler is available."""

import torch
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch._dynamo.exc import BackendCompilerFailed

from trm.nn import TRM


def compile_in_place(core: TRM, device: torch.device) -> None:
    """Compile a network in place, which keeps the keys of its state; if torch cannot compile, warn with the reason.

    torch reports a missing requirement (a C++ compiler with Python's headers, or Triton) only when it compiles. A
    function of one line is therefore compiled first.
    """
    try:
        torch.compile(torch.neg)(torch.zeros(2, device=device))
    except BackendCompilerFailed as error:
        reason = str(error.inner_exception).partition("\n")[0]
        rank_zero_warn(
            f"model.compile is true, but torch cannot compile here, so the network runs without compilation: {reason}"
        )
    else:
        core.compile()
