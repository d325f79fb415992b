"""Solving with a trained model."""

from trm.inference.halting import HaltingRule, RuleName, Thinking, halting_rule
from trm.inference.thinking import Answers, think

__all__ = ["Answers", "HaltingRule", "RuleName", "Thinking", "halting_rule", "think"]
