"""The one exception that ``trm`` raises for input it cannot use."""


class InputError(ValueError):
    """Bad input: a file, row, puzzle, argument or checkpoint.

    The message is one sentence that names the value, where it came from and what is accepted. The command line
    prints it and exits with status 2; nothing has been written by then.
    """
