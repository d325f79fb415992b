"""The exceptions of ``trm``: for bad input, and for the two ways in which a run ends early; words of their messages."""

import signal
from collections.abc import Collection
from numbers import Integral


class InputError(ValueError):
    """Bad input: a file, row, puzzle, argument or checkpoint.

    The message is one sentence that names the value, where it came from and what is accepted. The command line
    prints it and exits with status 2; nothing has been written by then. Control characters of such a value are escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__("\n".join(map(printable, message.split("\n"))))  # torch puts the lines of a worker before it


class DivergedError(RuntimeError):
    """Gradients or parameters are no longer finite numbers.

    Args:
        message: one sentence for people.
        before: whether the parameters are still those before the faulty step; a checkpoint saved now repeats it.
    """

    def __init__(self, message: str, before: bool) -> None:
        super().__init__(message)
        self.before = before


class Stopped(SystemExit):
    """A signal ended the program; a run of training has saved its state.

    No ``except Exception`` catches it, since it can be raised at any instruction. Where nothing else does either, the
    process exits with status 128 + n, the shell's convention for signal n.
    """

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(128 + signum)
        self.message = f"{signal.Signals(signum).name}: {message}"
        self.signum, self.exit_status = signum, 128 + signum

    def __str__(self) -> str:
        """Return the message, instead of the exit status."""
        return self.message


def printable(text: str) -> str:
    """Return a text with its unprintable characters escaped, so that text of a file cannot control a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def counted(count: float, noun: str) -> str:
    """Return a count with its noun, such as "1 cell", "2 batches", "1,200 different puzzles" or "0.5 seconds".

    Args:
        count: how many.
        noun: in the singular; its last word follows the rules of English for the plural.
    """
    if count != 1:
        y = noun[-1] == "y" and noun[-2] not in "aeiou"
        noun = f"{noun[:-1]}ies" if y else f"{noun}{'es' if noun.endswith(('s', 'x', 'ch', 'sh')) else 's'}"
    return f"{f'{count:g}' if isinstance(count, float) else f'{count:,}'} {noun}"


def check_range(prefix: str, least: float, most: float = float("inf"), **values: float | None) -> None:
    """Check that arguments are in their range; ``prefix`` names their owner, such as ``model``. None is not checked.

    Raises:
        InputError: if one is less than ``least``, more than ``most`` or not a number; the message names the first.
    """
    for name, value in values.items():
        if value is not None and not least <= value <= most:
            accepted = f"at least {least}" if most == float("inf") else f"from {least} to {most}"
            raise InputError(f"{prefix}.{name} is {value}, but must be {accepted}")


def check_whole(prefix: str, least: int, most: float = float("inf"), **values: int | None) -> None:
    """Check that arguments are whole numbers in their range, as ``check_range``.

    Raises:
        InputError: if one is not; the message names the first.
    """
    for name, value in values.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, Integral)):
            raise InputError(f"{prefix}.{name} is {value!r}, but must be a whole number")
    check_range(prefix, least, most, **values)


def check_choice(prefix: str, choices: Collection[str], **values: str) -> None:
    """Check that arguments are among ``choices``; ``prefix`` names their owner, such as ``model``.

    Raises:
        InputError: if one is not; the message names the first.
    """
    for name, value in values.items():
        if value not in choices:
            raise InputError(f"{prefix}.{name} is {value!r}, but must be one of {', '.join(choices)}")
