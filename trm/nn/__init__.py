"""The network and its losses; needs torch alone."""

from trm.nn.losses import Losses, solved, supervision_loss
from trm.nn.network import TRM, State, Thought

__all__ = ["TRM", "Losses", "State", "Thought", "solved", "supervision_loss"]
