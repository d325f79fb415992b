"""Grids of ARC as text."""

import json

import numpy as np

from trm.data.arc.grids import Grid
from trm.data.arc.tasks import to_grid
from trm.errors import InputError
from trm.text import parse_json

PALETTE = (16, 27, 196, 40, 226, 248, 201, 208, 81, 88)
"""ARC's colours among a terminal's 256: black, blue, red, green, yellow, grey, pink, orange, azure, maroon."""


def parse_grid(text: str) -> Grid:
    """Return the grid of a text: JSON such as ``[[0, 1], [2, 3]]``, or a line of digits per row, spaces ignored.

    Raises:
        InputError: if the text is not a grid.
    """
    what = f"the grid {text if len(text) <= 60 else text[:57] + '...'!r}"
    if text.lstrip().startswith("["):
        return to_grid(parse_json(text, what), what)
    lines = ["".join(line.split()) for line in text.strip().splitlines()]
    if not lines or not all(line.isascii() and line.isdecimal() for line in lines):
        raise InputError(f"{what} is neither JSON, such as [[0, 1], [2, 3]], nor lines of digits")
    return to_grid([[int(cell) for cell in line] for line in lines], what)


def write_grid(grid: Grid) -> str:
    """Return a grid as JSON on one line."""
    return json.dumps(grid.tolist(), separators=(",", ":"))


def render_grids(grids: list[Grid], color: bool) -> str:
    """Return grids side by side, as digits or, with ``color``, as coloured cells of a terminal."""
    height = max(len(grid) for grid in grids)
    lines = []
    for row in range(height):
        parts = [_draw_row(grid[row], color) if row < len(grid) else "  " * grid.shape[1] for grid in grids]
        lines.append("   ".join(parts).rstrip(" "))
    return "\n".join(lines)


def _draw_row(row: np.ndarray, color: bool) -> str:
    if not color:
        return " ".join(map(str, row)) + " "
    return "".join(f"\033[48;5;{PALETTE[cell]}m  " for cell in row) + "\033[0m"
