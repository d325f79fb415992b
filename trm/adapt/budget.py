"""``Budget``: ends training at the last step that fits into a number of seconds."""

import math
import time
from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from trm.errors import InputError, counted


class Budget(Callback):
    """Ends training before a step that would take it beyond a number of seconds; they count from now on.

    The next step is assumed to take as long as the longest so far. The first one may not exceed the budget either.

    Args:
        seconds: the budget.
        clock: returns seconds; the wall clock, or ``time.process_time`` for CPU time.

    Raises:
        InputError: if the budget is no number greater than 0 or, during training, is too short for one step.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        if not 0 < seconds < math.inf:
            raise InputError(
                f"the budget of adaptation is {counted(seconds, 'second')}, but must be greater than 0 and finite"
            )
        self.seconds, self.clock = seconds, clock
        self._start = clock()
        self._last = self._longest = 0.0

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
        self._longest, self._last = max(self._longest, spent - self._last), spent
        if trainer.global_step == 1 and spent > self.seconds:
            raise InputError(
                f"the budget of adaptation is {counted(self.seconds, 'second')}, but the first step ended after "
                f"{spent:.3g}: allow more seconds, or train fewer slots at once"
            )
        if spent + self._longest > self.seconds:
            trainer.should_stop = True
