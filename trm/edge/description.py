"""The description in an exported file: the kinds and ranges of its values, checked before anything uses them.

The file may be anybody's. Shapes: L grid cells, V vocabulary, W symmetries.
"""

from typing import Any

import numpy as np

Description = dict[str, Any]

KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("format", "cells", "tokens", "length", "supervision_steps"), (int,)),
    **dict.fromkeys(("written_by", "name", "kind"), (str,)),
    **dict.fromkeys(("start", "views"), (dict,)),
    **dict.fromkeys(("puzzle_vector", "symbols", "rules"), (dict, type(None))),
    "write": (str, type(None)),
    "halt_threshold": (float, int),
}
"""Kinds of the values of a description that are read here and by the solver."""
MOST_STEPS = 1000
"""Most supervision steps, as of ``TRMModule``."""
MOST = {"format": 1000, "cells": 2**16, "tokens": 2**16, "length": 2**16, "supervision_steps": MOST_STEPS}
"""Greatest values of counts, which are at least 1: with more, a damaged file would take hours, or all memory."""
MOST_PARAMETERS = 2**31
"""Greatest number of parameters; an ONNX file has at most 2 GB."""
EXITS = ("never", "head", "stable", "rules")
"""Names of the early-exit rules."""
BETWEEN = "numbers between 0 and 1"
PATH = ("wall", "free", "start", "goal", "path")
"""Cells of a maze, by the names of their tokens in its rules."""


def head_threshold(about: Description) -> float:
    """Return the halting probability above which the rule head exits by default: what ``trm tune`` chose, if it did."""
    chosen = about.get("inference")
    return float((chosen if chosen and chosen["halt"] == "head" else about)["halt_threshold"])


def check_kinds(about: Description) -> None:
    """Check that every value is of its kind, and that numbers are in their range.

    Raises:
        KeyError: if a value is missing.
        ValueError: if one is of another kind or out of its range; the message is a clause about it.
    """
    for key, kinds in KINDS.items():
        _refuse(not isinstance(about[key], kinds) or isinstance(about[key], bool), key, about[key])
    for key, most in MOST.items():
        _refuse(not 1 <= about[key] <= most, key, about[key], f"1 to {most:,}")
    _refuse(not 0 < about["halt_threshold"] < 1, "halt_threshold", about["halt_threshold"], BETWEEN)
    parameters = about.get("parameters")
    _refuse(not (parameters is None or _within(parameters, MOST_PARAMETERS)), "parameters", parameters)
    _refuse(not isinstance(about.get("weights", ""), str), "weights", about.get("weights"))


def check_parts(about: Description) -> None:
    """Check that symmetries, notation, rules and early exit are those of boards of L cells and V tokens.

    Raises:
        KeyError: if a value is missing.
        ValueError: if one does not fit; the message is a clause about it.
    """
    cells, tokens = about["cells"], about["tokens"]
    views = {part: np.array(about["views"].get(part, [])) for part in ("cells", "tokens")}  # (W, L) and (W, V)
    if views["cells"].shape[1:] != (cells,) or views["tokens"].shape != (len(views["cells"]), tokens):
        raise ValueError("its symmetries are of another size")
    for part, count in (("cells", cells), ("tokens", tokens)):
        if views[part].dtype.kind not in "iu" or (np.sort(views[part], axis=1) != np.arange(count)).any():
            raise ValueError(f"a symmetry does not permute the {part}")
    symbols, write, rules = about["symbols"], about["write"], about["rules"]
    known = symbols is None or all(len(symbol) == 1 and _within(token, tokens) for symbol, token in symbols.items())
    _refuse(not known or symbols == {}, "symbols", symbols)
    _refuse(write is not None and len(write) != tokens, "write", write)
    if rules is not None:
        _check_rules(rules, cells, tokens)
    if about.get("inference") is not None:
        _check_exit(about["inference"], len(views["cells"]), rules is not None)


def _check_exit(chosen: Any, views: int, has_rules: bool) -> None:
    """Check the early exit and the number of views that are the defaults of the file."""
    _refuse(not isinstance(chosen, dict), "inference", chosen)
    halt, threshold = chosen["halt"], chosen["halt_threshold"]
    _refuse(halt not in EXITS or (halt == "rules" and not has_rules), "early exit", halt)
    number = isinstance(threshold, (int, float)) and not isinstance(threshold, bool)
    _refuse(not (number and 0 < threshold < 1), "early-exit threshold", threshold, BETWEEN)
    _refuse(not _within(chosen["views"], views + 1) or not chosen["views"], "number of views", chosen["views"])


def _check_rules(rules: dict[str, Any], cells: int, tokens: int) -> None:
    """Check rules, of Sudoku or of a maze."""
    grid = rules["grid"]
    sides = isinstance(grid, list) and len(grid) == 2 and all(_within(side, cells + 1) for side in grid)
    _refuse(not sides or grid[0] * grid[1] != cells, "grid", grid)
    if rules["kind"] == "path":
        for name in PATH:
            _refuse(not _within(rules[name], tokens), name, rules[name])
        return
    _refuse(rules["kind"] != "units", "kind of rules", rules["kind"])
    _refuse(not _within(rules["first"], tokens), "first", rules["first"])
    _refuse(not isinstance(rules["write"], str) or len(rules["write"]) != tokens, "write", rules["write"])
    units = rules["units"]
    _refuse(not isinstance(units, dict) or not units, "units", units)
    listed = all(isinstance(unit, list) and all(_within(cell, cells) for cell in unit) for unit in units.values())
    _refuse(not listed or len(set(map(len, units.values()))) != 1, "units", units)


def _within(value: Any, end: int) -> bool:
    """Return whether a value is an integer from 0 to ``end``, exclusive."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < end


def _refuse(wrong: bool, name: str, value: Any, accepted: str = "") -> None:
    if wrong:
        raise ValueError(f"its {name} is {str(value)[:60]!r}{accepted and '; accepted are ' + accepted}")
