"""Solving with a trained model."""

from trm.inference.halting import HaltingContext, HaltingRule, RuleName, halting_rule
from trm.inference.think import Answers, think

__all__ = ["Answers", "HaltingContext", "HaltingRule", "RuleName", "halting_rule", "think"]
