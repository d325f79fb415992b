"""Deep supervision: the slots of training, each with a puzzle and its state.

Shapes: B slots, L grid cells, S sequence, D hidden size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from trm.batch import Batch
from trm.nn import State, StepOutput


@dataclass
class Slots:
    """B puzzles in training and their states; a slot that has halted takes a fresh puzzle at the next step.

    The tensors have no autograd graph.
    """

    state: State
    """Answer and latent of each puzzle, 2 x (B, S, D); of K latents all, (B, K, S, D)."""
    batch: Batch
    """The puzzles, (B, ...)."""
    steps: Tensor
    """Number of supervision steps since the slot took its puzzle, (B,)."""
    halted: Tensor
    """Whether the slot has halted, (B,) bool."""

    @classmethod
    def fill(cls, fresh: Batch, start: State) -> "Slots":
        """Return slots with fresh puzzles and their initial states ``start``."""
        start = State(*(part.contiguous() for part in start))  # the layout of later states: one compilation
        steps = torch.zeros_like(fresh.puzzle_ids)
        return cls(start, fresh, steps, torch.zeros_like(steps, dtype=torch.bool))

    def refill(self, fresh: Batch, start: State) -> "Slots":
        """Return slots in which each halted slot has taken the fresh puzzle offered to it; the others are unchanged.

        A puzzle offered to a slot that has not halted is dropped, as in the official code. Shapes are therefore
        constant, and the data does not depend on the number of halted slots.
        """

        def take(new: Tensor, old: Tensor) -> Tensor:
            return torch.where(self.halted.view(-1, *[1] * (old.dim() - 1)), new, old.to(new.dtype))

        return Slots(
            state=State(*map(take, start, self.state)),
            batch=Batch(*map(take, fresh, self.batch)),
            steps=self.steps.masked_fill(self.halted, 0),
            halted=torch.zeros_like(self.halted),
        )

    def advance(self, output: StepOutput, max_steps: int, least_steps: Tensor | None = None) -> "Slots":
        """Return slots after a supervision step, with those that halt marked.

        Args:
            output: output of the step.
            max_steps: number of supervision steps after which every slot halts.
            least_steps: minimum number of supervision steps before a slot halts early, (B,); None disables early
                halting.
        """
        steps = self.steps + 1
        halted = steps >= max_steps
        if least_steps is not None:
            halted = halted | (output.done & (steps >= least_steps))
        return Slots(State(output.state.y.detach(), output.state.z.detach()), self.batch, steps, halted)

    def state_dict(self) -> dict[str, Tensor]:
        """Return copies of all tensors on the CPU, by name."""
        tensors = {**self.state._asdict(), **self.batch._asdict(), "steps": self.steps, "halted": self.halted}
        return {name: tensor.cpu().clone() for name, tensor in tensors.items()}

    @classmethod
    def from_state_dict(cls, tensors: dict[str, Tensor], device: torch.device) -> "Slots":
        """Return the slots of a ``state_dict``."""
        t = {name: tensor.to(device) for name, tensor in tensors.items()}
        return cls(State(t["y"], t["z"]), Batch(t["inputs"], t["labels"], t["puzzle_ids"]), t["steps"], t["halted"])

    @classmethod
    def from_ranks(cls, saved: list[dict[str, Tensor]], rank: int, world: int, device: torch.device) -> "Slots":
        """Return the share of a rank in slots saved by any number of ranks; ``world`` must divide their number."""
        together = {name: torch.cat([of_rank[name] for of_rank in saved]) for name in saved[0]}  # as on one device
        count = len(together["steps"])
        share = slice(rank * count // world, (rank + 1) * count // world)
        return cls.from_state_dict({name: tensor[share] for name, tensor in together.items()}, device)


def step_weights(steps: Tensor, decay: float, max_steps: int) -> Tensor:
    """Return the loss weight of puzzles after numbers of steps, (B,) to (B,): decay^steps over its mean for all steps.

    This is the hierarchical supervision weighting of CGAR (arXiv 2511.08653), with decay 0.7 there.
    """
    mean = sum(decay**step for step in range(max_steps)) / max_steps
    return decay**steps / mean


def add_noise(part: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """Return a part of the state, (B, S, D), plus normal noise; the mean square of a state is about one."""
    noise = torch.randn(part.shape, generator=generator, device=generator.device, dtype=torch.float32)
    return part + (std * noise).to(part.dtype)


def explore_halting(count: int, probability: float, max_steps: int, generator: torch.Generator) -> Tensor:
    """Return a random minimum number of steps for each slot, (count,): 0, or with ``probability`` one of 2..max.

    Without exploration the halting head is not trained on the steps that follow an early halt.
    """
    device = generator.device
    explores = torch.rand(count, generator=generator, device=device, dtype=torch.float32) < probability
    least = torch.randint(2, max(3, max_steps + 1), (count,), generator=generator, device=device)
    return least * explores
