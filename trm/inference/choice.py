"""What a checkpoint stores for inference, and what a solver makes of it: early exit, views, threshold to abstain."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from trm.arguments import EarlyExit, SelectionName
from trm.errors import InputError, check_range, counted
from trm.inference.halting import TRAINING_THRESHOLD

MOST_VIEWS = 8
"""Most symmetric forms among which ``trm tune`` chooses."""


class InferenceChoice(NamedTuple):
    """The cheapest early exit that keeps a bound on the puzzles it loses, as ``trm tune CHECKPOINT`` chose it."""

    halt: Literal["never", "head", "stable", "rules"]
    """Early-exit rule."""
    halt_threshold: float
    """Halting probability above which the rule head halts a puzzle."""
    views: int
    """Symmetric forms of a puzzle that are solved."""
    target_loss: float
    """Share of puzzles that may be lost: solved by one view with all supervision steps, but not by this choice."""
    upper_bound: float
    """Upper bound on that share; it holds with the probability ``confidence``."""
    confidence: float
    """Probability with which the bound holds, over the draw of the validation puzzles."""
    lost: int
    """Validation puzzles lost, of ``puzzles``."""
    puzzles: int
    """Validation puzzles on which the bound was computed."""
    steps: float
    """Mean supervision steps of a puzzle, over all its views."""

    @classmethod
    def stored(cls, values: Mapping[str, Any] | None) -> "InferenceChoice | None":
        """Return the choice that a checkpoint contains; None if there is none.

        Raises:
            InputError: if a value that a solver uses is out of its range.
        """
        if values is None:
            return None
        check_range("inference", 1, MOST_VIEWS, views=values["views"])
        check_range("inference", 0, 1, halt_threshold=values["halt_threshold"])
        return cls(**{name: values[name] for name in cls._fields})

    def __str__(self) -> str:
        """Return the choice as a sentence without a full stop."""
        rule = f"head above {self.halt_threshold:g}" if self.halt == "head" else self.halt
        views = counted(self.views, "view")
        return (
            f"early exit {rule}, {views}: {self.steps:.3g} steps a puzzle; lost {self.lost} of "
            f"{counted(self.puzzles, 'validation puzzle')}, at most {self.upper_bound:.2%} with "
            f"{self.confidence:.0%} confidence"
        )


def exit_of(
    halt: EarlyExit, threshold: float | None, select: SelectionName, choice: InferenceChoice | None
) -> tuple[EarlyExit, float]:
    """Return the early-exit rule and its threshold: those passed, otherwise those stored, otherwise head at 0.5.

    Args:
        halt: the rule; auto is rules with the selection verifier, else what the checkpoint stores. A threshold alone
            stands for head.
        threshold: halting probability for head; None for the one that is stored.
        select: selection among several answers.
        choice: what the checkpoint stores.
    """
    if halt == "auto" and select == "verifier":
        halt = "rules"
    elif halt == "auto":
        halt = choice.halt if choice and threshold is None else "head"
    if threshold is None:
        threshold = choice.halt_threshold if choice and choice.halt == "head" else TRAINING_THRESHOLD
    return halt, threshold


def abstain_threshold(abstain: float | str, chosen: float | None) -> float:
    """Return the confidence below which a solver abstains.

    Args:
        abstain: the option of ``Solver``, a number or auto.
        chosen: the threshold that the latest validation in training chose, if there was one.

    Raises:
        InputError: if the option is out of its range, or auto without such a threshold.
    """
    if isinstance(abstain, str) and abstain != "auto":
        raise InputError(f"solver.abstain is {abstain!r}, but must be auto or a number from 0 to 1")
    if abstain == "auto" and chosen is None:
        raise InputError(
            "abstain is auto, but the model has no threshold, as it was not validated in training since trm stores one "
            "(trm validate prints it as val/abstain_below); pass a number from 0 to 1"
        )
    threshold = float(chosen or 0 if isinstance(abstain, str) else abstain)
    check_range("solver", 0, 1, abstain=threshold)
    return threshold
