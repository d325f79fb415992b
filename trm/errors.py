"""The exceptions of ``trm``: for input it cannot use, and for the two ways in which a run ends early."""

import signal
from collections.abc import Collection


class InputError(ValueError):
    """Bad input: a file, row, puzzle, argument or checkpoint.

    The message is one sentence that names the value, where it came from and what is accepted. The command line
    prints it and exits with status 2; nothing has been written by then.
    """


class DivergedError(RuntimeError):
    """Gradients or weights are no longer finite numbers.

    Args:
        message: one sentence for people.
        before: the weights are still those before the step at fault, so that a checkpoint saved now leads to it again.
    """

    def __init__(self, message: str, before: bool) -> None:
        super().__init__(message)
        self.before = before


class Stopped(RuntimeError):  # noqa: N818 - nothing went wrong
    """A signal ended the run, and what it had reached is saved."""

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(f"{signal.Signals(signum).name}: {message}")
        self.exit_status = 128 + signum


def check_range(prefix: str, least: float, most: float = float("inf"), **values: float) -> None:
    """Refuse arguments out of their range; ``prefix`` says whose they are, such as ``model``.

    Raises:
        InputError: naming the first that is less than ``least``, more than ``most`` or not a number.
    """
    for name, value in values.items():
        if not least <= value <= most:
            accepted = f"at least {least}" if most == float("inf") else f"from {least} to {most}"
            raise InputError(f"{prefix}.{name} is {value}, but must be {accepted}")


def check_choice(prefix: str, choices: Collection[str], **values: str) -> None:
    """Refuse arguments that are none of ``choices``; ``prefix`` says whose they are, such as ``model``.

    Raises:
        InputError: naming the first that is none of them.
    """
    for name, value in values.items():
        if value not in choices:
            raise InputError(f"{prefix}.{name} is {value!r}, but must be one of {', '.join(choices)}")
