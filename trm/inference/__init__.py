"""Solving with a trained model."""

from trm.inference.solver import Answers, think

__all__ = ["Answers", "think"]
