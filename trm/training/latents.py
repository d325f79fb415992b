"""Several latents per puzzle, trained by winner takes all, as in SIC (arXiv 2601.19085).

Shapes: B puzzles, K latents, S sequence, D hidden size, L grid cells.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from trm.batch import Batch, labelled
from trm.nn import TRM, State, StepOutput

AnswerLoss = Callable[[Tensor, Tensor], Tensor]
"""Returns the loss of each answer, (B,), from logits, (B, L, V), and labels."""


def start_all(core: TRM, count: int) -> State:
    """Return the initial state of ``count`` puzzles with all latents: (B, S, D) and (B, K, S, D), or 2 x (B, S, D)."""
    if core.latents == 1:
        return core.start(count)
    numbers = torch.arange(core.latents, device=core.z_init.device)
    z = core.start(core.latents, numbers).z  # (K, S, D)
    return State(core.start(count).y, z.expand(count, *z.shape))


class Winners:
    """The latent of each puzzle that a training step differentiates, after a step of all K without gradient.

    The winner is the latent whose answer has the least loss. A puzzle without a label has no right answer, so that the
    halting head should doubt every answer; the winner is then the latent that is most confident.

    Args:
        core: the network.
        state: the answers, (B, S, D), and the latents, (B, K, S, D).
        batch: the puzzles.
        vectors: vectors of the puzzle embedding, (B, E); None without one.
        answer_loss: the loss that is compared.
    """

    def __init__(self, core: TRM, state: State, batch: Batch, vectors: Tensor | None, answer_loss: AnswerLoss) -> None:
        vectors = None if vectors is None else vectors.detach()
        known = labelled(batch.labels).flatten(1).any(1)
        latents, losses = [], []
        with torch.no_grad():
            for z in state.z.unbind(1):  # in turn: B puzzles in the layout of an evaluation, which share a compilation
                output = core(State(state.y, z.contiguous()), batch.inputs, vectors)
                loss = answer_loss(output.logits, batch.labels)
                losses.append(loss.where(known, -output.halt.to(loss.dtype)))
                latents.append(output.state.z)
        self.latents = torch.stack(latents, dim=1)
        """The latents after the step, (B, K, S, D)."""
        self.which = torch.stack(losses, dim=1).argmin(1)
        """Number of the winner, (B,)."""
        self._rows = torch.arange(len(self.which), device=self.which.device)
        self.state = State(state.y, state.z[self._rows, self.which])
        """State from which the winner takes the step, 2 x (B, S, D)."""

    def keep(self, output: StepOutput) -> StepOutput:
        """Return the output of the step of the winners with all latents, (B, K, S, D), those of the winners its own."""
        latents = self.latents.clone()
        latents[self._rows, self.which] = output.state.z.detach()
        return output._replace(state=State(output.state.y, latents))
