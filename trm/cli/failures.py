"""What ended a command early, as an exit status and a sentence."""

import os
import sys

from trm.errors import DivergedError, InputError, Stopped

CLOSED_PIPE, INTERRUPTED = 141, 130  # 128 + SIGPIPE and 128 + SIGINT, as a shell reports them
REFUSED = 2


def report(error: BaseException) -> int | None:
    """Print the sentence of an error that needs no traceback.

    Returns:
        The exit status; None for an error that nobody foresaw.
    """
    if isinstance(error, BrokenPipeError):  # the reader has seen enough, as in | head -1
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more at its end
        return CLOSED_PIPE
    if isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt):  # Lightning exits then
        return INTERRUPTED
    if isinstance(error, Stopped):
        if _rank():
            return 0  # Lightning kills the first process as soon as another fails, and with it the report
        print(f"trm: {error}", file=sys.stderr)
        return error.exit_status
    told = _told(error)
    if told is None:
        return None
    if isinstance(error, DivergedError) or _speaks():
        print(f"trm: error: {told}", file=sys.stderr)
    return 1 if isinstance(error, DivergedError) else REFUSED


def _told(error: BaseException) -> str | None:
    """Return what an error tells the user; None for an error that nobody foresaw."""
    if isinstance(error, DivergedError):
        return str(error)
    if isinstance(error, OSError):
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes | os.PathLike) else None
        return f"{name}: {error.strerror}" if name else str(error.strerror or error)
    if isinstance(error, ValueError) and (bad_input := _bad_input(error)):
        return str(bad_input)
    if type(error).__name__ == "MisconfigurationException":  # Lightning's, by its name: nothing is imported to tell
        return " ".join(str(error).split())
    return None


def _bad_input(error: BaseException | None) -> InputError | None:
    """Find what was wrong with the input behind an error of the parser, which wraps what constructors raise."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or error.__context__
    return error


def _rank() -> int:
    """Return the number of this process among those of a run, as Lightning knows it."""
    from lightning_utilities.core.rank_zero import rank_zero_only

    return int(getattr(rank_zero_only, "rank", None) or 0)


def _speaks() -> bool:
    """Tell whether this rank reports what was refused: the first to fail, for the others mostly fail alike."""
    torch = sys.modules.get("torch")
    if torch is None or not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return os.environ.get("LOCAL_RANK", "0") == "0"
    try:
        return bool(torch.distributed.distributed_c10d._get_default_store().add("refused", 1) == 1)
    except torch.distributed.DistError:  # the store has ended with rank 0, which has said why
        return False
