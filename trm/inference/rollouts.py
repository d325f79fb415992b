"""Rollouts: thinking about the same puzzle several times, with noise on the state so that each goes its own way.

Letters in shape comments: R rollouts, B rows of a batch, L grid cells, S sequence, D hidden size.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trm.data.samples import Tokens
from trm.inference.think import StateNoise
from trm.nn import State


class Rollouts(NamedTuple):
    """What came of thinking about puzzles, each from several sides and with different noise."""

    puzzles: NDArray[np.intp]
    """Which of the puzzles it was, (R,)."""
    answers: Tokens
    """Tokens, views undone, (R, L)."""
    halt: NDArray[np.float64]
    """Halting logit of the last supervision step, (R,)."""
    residuals: NDArray[np.float64]
    """Relative change of the state in that step, (R,)."""
    valid: NDArray[np.bool_]
    """Whether the answer obeys the rules, (R,); False where there are none."""
    steps: NDArray[np.int64]
    """Supervision steps taken, (R,)."""

    @property
    def confidences(self) -> NDArray[np.float64]:
        """Halting probability of the last supervision step, (R,)."""
        return np.asarray(1 / (1 + np.exp(-self.halt)))

    @classmethod
    def join(cls, parts: Sequence["Rollouts"]) -> "Rollouts":
        """Put rollouts behind each other."""
        return cls(*map(np.concatenate, zip(*parts, strict=True)))


def gaussian_noise(seeds: Sequence[int | None], latent: float, start: float, device: torch.device) -> StateNoise:
    """Return a disturbance that adds normal noise, the same for a row whatever else is in its batch.

    Adding it to the latent before every supervision step is how PTRM (arXiv 2605.19943) lifts the weights of TRM;
    EqR (arXiv 2605.21488) starts from random states.

    Args:
        seeds: seed of each row, (B,); None for a row to be left alone.
        latent: standard deviation of what is added to the latent before each supervision step. The network keeps the
            mean square of its latents at one.
        start: that of what is added to answer and latent before the first step only.
        device: where the noise is drawn; devices draw differently.
    """
    generators = [None if seed is None else torch.Generator(device).manual_seed(seed) for seed in seeds]
    begun = False

    def draw(like: Tensor, rows: list[int]) -> Tensor:
        noise = torch.zeros_like(like, memory_format=torch.contiguous_format)  # (B, S, D)
        for part, row in zip(noise, rows, strict=True):
            if (generator := generators[row]) is not None:
                part.normal_(generator=generator)
        return noise

    def disturb(state: State, rows: Tensor) -> State:
        nonlocal begun
        y, z = state
        numbers = rows.tolist()
        if start and not begun:
            y, z = y + start * draw(y, numbers), z + start * draw(z, numbers)
        if latent:
            z = z + latent * draw(z, numbers)
        begun = True
        return State(y, z)

    return disturb


def relative_change(before: Sequence[Tensor], after: Sequence[Tensor]) -> Tensor:
    """Return the norm of a change over that of what was changed, such as the parts of a state, (B,) float64."""
    moved = sum(
        (new.double() - old.double()).square().flatten(1).sum(1) for old, new in zip(before, after, strict=True)
    )
    size = sum(old.double().square().flatten(1).sum(1) for old in before)
    assert isinstance(moved, Tensor) and isinstance(size, Tensor)
    return (moved / size).sqrt()
