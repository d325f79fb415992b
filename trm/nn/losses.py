"""The loss of a supervision step: cross entropy of the answer, binary cross entropy of halting and continuing.

Shapes: B samples, L grid cells, V vocabulary.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from trm.batch import IGNORE, exact_match, labelled

HALTING_WEIGHT = 0.5
"""Weight of the halting loss, and of the continue loss, relative to the answer loss; as in the official code."""


class Losses(NamedTuple):
    """The parts of the loss, one value per sample, (B,)."""

    answer: Tensor
    """Mean cross entropy of the labelled cells, float64 with stablemax."""
    halting: Tensor
    """Binary cross entropy of the halting logit against whether every labelled cell is right."""

    def total(self, weights: Tensor | None = None) -> Tensor:
        """Return the scalar to differentiate: the mean over samples of answer + 0.5 * halting, weighted by (B,)."""
        losses = self.answer + HALTING_WEIGHT * self.halting
        return (losses if weights is None else losses * weights).mean()


def log_stablemax(logits: Tensor) -> Tensor:
    """Return log(s(x) / sum s(x)) over the last axis, with s(x) = x + 1 for x >= 0 and 1 / (1 - x) below.

    It is computed as a softmax of log s in float64 (float32 on Apple GPUs, which lack float64). log s is odd, so one
    log1p of |x| serves both halves, and the backward pass saves fewer tensors. A ``torch.where`` over both branches
    would differentiate 1 / (1 - x) at x = 1, where the gradient is NaN. Source: arXiv 2501.04697.
    """
    x = logits.float() if logits.device.type == "mps" else logits.double()
    positive = x >= 0
    size = torch.log1p(torch.where(positive, x, -x))
    return F.log_softmax(torch.where(positive, size, -size), dim=-1)


def log_softmax(logits: Tensor) -> Tensor:
    """Return the logarithm of the softmax over the last axis, in float32."""
    return F.log_softmax(logits.float(), dim=-1)


LOG_PROBABILITIES = {"stablemax": log_stablemax, "softmax": log_softmax}
"""Log probabilities under each loss, from logits, (..., V) to (..., V)."""


def stablemax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the float64 loss of each cell, zero where the label is ``IGNORE``: (B, L, V), (B, L) to (B, L)."""
    return _likelihood_loss(log_stablemax(logits), labels)


def softmax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the float32 loss of each cell, zero where the label is ``IGNORE``: (B, L, V), (B, L) to (B, L)."""
    return _likelihood_loss(log_softmax(logits), labels)


def _likelihood_loss(logs: Tensor, labels: Tensor) -> Tensor:
    """Return minus the log probability of each label; cells are flattened because a transposed axis would be copied."""
    loss = F.nll_loss(logs.flatten(0, -2), labels.flatten().long(), ignore_index=IGNORE, reduction="none")
    return loss.view_as(labels)


CELL_LOSSES = {"stablemax": stablemax_cross_entropy, "softmax": softmax_cross_entropy}
"""Loss of each cell by the name of the loss."""


def solved(logits: Tensor, labels: Tensor) -> Tensor:
    """Return whether all labelled cells of each sample are right, (B,) bool; True for a sample without labels."""
    return exact_match(logits.argmax(-1), labels)


def answer_loss(logits: Tensor, labels: Tensor, loss: str = "stablemax", smoothing: float = 0.0) -> Tensor:
    """Return the mean cross entropy of each sample's labelled cells, (B, L, V), (B, L) to (B,).

    Args:
        logits: answer logits, (B, L, V).
        labels: tokens of the answer or ``IGNORE``, (B, L).
        loss: the cross entropy of a cell, a key of ``CELL_LOSSES``.
        smoothing: share of the target that is spread evenly over the vocabulary (label smoothing).
    """
    known = labelled(labels)  # (B, L)
    count = known.sum(-1).clamp(min=1)  # (B,)
    cells = CELL_LOSSES[loss](logits, labels)
    if smoothing:
        even = -LOG_PROBABILITIES[loss](logits).mean(-1)  # (B, L)
        cells = (1 - smoothing) * cells + smoothing * even * known
    return cells.sum(-1) / count


def halting_loss(halt: Tensor, logits: Tensor, labels: Tensor, unlabelled: bool = True) -> Tensor:
    """Return the binary cross entropy of each halting logit, (B,), against whether the sample is solved.

    Args:
        halt: halting logits, (B,).
        logits: answer logits, (B, L, V).
        labels: tokens of the answer or ``IGNORE``, (B, L).
        unlabelled: whether a sample without labels counts as solved, as in the official code; False where it is a
            question without an answer.
    """
    is_solved = solved(logits.detach(), labels)
    if not unlabelled:
        is_solved = is_solved & labelled(labels).any(-1)
    is_solved = is_solved.to(halt.dtype)
    return F.binary_cross_entropy_with_logits(halt, is_solved, reduction="none")


def supervision_loss(logits: Tensor, halt: Tensor, labels: Tensor, loss: str = "stablemax") -> Losses:
    """Return both losses of each sample, as the official code defines them.

    Args:
        logits: answer logits, (B, L, V).
        halt: halting logits, (B,).
        labels: tokens of the answer or ``IGNORE``, (B, L).
        loss: the cross entropy of a cell, a key of ``CELL_LOSSES``.
    """
    return Losses(answer_loss(logits, labels, loss), halting_loss(halt, logits, labels))


def continue_loss(proceed: Tensor, later: Tensor, later_proceed: Tensor, last: Tensor) -> Tensor:
    """Return the loss of the continue logit, (B,): binary cross entropy against the value of continuing.

    That value is the halting probability one supervision step later or, if another step may follow, the continue
    probability there if it is greater. This is the Q-learning of HRM (arXiv 2506.21734) with the network's own
    predictions as targets.

    Args:
        proceed: continue logits, (B,).
        later: halting logits one supervision step later, (B,).
        later_proceed: continue logits one supervision step later, (B,).
        last: whether this is the last supervision step that a puzzle may take, (B,) bool.
    """
    value = torch.where(last, later, torch.maximum(later, later_proceed)).sigmoid()
    return F.binary_cross_entropy_with_logits(proceed, value, reduction="none")
