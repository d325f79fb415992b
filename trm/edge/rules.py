"""The rules of the built-in families from data: what a file of ``trm export`` describes, checked without the family.

Sudoku is described by its units, each of which must contain every digit once; a maze by the tokens of its cells. The
reasons are in the words of ``verify`` of the families. Questions and answers are tokens, (L,).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm.errors import counted

Bools = NDArray[np.bool_]
Tokens = NDArray[np.integer]
Rules = dict[str, Any]


def fault(rules: Rules | None, question: Tokens) -> str:
    """Return why a question cannot be solved, as far as a look at it shows; "" if nothing is wrong with it."""
    if rules is None:
        return ""
    if rules["kind"] == "units":
        return _repeated(rules, question)
    for what in ("start", "goal"):
        count = int((question == rules[what]).sum())
        if count != 1:
            return f"it has {counted(count, what) if count else f'no {what}'}, but exactly one is needed"
    return "" if _fewest(rules, question) > 0 else "no path leads from S to G"


def broken(rules: Rules, question: Tokens, answer: Tokens) -> str:
    """Return the rule that an answer breaks, in words; "" if it is valid."""
    if rules["kind"] == "units":
        return _broken_units(rules, question, answer)
    return _broken_path(rules, question, answer)


def _cell(rules: Rules, cells: Bools) -> str:
    """Return the row and column of the first of some cells, counted from 1."""
    row, column = divmod(int(cells.argmax()), rules["grid"][1])
    return f"row {row + 1}, column {column + 1}"


# -- Sudoku -----------------------------------------------------------------------------------------------------------


def _broken_units(rules: Rules, question: Tokens, answer: Tokens) -> str:
    blank = answer < rules["first"]
    if blank.any():
        return f"{_cell(rules, blank)} is blank"
    changed = (question >= rules["first"]) & (question != answer)
    if changed.any():
        return f"{_cell(rules, changed)} is not the given digit"
    return _repeated(rules, answer)


def _repeated(rules: Rules, board: Tokens) -> str:
    """Return the first digit that a unit contains twice, in words."""
    ordered = np.sort(board[np.array(list(rules["units"].values()))], axis=1)  # (units, cells of a unit)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= rules["first"])
    if not twice.any():
        return ""
    unit = int(twice.any(axis=1).argmax())
    token = ordered[unit, 1:][twice[unit]][0]
    return f"{list(rules['units'])[unit]} has {rules['write'][token]} more than once"


# -- mazes ------------------------------------------------------------------------------------------------------------


def _broken_path(rules: Rules, question: Tokens, answer: Tokens) -> str:
    maze, given = answer.reshape(rules["grid"]), question.reshape(rules["grid"])
    marked = np.isin(maze, [rules["start"], rules["goal"], rules["path"]])
    ends = np.isin(given, [rules["start"], rules["goal"]])
    changed = np.where(maze == rules["path"], rules["free"], maze) != given
    if changed.any():
        return f"{_cell(rules, changed)} is not as in the question"
    loose = marked & (sum(part.astype(int) for part in _sides(marked)) != np.where(ends, 1, 2))
    if loose.any():
        return f"not a path: the marks end, branch or touch at {_cell(rules, loose)}"
    apart = marked & (_distances(marked, given == rules["goal"]) < 0)
    if apart.any():
        return f"not a path: {_cell(rules, apart)} is marked, but apart from S and G"
    moves, least = int(marked.sum()) - 1, _fewest(rules, question)
    return "" if moves == least else f"longer than the shortest path, {moves} instead of {counted(least, 'move')}"


def _fewest(rules: Rules, question: Tokens) -> int:
    """Return the number of moves from start to goal, -1 if there is no path."""
    maze = question.reshape(rules["grid"])
    return int(_distances(maze != rules["wall"], maze == rules["goal"])[maze == rules["start"]].max(initial=-1))


def _distances(free: Bools, goal: Bools) -> NDArray[np.int64]:
    """Return the number of moves from each cell to the goal, -1 if it cannot be reached, (h, w)."""
    found = np.where(goal, 0, -1)
    frontier, moves = goal, 0
    while frontier.any():
        moves += 1
        frontier = np.logical_or.reduce(_sides(frontier)) & free & (found < 0)
        found[frontier] = moves
    return found


def _sides(cells: Bools) -> list[Bools]:
    """Return whether each of the four neighbours of a cell is set, 4 x (h, w)."""
    framed = np.pad(cells, 1)
    return [framed[2:, 1:-1], framed[:-2, 1:-1], framed[1:-1, 2:], framed[1:-1, :-2]]
