"""The command ``trm zoo``: the trained models that come with the package."""

import argparse
from collections.abc import Sequence

from trm.zoo import card, names


def zoo(argv: Sequence[str]) -> int:
    """List the trained models that come with the package, or print the card of one.

    Args:
        argv: arguments of the command line.

    Raises:
        InputError: if there is no such model.
    """
    parser = argparse.ArgumentParser(
        prog="trm zoo",
        description=(zoo.__doc__ or "").splitlines()[0],
        epilog="A name stands wherever a checkpoint is asked for, as in: trm solve NAME BOARD",
    )
    parser.add_argument("name", nargs="?", help="the model whose card to print; all are listed without it")
    name = parser.parse_args(argv).name
    if name is not None:
        print(card(name), end="")
        return 0
    width = max(map(len, names()))
    for name in names():
        print(f"{name:<{width}}  {card(name).splitlines()[2]}")
    return 0
