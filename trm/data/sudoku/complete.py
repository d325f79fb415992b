"""Exact Sudoku search in an order that a network proposes, one board at a time.

It is the propagation of ``solver.py`` with another order of branching, so it is complete: whatever the network says,
it ends with a solution if there is one. ``benchmarks/hybrid.md`` compares the orders.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trm.data.sudoku.solver import Digits, Geometry, Masks, is_open, propagate, tightest, to_digits, to_masks

Floats = NDArray[np.floating]
Order = Callable[[Masks, Floats], tuple[int, list[int]]]
"""Picks the cell to branch on and the order of its digits, counted from 0, of an open board (cells, 1)."""


def first_solution(board: Digits, logs: Floats, geo: Geometry, order: Order) -> tuple[Digits | None, int]:
    """Search depth first until one solution is found.

    Args:
        board: digits, 0 for a blank, (cells,).
        logs: log probability of each digit in each cell, (cells, size).
        geo: geometry of the board.
        order: where to branch, and what to try first.

    Returns:
        The solution, (cells,), or None if there is none, and the number of branching nodes.
    """
    guesses = 0
    stack = [to_masks(board[None], geo)]
    while stack:
        masks = stack.pop()
        if not propagate(masks, geo)[0]:
            continue
        if not is_open(masks).any():
            return to_digits(masks)[0], guesses
        guesses += 1
        cell, digits = order(masks, logs)
        for digit in reversed(digits):  # the first to try goes on top
            child = masks.copy()
            child[cell] = 1 << digit
            stack.append(child)
    return None, guesses


def candidates(masks: Masks, cell: int) -> list[int]:
    """Return the digits that a cell of a board (cells, 1) may still hold, counted from 0, in ascending order."""
    mask = int(masks[cell, 0])
    return [digit for digit in range(mask.bit_length()) if mask >> digit & 1]
