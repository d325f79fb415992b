"""Puzzle families as Lightning data modules."""

from trm.data.base import PuzzleData, Rows, Verdict
from trm.data.sudoku import Sudoku

__all__ = ["PuzzleData", "Rows", "Sudoku", "Verdict"]
