"""Reports an error that ended a command: an exit status and a sentence."""

import os
import sys

from trm.errors import DivergedError, InputError, Stopped

CLOSED_PIPE, INTERRUPTED = 141, 130  # 128 + SIGPIPE and 128 + SIGINT, as a shell reports them
REFUSED = 2


def report(error: BaseException) -> int | None:
    """Print the sentence of an expected error.

    Returns:
        The exit status; None for an unexpected error, which needs a traceback.
    """
    if isinstance(error, BrokenPipeError):  # the reader has closed it, as in | head -1
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more when it exits
        return CLOSED_PIPE
    if isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt):  # Lightning exits then
        return INTERRUPTED
    if isinstance(error, Stopped):
        if _rank():
            return 0  # else Lightning kills the first process as soon as this one fails, before it has reported
        print(f"trm: {error}", file=sys.stderr)
        return error.exit_status
    message = _message(error)
    if message is None:
        return None
    if isinstance(error, DivergedError) or _reports():
        print(f"trm: error: {message}", file=sys.stderr)
    return 1 if isinstance(error, DivergedError) else REFUSED


def _message(error: BaseException) -> str | None:
    """Return the message of an expected error; None for an unexpected one."""
    if isinstance(error, DivergedError):
        return str(error)
    if isinstance(error, OSError):
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes | os.PathLike) else None
        return f"{name}: {error.strerror}" if name else str(error.strerror or error)
    if isinstance(error, ValueError) and (bad_input := _bad_input(error)):
        return str(bad_input)
    if type(error).__name__ == "MisconfigurationException":  # Lightning's, by its name, so that nothing is imported
        return " ".join(str(error).split())
    return None


def _bad_input(error: BaseException | None) -> InputError | None:
    """Return the InputError of a constructor, which the parser wraps in errors of its own; None if there is none."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or error.__context__
    return error


def _rank() -> int:
    """Return Lightning's rank of this process."""
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
