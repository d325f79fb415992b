"""Reports an error that ended a command: an exit status and a sentence."""

import contextlib
import io
import linecache
import os
import re
import select
import sys
import threading
from collections.abc import Iterator
from types import TracebackType

from trm.errors import DivergedError, InputError, Stopped, printable

CLOSED_PIPE, INTERRUPTED = 141, 130  # 128 + SIGPIPE and 128 + SIGINT, as a shell reports them
FAILED, REFUSED = 1, 2
LIBRARIES = ("lightning", "lightning_utilities", "jsonargparse")
"""Packages whose ``raise`` statements refuse settings."""
EXITING = (*LIBRARIES, "trm", "argparse", "rich", "_sitebuiltins")
"""Packages that may end the program, such as after --help."""
LOST = re.compile(
    r"DataLoader worker|communication with the workers|process \d+ (?:exited|terminated)|connection (?:closed|reset)"
    r"|heartbeat|TCPStore|NCCL|gloo",
    re.IGNORECASE,
)
"""Messages about another process of the run, a worker or a rank, that has ended or cannot be reached."""
NO_MEMORY = re.compile(
    r"out of memory|can't allocate memory|cannot allocate memory|Unable to allocate"
    r"|Storage size calculation overflowed",
    re.IGNORECASE,
)


def report(error: BaseException) -> int | None:
    """Print the sentence of an expected error.

    Returns:
        The exit status; None for an unexpected error, which needs a traceback.
    """
    if isinstance(error, BrokenPipeError) and _reader_has_gone():  # as in | head -1
        _leave_output()
        return CLOSED_PIPE
    if isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):  # rich exits then
        return CLOSED_PIPE
    if isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt):  # Lightning exits then
        return INTERRUPTED
    if isinstance(error, Stopped):
        _leave_output()
        if _rank():
            return 0  # else Lightning kills the first process as soon as this one fails, before it has reported
        _say(f"trm: {error}")
        return error.exit_status
    if isinstance(error, SystemExit):
        if who := _exits(error):
            _say(f"trm: error: the module {who} has ended the program: SystemExit {error.code}")
        return REFUSED if who else None
    status, message = _explained(error)
    if message and (isinstance(error, DivergedError) or _reports()):
        _say(f"trm: error: {message}")
    return status if message else None


@contextlib.contextmanager
def silent_threads() -> Iterator[None]:
    """Print no traceback of a thread that could not write, such as TensorBoard's: the main thread raises its error."""

    def hook(failed: threading.ExceptHookArgs) -> None:
        if not isinstance(failed.exc_value, OSError):
            before(failed)

    before, threading.excepthook = threading.excepthook, hook
    try:
        yield
    finally:
        threading.excepthook = before


def _explained(error: BaseException) -> tuple[int, str]:
    """Return the status and the message of an expected error; the message of an unexpected one is empty."""
    if isinstance(error, DivergedError):
        return FAILED, str(error)
    inner = _configured(error)
    text = _one_line(str(inner))
    if isinstance(inner, InputError):
        return REFUSED, text
    if isinstance(inner, MemoryError) or (isinstance(inner, RuntimeError | OSError) and NO_MEMORY.search(text)):
        return REFUSED, f"memory ran out ({text or 'no detail'}): fewer data.slots or a smaller network need less"
    if isinstance(inner, OSError):
        name = os.fsdecode(inner.filename) if isinstance(inner.filename, str | bytes | os.PathLike) else None
        return REFUSED, f"{name}: {inner.strerror}" if name else str(inner.strerror or text)
    if isinstance(inner, ImportError) and (requirement := re.search(r"Requirement '([\w-]+)", text)):
        return REFUSED, f"{_wrapped_class(error)} needs {requirement[1]}: pip install {requirement[1]}"
    if isinstance(inner, ImportError) and _raised_in(inner, LIBRARIES):
        return REFUSED, text
    if type(inner).__name__ == "MisconfigurationException":  # Lightning's, by its name, so that nothing is imported
        return REFUSED, text
    if isinstance(inner, RuntimeError) and LOST.search(text):
        return FAILED, f"a process of the run has ended, or cannot be reached: {text}"
    if isinstance(inner, Exception) and (_raised_in(inner, LIBRARIES) or (inner is not error and _raised_in(inner))):
        return REFUSED, text
    return FAILED, ""


