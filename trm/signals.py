"""Signals that end a program: SIGINT (Ctrl-C), SIGTERM and SIGHUP, whatever the program is doing when they arrive."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from trm.errors import Stopped

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""The signals; Windows has no SIGHUP."""
ECHO = 1.0
"""Seconds in which a second SIGTERM is the first one again, if a launcher and the system both sent it to each rank."""


def in_main_thread() -> bool:
    """Return whether this is the main thread, which alone can handle signals."""
    return threading.current_thread() is threading.main_thread()


def install(handler: Callable[[int, FrameType | None], None]) -> dict[int, Any]:
    """Install a handler of all signals that are not ignored, as ``nohup`` ignores SIGHUP; return those before it.

    Outside the main thread nothing is installed.
    """
    if not in_main_thread():
        return {}
    before = {signum: signal.getsignal(signum) for signum in ENDING}
    before = {signum: old for signum, old in before.items() if old not in (signal.SIG_IGN, None)}
    for signum in before:
        signal.signal(signum, handler)
    return before


def restore(handlers: dict[int, Any]) -> None:
    """Install the handlers that ``install`` returned."""
    for signum, handler in handlers.items():
        signal.signal(signum, handler)


def stop(signum: int, _: FrameType | None = None) -> None:
    """Handle a signal by raising ``Stopped``, which unwinds the program and closes its files."""
    raise Stopped(signum, "stopped before its end")


@contextlib.contextmanager
def ending_at_signals() -> Iterator[None]:
    """Raise ``Stopped`` at the first signal that arrives inside the block, and end the process at the second.

    A signal whose exception is lost, because it was raised where Python ignores exceptions, raises it at the end of the
    block. Outside the main thread this does nothing.
    """
    arrived: list[int] = []

    def first(signum: int, frame: FrameType | None) -> None:
        arrived.append(signum)
        stop(signum, frame)

    before = install(first)
    watcher = Watcher()
    watcher.start()
    try:
        yield
        if arrived:
            stop(arrived[0])
    finally:
        watcher.stop()
        restore(before)


class Watcher:
    """Ends the process at its second signal, even during a long operation.

    Python runs a signal handler between two of its own instructions. A backward pass is one instruction. On a CPU it
    can take minutes with a large network, and all signals that arrive meanwhile are handled as one. So a thread watches
    them arrive. The second ends the process with status 128 + n, the shell's convention. It damages no files, since
    writes are atomic.

    Args:
        hint: line to print on standard error when SIGINT arrives first; "" for none.
        echo: seconds in which a second SIGTERM or SIGHUP is taken for the first.
    """

    def __init__(self, hint: str = "", echo: float = 0.0) -> None:
        self.hint, self.echo = hint, echo
        self._writer = self._previous = -1

    def start(self) -> None:
        """Start to watch; outside the main thread, which alone receives signals, do nothing."""
        if not in_main_thread() or self._writer >= 0:
            return
        reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._previous = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        _watching.append(self._writer)
        threading.Thread(target=self._watch, args=(reader,), daemon=True).start()

    def stop(self) -> None:
        """Stop watching, and leave signals to whoever watched them before."""
        if self._writer >= 0:
            signal.set_wakeup_fd(self._previous)
            _watching.remove(self._writer)
            os.close(self._writer)  # ends the thread
            self._writer = -1

    def _watch(self, reader: int) -> None:
        """Read the numbers of the signals that arrive, until the writing end is closed."""
        first = 0.0
        while number := os.read(reader, 1):
            signum, now = number[0], time.monotonic()
            if signum not in ENDING:
                continue
            if first and (signum == signal.SIGINT or now - first >= self.echo):
                os._exit(128 + signum)
            if not first and self.hint and signum == signal.SIGINT:
                with contextlib.suppress(OSError, ValueError, AttributeError):  # a terminal that is closed, or none
                    os.write(sys.stderr.fileno(), f"\n{self.hint}\n".encode())
            first = first or now
        os.close(reader)


_watching: list[int] = []
"""Pipes of the watchers of this process."""


def _leave_to_parent() -> None:
    """Let a forked process, such as a worker of a data loader, end at SIGTERM and ignore Ctrl-C.

    It would write into the pipe of the process that watches, which would count the signal twice, and a terminal sends
    Ctrl-C to both: the worker must outlive the step that is finished after it.
    """
    if not _watching:
        return
    signal.set_wakeup_fd(-1)
    _watching.clear()
    for signum in ENDING:
        signal.signal(signum, signal.SIG_IGN if signum == signal.SIGINT else signal.SIG_DFL)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
