"""The network, its variants and its losses; the only dependency is torch."""

from trm.nn.losses import Losses, answer_loss, continue_loss, halting_loss, solved, supervision_loss
from trm.nn.network import TRM, State, StepOutput
from trm.nn.variants import NETWORKS, build_network, find_network, network_name

__all__ = [
    "NETWORKS",
    "TRM",
    "Losses",
    "State",
    "StepOutput",
    "answer_loss",
    "build_network",
    "continue_loss",
    "find_network",
    "halting_loss",
    "network_name",
    "solved",
    "supervision_loss",
]