def _configured(error: BaseException) -> BaseException:
    """Return the error of the constructor of a configured class, which the parser wraps in its own; else the error."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    if isinstance(error, ValueError):
        for cause in chain:
            if isinstance(cause, InputError):
                return cause
    return next((cause for cause in chain if not _raised_in(cause, ("jsonargparse",))), error)


def _raised_in(error: BaseException, packages: tuple[str, ...] = ()) -> bool:
    """Return whether a ``raise`` statement of one of the packages, or of any, raised an error."""
    *_, last = [None, *_frames(error.__traceback__)]
    if last is None:
        return False
    frame, line = last.tb_frame, last.tb_lineno
    name = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    # a statement of several lines is reported at its first or its last one
    code = "".join(linecache.getline(frame.f_code.co_filename, number) for number in range(max(1, line - 5), line + 1))
    return (not packages or name in packages) and re.search(r"^\s*raise\b", code, flags=re.MULTILINE) is not None


def _exits(error: SystemExit) -> str:
    """Return the module that has raised SystemExit; "" if it is ours, or a library's that reports by itself."""
    *_, last = [None, *_frames(error.__traceback__)]
    name = "" if last is None else str(last.tb_frame.f_globals.get("__name__", ""))
    return "" if name.partition(".")[0] in EXITING else name


def _frames(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _wrapped_class(error: BaseException) -> str:
    """Return the name of the class whose constructor failed, as the parser reports it."""
    found = re.search(r"class_path '(?:[\w.]*\.)?(\w+)'", str(error))
    return found[1] if found else "this setting"


def _one_line(text: str) -> str:
    """Return a message on one line; of an error in a worker of a data loader, the last line of its traceback."""
    if "Original Traceback (most recent call last)" in text:
        last = [line for line in text.splitlines() if line.strip()][-1]
        return last.partition(": ")[2] or last
    return " ".join(text.split())


def _say(sentence: str) -> None:
    """Print a sentence on standard error, unless the terminal has been closed; what it quotes cannot control it."""
    with contextlib.suppress(OSError, ValueError):
        print(printable(sentence), file=sys.stderr)


def _reader_has_gone() -> bool:
    """Return whether standard output is a pipe that nobody reads any more; elsewhere, data of the run is missing."""
    if not hasattr(select, "poll"):  # Windows
        return True
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), select.POLLOUT)
    except io.UnsupportedOperation:  # it is no file, as in a notebook
        return False
    except (OSError, ValueError, AttributeError):  # it has been closed
        return True
    return any(event & (select.POLLERR | select.POLLHUP | select.POLLNVAL) for _, event in poll.poll(0))


def _leave_output() -> None:
    """Let Python write what is left of standard output nowhere when it exits, if its reader has gone."""
    if sys.stdout is not None and _reader_has_gone():
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _rank() -> int:
    """Return Lightning's rank of this process."""
    if "lightning_utilities" not in sys.modules:
        return 0
    from lightning_utilities.core.rank_zero import rank_zero_only

    return int(getattr(rank_zero_only, "rank", None) or 0)


def _reports() -> bool:
    """Return whether this rank reports an error: only the first to fail does, since most errors are those of all."""
    torch = sys.modules.get("torch")
    if torch is None or not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return os.environ.get("LOCAL_RANK", "0") == "0"
    try:
        return bool(torch.distributed.distributed_c10d._get_default_store().add("refused", 1) == 1)
    except torch.distributed.DistError:  # the store has ended with rank 0, which has reported
        return False
