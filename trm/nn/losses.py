"""The loss of one supervision step: stablemax cross entropy for the answer, binary cross entropy for halting."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from trm.batch import IGNORE

HALTING_WEIGHT = 0.5


class Losses(NamedTuple):
    """The parts of the loss, one value per row, (B,)."""

    answer: Tensor
    """Mean cross entropy of the row's labelled cells, float64."""
    halting: Tensor
    """Binary cross entropy of the halting logit against "every labelled cell is right"."""

    def total(self) -> Tensor:
        """Return the scalar to differentiate: the mean over rows of answer + 0.5 * halting."""
        return (self.answer + HALTING_WEIGHT * self.halting).mean()


def log_stablemax(logits: Tensor) -> Tensor:
    """Return log(s(x) / sum s(x)) over the last axis, with s(x) = x + 1 for x >= 0 and 1 / (1 - x) below.

    Computed as a softmax of log s, in float64 (in float32 on Apple GPUs, which have no more). Each branch sees only
    its own half of the numbers: a naive ``torch.where`` differentiates 1 / (1 - x) at x = 1, and its gradient is NaN.
    Source: arXiv 2501.04697.
    """
    x = logits.float() if logits.device.type == "mps" else logits.double()
    log_s = torch.where(x >= 0, torch.log1p(x.clamp(min=0)), -torch.log1p(-x.clamp(max=0)))
    return F.log_softmax(log_s, dim=-1)


def stablemax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the float64 loss of each cell, zero where the label is ``IGNORE``: (B, L, V), (B, L) to (B, L)."""
    return F.nll_loss(log_stablemax(logits).mT, labels.long(), ignore_index=IGNORE, reduction="none")


def solved(logits: Tensor, labels: Tensor) -> Tensor:
    """Tell for each row whether all its labelled cells are right, (B,) bool; a row without labels is."""
    return ((logits.argmax(-1) == labels) | (labels == IGNORE)).all(-1)


def supervision_loss(logits: Tensor, halt: Tensor, labels: Tensor) -> Losses:
    """Return both losses of each row, as the official code defines them.

    Args:
        logits: answer logits, (B, L, V).
        halt: halting logits, (B,).
        labels: tokens of the answer or ``IGNORE``, (B, L).
    """
    labelled = (labels != IGNORE).sum(-1).clamp(min=1)  # (B,)
    answer = stablemax_cross_entropy(logits, labels).sum(-1) / labelled
    is_solved = solved(logits.detach(), labels).to(halt.dtype)
    return Losses(answer, F.binary_cross_entropy_with_logits(halt, is_solved, reduction="none"))
