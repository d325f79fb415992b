"""Adaptation of a trained ARC model to tasks that it has not seen, by training on their demonstration pairs."""

from trm.adapt.adaptation import Adapted as Adapted
from trm.adapt.adaptation import adapt as adapt
from trm.adapt.adaptation import need_arc as need_arc
from trm.adapt.budget import AdaptationBudget as AdaptationBudget
