"""``Interrupt``: answers Ctrl-C at once, however long the operation at hand takes."""

import os
import signal
import sys
import threading

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

FIRST = b"\nSIGINT: the run stops after the step at hand; once more ends it now, without saving\n"


class Interrupt(Callback):
    """Says what the first Ctrl-C (SIGINT) does, and ends the process at the second.

    Python runs the handler of a signal between two of its own instructions. A backward pass is one instruction, which
    on a large network takes a CPU minutes, and all signals until then are handled as one. So a thread of this callback
    watches them arrive. What the first one does is left to the others: ``Checkpoints`` saves and stops.

    The second ends the process with status 130, as a shell expects. Files that are being written are not damaged, since
    they appear whole or not at all. ``trm`` adds this callback; in Python it is the program's to add, since only one
    part of a process can watch its signals.
    """

    def __init__(self) -> None:
        self._writer = self._previous = -1

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Watch out for signals."""
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread of a process gets any
        reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._previous = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        threading.Thread(target=_watch, args=(reader, trainer.is_global_zero), daemon=True).start()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave signals to others."""
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave signals to others as well."""
        self._stop()

    def _stop(self) -> None:
        if self._writer >= 0:
            signal.set_wakeup_fd(self._previous)
            os.close(self._writer)  # ends the thread
            self._writer = -1


def _watch(reader: int, speaks: bool) -> None:
    """Read the numbers of the signals that arrive, until nobody can write any more."""
    seen = 0
    while number := os.read(reader, 1):
        if number[0] == signal.SIGINT:
            seen += 1
            if seen > 1:
                os._exit(128 + signal.SIGINT)
            if speaks:
                os.write(sys.stderr.fileno(), FIRST)
    os.close(reader)
