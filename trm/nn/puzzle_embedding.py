"""The puzzle embedding: one learned vector per puzzle id, trained by its own sign update without optimizer state."""

import torch
import torch.distributed as dist
from torch import Tensor, nn


class PuzzleEmbedding(nn.Module):
    """A lookup table from puzzle id to vector, updated only for the ids in a batch.

    The table is a buffer, not a parameter. An optimizer, DDP or an EMA would process all vectors at every step
    (876,406 in ARC-AGI-1), although a step changes only those in the batch. In training, ``forward`` returns a copy of
    the vectors, which accumulates the gradient, and ``update`` writes the step to the table. All vectors start at zero.

    Shapes: ``weights`` is (N, E) for N puzzle ids and vectors of size E; B puzzles in a batch.
    """

    weights: Tensor

    def __init__(self, num_puzzles: int, size: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.zeros(num_puzzles, size))
        self._used: tuple[Tensor, Tensor] | None = None  # ids and vectors returned since the last update

    def __deepcopy__(self, memo: dict[int, object]) -> "PuzzleEmbedding":
        """Return a copy that shares the table: a moving average of the model must not store gigabytes twice."""
        copy = PuzzleEmbedding(0, self.weights.shape[1])
        copy.weights = self.weights
        return copy.train(self.training)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the vectors of puzzle ids, (B,) to (B, E); in training they accumulate the gradient for ``update``."""
        vectors = self.weights[ids]
        if self.training and torch.is_grad_enabled():
            vectors.requires_grad_()
            self._used = (ids, vectors)
        return vectors

    @torch.no_grad()
    def extend(self, num_puzzles: int) -> None:
        """Add vectors up to a number of ids; they start at the mean of the others, without that of id 0, padding."""
        mean = self.weights[1:].mean(dim=0, keepdim=True)
        self.weights = torch.cat([self.weights, mean.expand(num_puzzles - len(self.weights), -1)])

    @torch.no_grad()
    def update(self, lr: float, weight_decay: float) -> None:
        """Update each vector w used since the last call: w <- w (1 - lr * weight_decay) - lr * sign(sum of gradients).

        A vector that was used several times, on any rank, is updated once. A vector that was not used is unchanged.
        Under DDP every rank must call this at the same step, because the gradients of all ranks are gathered.
        """
        if self._used is None:
            return
        ids, vectors = self._used
        self._used = None
        if vectors.grad is None:
            return
        ids, order = _all_ranks(ids).sort()  # groups equal ids, in shapes that do not depend on their number
        grads = _all_ranks(vectors.grad)[order]
        group = torch.cumsum(ids.diff(prepend=ids[:1]) != 0, 0)
        summed = torch.zeros_like(grads).index_add_(0, group, grads)[group]
        stepped = self.weights[ids] * (1 - lr * weight_decay) - lr * summed.sign()
        self.weights[ids] = stepped.to(self.weights.dtype)  # the values written for one id are equal


def _all_ranks(tensor: Tensor) -> Tensor:
    """Return the concatenation of a tensor over all ranks along its first axis."""
    if not (dist.is_available() and dist.is_initialized()):
        return tensor
    gathered = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, tensor.contiguous())
    return torch.cat(gathered)
