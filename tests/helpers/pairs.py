"""Files of pairs for the tests: small grids whose answer is a rule of the question."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Grid = NDArray[np.int64]


def random_grids(count: int, shape: tuple[int, int] = (3, 3), symbols: int = 3, seed: int = 0) -> list[Grid]:
    """Return different random grids of integers from 0."""
    rng = np.random.default_rng(seed)
    found: dict[bytes, Grid] = {}
    while len(found) < count:
        grid = rng.integers(symbols, size=shape)
        found[grid.tobytes()] = grid
    return list(found.values())


def next_symbol(grid: Grid) -> Grid:
    """Return a grid with each symbol replaced by the next of three; it has the symmetries of the square."""
    return (grid + 1) % 3


def write_pairs(path: Path, grids: list[Grid], rule: Callable[[Grid], Grid] = next_symbol) -> Path:
    """Write JSON lines of grids and the answers of a rule."""
    return write_lines(path, [{"question": grid.tolist(), "answer": rule(grid).tolist()} for grid in grids])


def write_lines(path: Path, values: list[Any]) -> Path:
    """Write a value of JSON a line."""
    path.write_text("".join(f"{json.dumps(value)}\n" for value in values))
    return path
