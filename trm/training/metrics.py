"""Metrics of puzzles and of the halting head, summed over batches and ranks by torchmetrics.

Shapes: B samples of a batch, L grid cells, S slices of the halting logit.
"""

import math

import torch
from torch import Tensor
from torchmetrics import Metric

from trm.batch import exact_match, labelled

WITHOUT_LABELS = ("supervision_steps", "valid")
OVER_PUZZLES = ("solved", "cells", "halting_accuracy", *WITHOUT_LABELS)
OVER_SAMPLES = ("answer_loss", "halting_loss")
GROUPS = (OVER_PUZZLES, WITHOUT_LABELS, OVER_SAMPLES)
"""Names of the means over finished puzzles, of those that need no label, and of the means over all samples. In the
state, the sums of a group follow its count."""

BINS = 15
"""Number of equally wide bins of confidence, from 0 to 1; the number in arXiv 1706.04599."""
_BIN_EDGES = torch.tensor([math.log(k / (BINS - k)) for k in range(1, BINS)])
_EDGES = torch.cat((_BIN_EDGES, torch.linspace(-16, 16, 1025))).sort().values
"""Edges of the slices, as logits because confidences concentrate near 0 and 1; each slice lies in one bin."""


class PuzzleMetrics(Metric):
    """The metrics that are logged for a split or for the last training steps, as means over puzzles.

    ``compute`` returns a dictionary:

    * ``solved``: exact-match accuracy, the share of puzzles with every labelled cell right (``exact_accuracy`` in the
      official code). Of several right answers the label is the nearest, see ``EvaluatedModule.nearest_labels``.
    * ``cells``: cell accuracy, the mean over puzzles of the share of labelled cells that are right (``accuracy``).
    * ``halting_accuracy``: share of puzzles where the halting head predicts correctly whether they are solved.
    * ``supervision_steps``: mean number of supervision steps taken (``steps``).
    * ``valid``: share of puzzles whose answer obeys the rules, even if it differs from the label; absent if no rules
      were checked.
    * ``answer_loss``, ``halting_loss``: means of the losses over all labelled samples, finished or not.

    What was not measured is absent. All are means over the puzzles with a label; if none has one, only
    ``supervision_steps`` and ``valid`` are reported, as means over all puzzles. Padding counts nowhere. All sums are
    one tensor, so a step costs one addition and a synchronisation one collective operation.
    """

    full_state_update = False
    sums: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.checked = False
        self.labelled = self.finished = 0  # puzzles with a label, and all, in the last result
        size = sum(1 + len(names) for names in GROUPS)
        self.add_state("sums", torch.zeros(size), dist_reduce_fx="sum")

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
        real: Tensor | None = None,
    ) -> None:
        """Count a batch.

        Args:
            predictions: tokens of the answers, (B, L).
            labels: tokens or ``IGNORE``, (B, L).
            halt: halting logits, (B,).
            steps: supervision steps taken, (B,).
            finished: which puzzles have halted; the others count only in the losses, (B,) bool.
            answer_loss: loss of each answer, (B,).
            halting_loss: loss of each halting logit, (B,).
            valid: which answers obey the rules, (B,) bool; None if no rules were checked.
            real: which samples are puzzles and not padding, (B,) bool; by default those with a label.
        """
        self.checked = valid is not None
        given = labelled(labels)
        count = given.sum(-1)  # (B,)
        known = count > 0
        finished = finished & (known if real is None else real)
        right = ((predictions == labels) & given).sum(-1)
        solved = right == count
        done = finished & known
        terms = torch.stack(
            (
                done,
                done & solved,
                done * right.to(answer_loss.dtype) / count.clamp(min=1),
                done & ((halt >= 0) == solved),
                done * steps,
                done & valid if valid is not None else torch.zeros_like(done),
                finished,
                finished * steps,
                finished & valid if valid is not None else torch.zeros_like(done),
                known,
                known * answer_loss,
                known * halting_loss,
            )
        )
        self.sums = self.sums + terms.sum(-1)  # in the dtype of the losses, float64, whatever that of the module is

    def compute(self) -> dict[str, Tensor]:
        """Return the means of what was counted."""
        parts = torch.split(self.sums, [1 + len(names) for names in GROUPS])
        counts = torch.stack([part[0] for part in parts]).tolist()
        self.labelled, self.finished = int(counts[0]), int(counts[1])
        means: dict[str, Tensor] = {}
        for names, part, count in zip(GROUPS, parts, counts, strict=True):
            if count:
                means |= {name: mean for name, mean in zip(names, part[1:] / count, strict=True) if name not in means}
        if not self.checked:
            means.pop("valid", None)
        return means


