"""The choices of options that several packages share; importing them does not load torch."""

from typing import Literal

EarlyExit = Literal["auto", "never", "head", "stable", "rules"]
"""Names of early-exit rules: ``never`` (official evaluation), ``head`` (halting probability above a threshold),
``stable`` (answer unchanged by a step), ``rules`` (answer is valid); ``auto`` is the default of the caller."""

SelectionName = Literal["halting", "vote", "confident", "residual", "verifier"]
"""Names of selections, which rank the answers of several rollouts; see ``trm.inference.selection``."""
