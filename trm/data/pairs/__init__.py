"""Pairs of questions and answers from a file: symbols, sizes, symmetries and splits are read off it."""

from trm.data.pairs.datamodule import Pairs

__all__ = ["Pairs"]
