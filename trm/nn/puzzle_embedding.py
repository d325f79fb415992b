"""The puzzle embedding: one learned vector per (task, augmentation), trained by its own stateless sign update."""

import torch
import torch.distributed as dist
from torch import Tensor, nn


class PuzzleEmbedding(nn.Module):
    """A lookup table that is trained by row.

    It is a buffer, not a parameter: an optimizer, DDP or an EMA would touch all its rows at every step (876,406 in
    ARC-AGI-1), though a step changes only those in the batch. In training, ``forward`` hands out a copy of the rows
    that gathers the gradient, and ``update`` puts the step back into the table. All rows start at zero.

    Shapes: ``weights`` is (N, E) for N puzzles and vectors of size E.
    """

    weights: Tensor

    def __init__(self, num_puzzles: int, size: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.zeros(num_puzzles, size))
        self._drawn: tuple[Tensor, Tensor] | None = None  # ids and rows handed out since the last update

    def __deepcopy__(self, memo: dict[int, object]) -> "PuzzleEmbedding":
        """Return a copy that shares the rows: a moving average of the model must not hold gigabytes twice."""
        copy = PuzzleEmbedding(0, self.weights.shape[1])
        copy.weights = self.weights
        return copy.train(self.training)

    def forward(self, ids: Tensor) -> Tensor:
        """Look up the rows of ``ids``, (B,) to (B, E); in training they collect gradient for ``update``."""
        rows = self.weights[ids]
        if self.training and torch.is_grad_enabled():
            rows.requires_grad_()
            self._drawn = (ids, rows)
        return rows

    @torch.no_grad()
    def update(self, lr: float, weight_decay: float) -> None:
        """Step every row used since the last call: w <- w (1 - lr * weight_decay) - lr * sign(sum of its gradients).

        Rows that were used several times, on any rank, step once. Rows that were not used stay as they are. Under
        DDP every rank must call this at the same step: the gradients of all ranks are gathered.
        """
        if self._drawn is None:
            return
        ids, rows = self._drawn
        self._drawn = None
        if rows.grad is None:
            return
        ids, order = _all_ranks(ids).sort()  # equal ids stand together, in shapes that do not depend on how many do
        grads = _all_ranks(rows.grad)[order]
        group = torch.cumsum(ids.diff(prepend=ids[:1]) != 0, 0)
        summed = torch.zeros_like(grads).index_add_(0, group, grads)[group]
        stepped = self.weights[ids] * (1 - lr * weight_decay) - lr * summed.sign()
        self.weights[ids] = stepped.to(self.weights.dtype)  # rows of one id are equal


def _all_ranks(tensor: Tensor) -> Tensor:
    """Concatenate ``tensor`` over all ranks along its first axis."""
    if not (dist.is_available() and dist.is_initialized()):
        return tensor
    gathered = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, tensor.contiguous())
    return torch.cat(gathered)