class HaltingCalibration(Metric):
    """Calibration of the halting head: its confidence, the sigmoid of its logit, against which puzzles are solved.

    ``compute`` returns a dictionary:

    * ``halting_ece``: expected calibration error, the mean over puzzles of the absolute difference between the share
      solved and the mean confidence in their bin.
    * ``halting_auroc``: the probability that a solved puzzle has a higher confidence than an unsolved one; ties count
      one half. It is absent if all puzzles are solved or none is, because it is undefined then.

    Both are absent if nothing was counted. The state has a fixed size and is summed over ranks. ``halting_ece`` is
    exact; ``halting_auroc`` is estimated from slices of width 1/32 in the logit.
    """

    full_state_update = False
    slices: Tensor
    """Number of puzzles, number solved and sum of confidences in each slice of the logit, (S, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.add_state("slices", torch.zeros(len(_EDGES) + 1, 3), dist_reduce_fx="sum")

    def update(self, halt: Tensor, predictions: Tensor, labels: Tensor) -> None:
        """Count a batch.

        Args:
            halt: halting logits, (B,).
            predictions: tokens of the answers, (B, L).
            labels: tokens or ``IGNORE``, (B, L); samples without a label are padding and are not counted.
        """
        real = labelled(labels).any(-1)
        solved = real & exact_match(predictions, labels)
        halt = (halt.float() if halt.device.type == "mps" else halt.double()).contiguous()  # the sums take its dtype
        terms = torch.stack((real, solved, real * halt.sigmoid()), dim=-1)  # (B, 3)
        index = torch.bucketize(halt, _EDGES.to(halt))
        self.slices = self.slices + terms.new_zeros(self.slices.shape).index_add(0, index, terms)

    def bins(self) -> Tensor:
        """Return number of puzzles, number solved and sum of confidences in each bin, (BINS, 3)."""
        inside = torch.bucketize(_EDGES, _BIN_EDGES)  # the bin of each slice, by its upper edge
        inside = torch.cat((inside, inside.new_tensor([BINS - 1]))).to(self.slices.device)
        return self.slices.new_zeros(BINS, 3).index_add(0, inside, self.slices)

    def compute(self) -> dict[str, Tensor]:
        """Return those of the two metrics that are defined."""
        count, solved, confidence = self.bins().unbind(-1)
        if not count.sum():
            return {}
        values = {"halting_ece": (solved - confidence).abs().sum() / count.sum()}
        right, wrong = self.slices[:, 1], self.slices[:, 0] - self.slices[:, 1]
        if right.any() and wrong.any():
            below = wrong.cumsum(0) - wrong / 2  # unsolved puzzles of lower confidence; ties count one half
            values["halting_auroc"] = (right * below).sum() / (right.sum() * wrong.sum())
        return values


class AbstentionThreshold(HaltingCalibration):
    """The confidence that best separates right answers from wrong ones, for ``abstain="auto"`` of ``Solver``.

    ``compute`` returns ``abstain_below``: the threshold for which the number of right answers of at least this
    confidence, plus that of wrong answers below it, is greatest. Where a range of thresholds does equally well, it is
    the middle of the widest one, in the logit. It is absent if nothing was counted.
    """

    def compute(self) -> dict[str, Tensor]:
        """Return the threshold, from 0 to 1; it is one of the edges of the slices, or the middle of two."""
        right, wrong = self.slices[:, 1], self.slices[:, 0] - self.slices[:, 1]
        if not self.slices[:, 0].sum():
            return {}
        answered = right.flip(0).cumsum(0).flip(0)[1:]  # right answers above each edge, (S - 1,)
        score = answered + wrong.cumsum(0)[:-1]
        best = (score == score.max()).nonzero().squeeze(-1)  # indices of edges
        runs = best.tensor_split((best.diff() > 1).nonzero().squeeze(-1).cpu() + 1)
        edges = _EDGES.to(score)
        first, last = max(((edges[run[0]], edges[run[-1]]) for run in runs), key=lambda run: float(run[1] - run[0]))
        return {"abstain_below": ((first + last) / 2).sigmoid()}
