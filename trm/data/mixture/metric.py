"""The exact-match accuracy of each family of a mixture."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from trm.batch import Batch, exact_match, labelled


class SolvedByFamily(Metric):
    """Share of the puzzles of each family with every labelled cell of a right answer right, as ``solved_NAME``.

    A family without a labelled puzzle is absent.

    Args:
        names: names of the families, in the order of their puzzle ids.
        last: puzzle id after the last of each family.
    """

    full_state_update = False
    sums: Tensor

    def __init__(self, names: Sequence[str], last: Sequence[int]) -> None:
        super().__init__()
        self.names, self.last = names, list(last)
        self.add_state("sums", torch.zeros(len(names), 2, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, tokens: Tensor, halt: Tensor, batch: Batch) -> None:
        """Count a batch: answers, (B, L), halting logits, (B,), which are not used, and puzzles."""
        last = torch.tensor(self.last, device=batch.puzzle_ids.device)
        family = torch.bucketize(batch.puzzle_ids, last, right=True)  # (B,)
        several = batch.labels if batch.labels.dim() == 3 else batch.labels.unsqueeze(1)  # (B, A, L)
        known = labelled(several).any(-1)
        right = known & exact_match(tokens.unsqueeze(1), several)
        counted = torch.stack((known.any(1), right.any(1)), dim=-1).to(self.sums)
        self.sums = self.sums.index_add(0, family, counted)

    def compute(self) -> dict[str, Tensor]:
        """Return the share of each family."""
        shares = zip(self.names, self.sums[:, 0], self.sums[:, 1], strict=True)
        return {f"solved_{name}": right / count for name, count, right in shares if count}
