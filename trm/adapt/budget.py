"""``AdaptationBudget``: ends training before a step that may not fit into a number of seconds."""

import math
import time
from collections.abc import Callable
from numbers import Real
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from trm.errors import InputError, counted

MARGIN = 2.0
"""Time that the next step may take, relative to the longest so far: steps differ, most on a busy machine."""


class AdaptationBudget(Callback):
    """Ends training before a step that could take it beyond a number of seconds; they count from now on.

    A step may take ``MARGIN`` times as long as the longest so far. The first is often the slowest, since it also pays
    for what is prepared once, so it counts only as long as it is the only one. It may not exceed the budget either.

    Args:
        seconds: the budget.
        clock: returns seconds; the wall clock, or ``time.process_time`` for CPU time.

    Raises:
        InputError: if the budget is no number greater than 0 or, during training, is too short for one step.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        is_number = isinstance(seconds, Real) and not isinstance(seconds, bool)
        if not (is_number and 0 < seconds < math.inf):
            shown = counted(seconds, "second") if is_number else repr(seconds)
            raise InputError(f"the budget of adaptation is {shown}, but must be a finite number greater than 0")
        self.seconds, self.clock = seconds, clock
        self._start = clock()
        self._last = self._longest = 0.0  # when the last step ended, and seconds of the longest but the first

    @property
    def spent(self) -> float:
        """Seconds since the budget began."""
        return self.clock() - self._start

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note when the first step begins."""
        self._last = self.spent

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """End training if another step does not fit; every batch is one step."""
        spent = self.spent
        step, self._last = spent - self._last, spent
        is_first = trainer.global_step == 1
        if is_first and spent > self.seconds:
            raise InputError(
                f"the budget of adaptation is {counted(self.seconds, 'second')}, but the first step ended after "
                f"{spent:.3g}: allow more than that, or train on fewer tasks or slots at once"
            )
        if not is_first:
            self._longest = max(self._longest, step)
        if spent + (step if is_first else MARGIN * self._longest) > self.seconds:
            trainer.should_stop = True
