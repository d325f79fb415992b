"""How well the halting head knows what is solved: calibration error, ranking, and what leaving answers out gains.

Letters in shape comments: N puzzles, B a batch, S slices.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from trm.batch import exact_match, labelled

BINS = 15
"""Equally wide bins of confidence, from 0 to 1; the usual number (arXiv 1706.04599)."""
_BIN_EDGES = torch.tensor([math.log(k / (BINS - k)) for k in range(1, BINS)])
_EDGES = torch.cat((_BIN_EDGES, torch.linspace(-16, 16, 1025))).sort().values
"""Slices fine enough to rank by, each inside one bin: logits, since confidences crowd at 0 and 1."""


class HaltingCalibration(Metric):
    """Compares the confidence of the halting head, the sigmoid of its logit, with which puzzles are solved.

    ``compute`` returns a dictionary:

    * ``halting_ece``: expected calibration error, the mean over puzzles of how far the share solved in their bin of
      confidence is from the mean confidence there.
    * ``halting_auroc``: the probability that a solved puzzle has more confidence than an unsolved one, halves for ties;
      left out where all puzzles are solved or none is, since it is undefined there and a NaN could end a run.

    Nothing counted leaves both out. The state is counts of fixed size, summed over ranks, whatever the number of
    puzzles; its slices of 1/32 in the logit make the second a close estimate, the first is exact.
    """

    full_state_update = False
    slices: Tensor
    """Puzzles, those solved and the sum of their confidences by slice of the logit, (S, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.add_state("slices", torch.zeros(len(_EDGES) + 1, 3), dist_reduce_fx="sum")

    def update(self, halt: Tensor, predictions: Tensor, labels: Tensor) -> None:
        """Count a batch.

        Args:
            halt: halting logits, (B,).
            predictions: tokens of the answers, (B, L).
            labels: tokens or ``IGNORE``, (B, L); rows without a label are padding and do not count.
        """
        real = labelled(labels).any(-1)
        solved = real & exact_match(predictions, labels)
        halt = (halt.float() if halt.device.type == "mps" else halt.double()).contiguous()  # the sums become as wide
        rows = torch.stack((real, solved, real * halt.sigmoid()), dim=-1)  # (B, 3)
        places = torch.bucketize(halt, _EDGES.to(halt))
        self.slices = self.slices + rows.new_zeros(self.slices.shape).index_add(0, places, rows)

    def bins(self) -> Tensor:
        """Return puzzles, those solved and the sum of their confidences by bin, (BINS, 3)."""
        inside = torch.bucketize(_EDGES, _BIN_EDGES)  # a slice ends with its edge, and the last has none
        inside = torch.cat((inside, inside.new_tensor([BINS - 1]))).to(self.slices.device)
        return self.slices.new_zeros(BINS, 3).index_add(0, inside, self.slices)

    def compute(self) -> dict[str, Tensor]:
        """Return what is defined of the two."""
        count, solved, confidence = self.bins().unbind(-1)
        if not count.sum():
            return {}
        values = {"halting_ece": (solved - confidence).abs().sum() / count.sum()}
        right, wrong = self.slices[:, 1], self.slices[:, 0] - self.slices[:, 1]
        if right.any() and wrong.any():
            below = wrong.cumsum(0) - wrong / 2  # unsolved puzzles with less confidence, halves for as much
            values["halting_auroc"] = (right * below).sum() / (right.sum() * wrong.sum())
        return values


def risk_coverage(halt: NDArray[np.floating], solved: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of wrong answers among the n surest ones, for n from 1 to N: 2 x (N,) to (N,).

    Equally sure answers count as wrong as they are on average. The mean over n is the area under the curve (AURC,
    arXiv 1805.08206).
    """
    _, place, counts = np.unique(-halt, return_inverse=True, return_counts=True)  # the surest first
    wrong = np.bincount(place, weights=~solved) / counts
    return np.asarray(np.repeat(wrong, counts).cumsum() / np.arange(1, len(halt) + 1))
