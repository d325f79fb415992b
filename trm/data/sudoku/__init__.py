"""Sudoku of 4x4, 6x6, 9x9 and 16x16 cells: an exact solver, a generator, and the data module."""

from trm.data.sudoku.datamodule import Sudoku

__all__ = ["Sudoku"]
