"""Puzzle families as Lightning data modules."""

from trm.data.arc import ARC
from trm.data.base import PuzzleData
from trm.data.maze import Maze
from trm.data.mixture import Mixture
from trm.data.pairs import Pairs
from trm.data.samples import Samples, Verdict
from trm.data.sudoku import Sudoku

__all__ = ["ARC", "Maze", "Mixture", "Pairs", "PuzzleData", "Samples", "Sudoku", "Verdict"]
