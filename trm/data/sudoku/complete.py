"""Exact Sudoku search whose order of branching follows a network.

Propagation is that of ``solver.py``, so the search is complete: it finds a solution if there is one, whatever the
network predicts. Only the duration depends on the network, and it is not bounded.

Shapes: N boards.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trm.data.sudoku.solver import Digits, Geometry, Ints, Masks, is_open, propagate, to_digits, to_masks

Floats = NDArray[np.floating]
Order = Callable[[Masks, Floats], tuple[int, list[int]]]
"""Given the candidates (cells,) and log probabilities (cells, size) of an open board, returns the cell to branch on and
the digits to try there, counted from 0, in order."""


def surest_cell(masks: Masks, logs: Floats) -> tuple[int, list[int]]:
    """Return the cell with the most probable digit, and its candidates by falling probability.

    Probabilities are normalised over the remaining candidates, so a uniform prediction leads to the cell with the
    fewest. Compared in ``benchmarks/exact-solver``: the better the network, the more guesses this saves.
    """
    size = logs.shape[1]
    possible = (masks[:, None] >> np.arange(size) & 1).astype(np.bool_)
    logs = np.where(possible, np.nan_to_num(logs).clip(-1e6, 0), -1e9)
    best = logs.max(axis=1)
    share = 1 / np.exp(logs - best[:, None]).sum(axis=1)  # of the likeliest among the candidates
    cell = int(np.where(is_open(masks), share, -1).argmax())
    digits = np.argsort(-logs[cell], kind="stable")
    return cell, digits[: possible[cell].sum()].tolist()


def first_solutions(boards: Digits, logs: Floats, geo: Geometry, order: Order = surest_cell) -> tuple[Digits, Ints]:
    """Search each board depth first until one solution is found; the boards advance together.

    Args:
        boards: digits, 0 for a blank, (N, cells).
        logs: log probability of each digit in each cell, (N, cells, size).
        geo: geometry of the boards.
        order: the order of branching.

    Returns:
        The solutions, zeros where there is none, (N, cells), and the number of branching nodes, (N,).
    """
    solutions, guesses = np.zeros_like(boards), np.zeros(len(boards), dtype=np.int64)
    stacks = [[masks] for masks in to_masks(boards, geo).T]
    while going := [board for board, stack in enumerate(stacks) if stack]:
        masks = np.stack([stacks[board].pop() for board in going], axis=1)  # (cells, n)
        consistent = propagate(masks, geo)
        unsettled = np.asarray(is_open(masks).any(axis=0))
        for board, mask, sound, open_ in zip(going, masks.T, consistent, unsettled, strict=True):
            if sound and not open_:
                solutions[board] = to_digits(mask[:, None])[0]
                stacks[board].clear()
            elif sound:
                guesses[board] += 1
                cell, digits = order(mask, logs[board])
                for digit in reversed(digits):  # the first to try goes on top
                    child = mask.copy()
                    child[cell] = 1 << digit
                    stacks[board].append(child)
    return solutions, guesses
