"""``Interrupt``: answers Ctrl-C at once, even during a long operation."""

import os
import signal
import sys
import threading

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

FIRST = b"\nSIGINT: the run stops after the current step; a second Ctrl-C ends it now, without saving\n"


class Interrupt(Callback):
    """Prints what the first Ctrl-C (SIGINT) does, and ends the process at the second.

    Python runs a signal handler between two of its own instructions. A backward pass is one instruction. On a CPU it
    can take minutes with a large network, and all signals that arrive meanwhile are handled as one. So a thread of this
    callback watches them arrive. The first one is handled by ``Checkpoints``, which saves and stops.

    The second ends the process with status 130, the shell's convention. It damages no files, since writes are atomic.
    ``trm`` adds this callback. A Python program adds it itself, since only one part of a process can watch its signals.
    """

    def __init__(self) -> None:
        self._writer = self._previous = -1

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start to watch for signals."""
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread of a process receives signals
        reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._previous = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        threading.Thread(target=_watch, args=(reader, trainer.is_global_zero), daemon=True).start()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Stop watching."""
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stop watching."""
        self._stop()

    def _stop(self) -> None:
        if self._writer >= 0:
            signal.set_wakeup_fd(self._previous)
            os.close(self._writer)  # ends the thread
            self._writer = -1


def _watch(reader: int, prints: bool) -> None:
    """Read the numbers of the signals that arrive, until the writing end is closed."""
    seen = 0
    while number := os.read(reader, 1):
        if number[0] == signal.SIGINT:
            seen += 1
            if seen > 1:
                os._exit(128 + signal.SIGINT)
            if prints:
                os.write(sys.stderr.fileno(), FIRST)
    os.close(reader)
