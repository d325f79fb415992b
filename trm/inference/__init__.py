"""Inference with a trained model: the loop over supervision steps, early exit, rollouts and selection."""

from trm.inference.halting import HaltingContext, HaltingRule, halting_rule
from trm.inference.think import Answers, Prediction, think

__all__ = ["Answers", "HaltingContext", "HaltingRule", "Prediction", "halting_rule", "think"]
