"""The network, its variants and its losses; needs torch alone."""

from trm.nn.losses import Losses, continue_loss, solved, supervision_loss
from trm.nn.network import TRM, State, StepOutput
from trm.nn.variants import NETWORKS

__all__ = ["NETWORKS", "TRM", "Losses", "State", "StepOutput", "continue_loss", "solved", "supervision_loss"]
