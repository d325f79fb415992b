"""Deep supervision: the slots in which B puzzles are thought about, one supervision step at a time."""

from dataclasses import dataclass

import torch
from torch import Tensor

from trm.batch import Batch
from trm.nn import State, StepOutput


@dataclass
class Slots:
    """B puzzles being thought about; a slot that has halted takes a fresh puzzle.

    The tensors never hold a graph. ``steps`` counts the supervision steps since the slot took its puzzle, ``halted``
    tells which slots are done, (B,) each.
    """

    state: State
    batch: Batch
    steps: Tensor
    halted: Tensor

    @classmethod
    def fill(cls, fresh: Batch, start: State) -> "Slots":
        """Put a fresh puzzle into every slot; ``start`` is the state each begins with."""
        start = State(*(part.contiguous() for part in start))  # as it will be: another layout is compiled once more
        steps = torch.zeros_like(fresh.puzzle_ids)
        return cls(start, fresh, steps, torch.zeros_like(steps, dtype=torch.bool))

    def refill(self, fresh: Batch, start: State) -> "Slots":
        """Offer a fresh puzzle to each slot: those that have halted take theirs and start over, the others go on.

        A puzzle offered to a slot that is still thinking is dropped, as in the official code: the shapes stay
        constant and nothing depends on how many slots have halted.
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
        """Carry a supervision step's result on, and halt the slots that are done.

        Args:
            output: what the network returned for these slots.
            max_steps: every slot halts after this many supervision steps.
            least_steps: a slot that the model holds for done halts no earlier than this, (B,); None halts none
                before ``max_steps``.
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
        """Restore what ``state_dict`` returned."""
        t = {name: tensor.to(device) for name, tensor in tensors.items()}
        return cls(State(t["y"], t["z"]), Batch(t["inputs"], t["labels"], t["puzzle_ids"]), t["steps"], t["halted"])


def step_weights(steps: Tensor, decay: float, max_steps: int) -> Tensor:
    """Return the weights of rows that have taken so many supervision steps, (B,): decay^steps, of mean 1 over all.

    Early steps count for more: the hierarchical supervision weighting of CGAR (arXiv 2511.08653), which has 0.7.
    """
    mean = sum(decay**step for step in range(max_steps)) / max_steps
    return decay**steps / mean


def add_noise(part: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """Add normal noise of a standard deviation to a part of the state, (B, S, D); its mean square is about one."""
    noise = torch.randn(part.shape, generator=generator, device=generator.device, dtype=torch.float32)
    return part + (std * noise).to(part.dtype)


def explore_halting(count: int, probability: float, max_steps: int, generator: torch.Generator) -> Tensor:
    """Draw for each slot the least number of steps it must think, (count,): 0, or with ``probability`` one of 2..max.

    Without it a model that halts early never learns what more thinking would have brought.
    """
    device = generator.device
    explores = torch.rand(count, generator=generator, device=device, dtype=torch.float32) < probability
    least = torch.randint(2, max(3, max_steps + 1), (count,), generator=generator, device=device)
    return least * explores
