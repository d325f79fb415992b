"""Metrics of puzzles, summed over batches and ranks by torchmetrics."""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import binary_auroc, binary_calibration_error
from torchmetrics.utilities import dim_zero_cat

from trm.batch import IGNORE

OVER_PUZZLES = ("solved", "cells", "halting_accuracy", "supervision_steps", "valid")
OVER_ROWS = ("answer_loss", "halting_loss")


class PuzzleMetrics(Metric):
    """Means over puzzles of everything that is reported of a split or of the last training steps.

    ``compute`` returns a dictionary:

    * ``solved``: share of puzzles with every labelled cell right (``exact_accuracy`` in the official code).
    * ``cells``: mean over puzzles of the share of their labelled cells that are right (``accuracy``).
    * ``halting_accuracy``: share of puzzles whose halting logit tells rightly whether they are solved.
    * ``supervision_steps``: mean number of supervision steps taken (``steps``).
    * ``valid``: share of puzzles whose answer obeys the rules, whether or not it is the label; left out where no
      rules were checked.
    * ``answer_loss``, ``halting_loss``: means of the loss over every row seen, finished or not.

    Rows without a label are padding and count nowhere. All sums are one state, so that a step costs one addition and
    a synchronisation one collective.
    """

    full_state_update = False
    sums: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.checked = False
        self.add_state("sums", torch.zeros(2 + len(OVER_PUZZLES) + len(OVER_ROWS)), dist_reduce_fx="sum")

    def update(
        self,
        predictions: Tensor,
        labels: Tensor,
        halt: Tensor,
        steps: Tensor,
        finished: Tensor,
        answer_loss: Tensor,
        halting_loss: Tensor,
        valid: Tensor | None = None,
    ) -> None:
        """Count a batch.

        Args:
            predictions: tokens of the answers, (B, L).
            labels: tokens or ``IGNORE``, (B, L).
            halt: halting logits, (B,).
            steps: supervision steps taken, (B,).
            finished: which rows are done; the others count in the losses only, (B,) bool.
            answer_loss: loss of the answer per row, (B,).
            halting_loss: loss of the halting logit per row, (B,).
            valid: which answers obey the rules, (B,) bool; None if that is not known.
        """
        self.checked = valid is not None
        given = labels != IGNORE
        asked = given.sum(-1)  # (B,)
        real = asked > 0
        right = ((predictions == labels) & given).sum(-1)
        solved = right == asked
        done = finished & real
        rows = torch.stack(
            (
                done,
                done & solved,
                done * right.to(answer_loss.dtype) / asked.clamp(min=1),
                done & ((halt >= 0) == solved),
                done * steps,
                done & valid if valid is not None else torch.zeros_like(done),
                real * answer_loss,
                real * halting_loss,
                real,
            )
        )
        self.sums = self.sums + rows.sum(-1)  # takes the width of the losses, float64, whatever the module's is

    def compute(self) -> dict[str, Tensor]:
        """Return the means; zero where nothing was counted."""
        puzzles, rows = self.sums[0].clamp(min=1), self.sums[-1].clamp(min=1)
        over_puzzles, over_rows = self.sums[1 : -1 - len(OVER_ROWS)], self.sums[-1 - len(OVER_ROWS) : -1]
        means = dict(zip(OVER_PUZZLES, over_puzzles / puzzles, strict=True))
        if not self.checked:
            del means["valid"]
        return {**means, **dict(zip(OVER_ROWS, over_rows / rows, strict=True))}


BINS = 10
"""Of equal width, in which confidence is compared with how often it was right."""


class Calibration(Metric):
    """What the halting probability is worth at the end of an evaluation.

    ``compute`` returns a dictionary:

    * ``halting_ece``: expected calibration error, the mean distance between how sure the model was and how often it
      was right, over ``BINS`` bins.
    * ``halting_auroc``: how probable it is that a solved puzzle has a higher halting probability than an unsolved one;
      0.5, as for a guess, where all are alike.

    Rows without a label are padding and count nowhere. Two numbers of each puzzle are kept.
    """

    full_state_update = False
    confidences: list[Tensor]
    rights: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("confidences", [], dist_reduce_fx="cat")
        self.add_state("rights", [], dist_reduce_fx="cat")

    def update(self, predictions: Tensor, labels: Tensor, halt: Tensor) -> None:
        """Count a batch.

        Args:
            predictions: tokens of the answers, (B, L).
            labels: tokens or ``IGNORE``, (B, L).
            halt: halting logits, (B,).
        """
        asked = labels != IGNORE
        real = asked.any(-1)
        self.confidences.append(halt.double().sigmoid()[real])
        self.rights.append(((predictions == labels) | ~asked).all(-1)[real])

    def compute(self) -> dict[str, Tensor]:
        """Return both measures; nothing where nothing was counted."""
        if not len(self.confidences):
            return {}
        confidence, right = dim_zero_cat(self.confidences), dim_zero_cat(self.rights)
        if not len(confidence):
            return {}
        return {"halting_ece": calibration_error(confidence, right), "halting_auroc": auroc(confidence, right)}


def calibration_error(confidence: Tensor, right: Tensor) -> Tensor:
    """Return the expected calibration error of probabilities (N,), given what was right, (N,) bool."""
    return binary_calibration_error(confidence, right.int(), n_bins=BINS, norm="l1")


def auroc(confidence: Tensor, right: Tensor) -> Tensor:
    """Return the area under the ROC curve of probabilities (N,), given what was right, (N,) bool.

    It is 0.5 where all are right or none is.
    """
    if right.all() or not right.any():
        return confidence.new_tensor(0.5)
    return binary_auroc(confidence, right.int())
