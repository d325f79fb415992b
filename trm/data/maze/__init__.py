"""Mazes of random walls: shortest paths and their rules, a generator, and the data module."""

from trm.data.maze.datamodule import Maze

__all__ = ["Maze"]
