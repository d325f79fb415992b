"""The choices of options that several rooms share, importable without torch."""

from typing import Literal

EarlyExit = Literal["auto", "never", "head", "stable", "rules"]
"""Names of early-exit rules: ``never`` (official evaluation), ``head`` (halting probability above a threshold),
``stable`` (answer unchanged by a step), ``rules`` (answer is valid); ``auto`` is what suits the caller."""

SelectionName = Literal["halting", "vote", "confident", "residual", "verifier"]
"""Names of selections, which rank the answers of several rollouts."""
