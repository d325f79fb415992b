"""Metrics of puzzles, summed over batches and ranks by torchmetrics."""

import torch
from torch import Tensor
from torchmetrics import Metric

from trm.batch import labelled

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

    Samples without a label are padding and count nowhere. All sums are one state, so that a step costs one addition and
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
        given = labelled(labels)
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
