"""The loss of one supervision step: cross entropy for the answer, binary cross entropy for halting and going on."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from trm.batch import IGNORE, exact_match, labelled

HALTING_WEIGHT = 0.5


class Losses(NamedTuple):
    """The parts of the loss, one value per row, (B,)."""

    answer: Tensor
    """Mean cross entropy of the row's labelled cells, float64 with stablemax."""
    halting: Tensor
    """Binary cross entropy of the halting logit against "every labelled cell is right"."""

    def total(self, weights: Tensor | None = None) -> Tensor:
        """Return the scalar to differentiate: the mean over rows of answer + 0.5 * halting, weighted by (B,)."""
        rows = self.answer + HALTING_WEIGHT * self.halting
        return (rows if weights is None else rows * weights).mean()


def log_stablemax(logits: Tensor) -> Tensor:
    """Return log(s(x) / sum s(x)) over the last axis, with s(x) = x + 1 for x >= 0 and 1 / (1 - x) below.

    Computed as a softmax of log s, in float64 (in float32 on Apple GPUs, which have no more). log s is odd, so that one
    log1p of |x| serves both halves, and less is kept for the backward pass. A naive ``torch.where`` over both branches
    differentiates 1 / (1 - x) at x = 1, and its gradient is NaN. Source: arXiv 2501.04697.
    """
    x = logits.float() if logits.device.type == "mps" else logits.double()
    positive = x >= 0
    size = torch.log1p(torch.where(positive, x, -x))
    return F.log_softmax(torch.where(positive, size, -size), dim=-1)


def log_softmax(logits: Tensor) -> Tensor:
    """Return the float32 logarithms of the softmax over the last axis."""
    return F.log_softmax(logits.float(), dim=-1)


LOG_PROBABILITIES = {"stablemax": log_stablemax, "softmax": log_softmax}
"""What a loss makes of logits, (..., V) to (..., V)."""


def stablemax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the float64 loss of each cell, zero where the label is ``IGNORE``: (B, L, V), (B, L) to (B, L)."""
    return _likelihood_loss(log_stablemax(logits), labels)


def softmax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the float32 loss of each cell, zero where the label is ``IGNORE``: (B, L, V), (B, L) to (B, L)."""
    return _likelihood_loss(log_softmax(logits), labels)


def _likelihood_loss(logs: Tensor, labels: Tensor) -> Tensor:
    """Pick the labels out of log probabilities; over a flat axis of cells, as a transposed one would be copied."""
    loss = F.nll_loss(logs.flatten(0, -2), labels.flatten().long(), ignore_index=IGNORE, reduction="none")
    return loss.view_as(labels)


CELL_LOSSES = {"stablemax": stablemax_cross_entropy, "softmax": softmax_cross_entropy}


def solved(logits: Tensor, labels: Tensor) -> Tensor:
    """Return for each row whether all its labelled cells are right, (B,) bool; a row without labels is."""
    return exact_match(logits.argmax(-1), labels)


def answer_loss(logits: Tensor, labels: Tensor, loss: str = "stablemax") -> Tensor:
    """Return the mean cross entropy of each row's labelled cells, (B, L, V), (B, L) to (B,)."""
    count = labelled(labels).sum(-1).clamp(min=1)  # (B,)
    return CELL_LOSSES[loss](logits, labels).sum(-1) / count


def halting_loss(halt: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the binary cross entropy of each row's halting logit, (B,), against whether the row is solved."""
    is_solved = solved(logits.detach(), labels).to(halt.dtype)
    return F.binary_cross_entropy_with_logits(halt, is_solved, reduction="none")


def supervision_loss(logits: Tensor, halt: Tensor, labels: Tensor, loss: str = "stablemax") -> Losses:
    """Return both losses of each row, as the official code defines them.

    Args:
        logits: answer logits, (B, L, V).
        halt: halting logits, (B,).
        labels: tokens of the answer or ``IGNORE``, (B, L).
        loss: the cross entropy of a cell, a key of ``CELL_LOSSES``.
    """
    return Losses(answer_loss(logits, labels, loss), halting_loss(halt, logits, labels))


def continue_loss(proceed: Tensor, later: Tensor, later_proceed: Tensor, last: Tensor) -> Tensor:
    """Return the loss of the logit of going on, (B,): cross entropy against what going on turns out to be worth.

    That is the probability of being right one supervision step later or, if there is time, that of going on again if
    it is greater. It is HRM's Q-learning (arXiv 2506.21734), whose targets are the network's own.

    Args:
        proceed: logits of going on, (B,).
        later: halting logits one supervision step later, (B,).
        later_proceed: logits of going on one step later, (B,).
        last: rows that must halt now, so that there is no time to go on, (B,) bool.
    """
    worth = torch.where(last, later, torch.maximum(later, later_proceed)).sigmoid()
    return F.binary_cross_entropy_with_logits(proceed, worth, reduction="none")
