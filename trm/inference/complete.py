"""The hybrid: an exact solver that finishes, led by the network, where the network's own answer breaks the rules."""

from torch import Tensor

from trm.data import PuzzleData
from trm.data.samples import Completion, Tokens
from trm.nn.losses import LOG_PROBABILITIES


def completed(data: PuzzleData, question: Tokens, logits: Tensor, loss: str) -> Completion | None:
    """Find an answer that obeys the rules, whatever the network says; what it says decides how fast, and which.

    Args:
        data: the family.
        question: tokens of the question, (L,).
        logits: what the network says of the answer, (L, V).
        loss: the loss it was trained with, "stablemax" or "softmax", which turns logits into probabilities.

    Returns:
        The answer; None if there is none, or the family has no exact solver.
    """
    return data.complete(question, LOG_PROBABILITIES[loss](logits).detach().cpu().numpy())
