"""Rollouts: several runs of the model on one puzzle, which differ by their view and the noise added to the state.

Shapes: R rollouts, B samples of a batch, L grid cells, S sequence, D hidden size.
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
    """Results of the rollouts of several puzzles."""

    puzzles: NDArray[np.intp]
    """Index of the puzzle, (R,)."""
    answers: Tokens
    """Tokens of the answer, with the view undone, (R, L)."""
    halt: NDArray[np.float64]
    """Halting logit of the last supervision step, (R,)."""
    residuals: NDArray[np.float64]
    """Relative change of the state in the last supervision step, (R,)."""
    valid: NDArray[np.bool_]
    """Whether the answer obeys the rules, (R,); False if the family has none."""
    steps: NDArray[np.int64]
    """Supervision steps taken, (R,)."""
    top1: NDArray[np.float64]
    """Mean over the cells of the probability of the answer's token, (R,)."""

    @property
    def confidences(self) -> NDArray[np.float64]:
        """Halting probability of the last supervision step, (R,)."""
        return np.asarray(1 / (1 + np.exp(-self.halt)))

    @classmethod
    def join(cls, parts: Sequence["Rollouts"]) -> "Rollouts":
        """Return the concatenation of rollouts."""
        return cls(*map(np.concatenate, zip(*parts, strict=True)))


def gaussian_noise(seeds: Sequence[int | None], latent: float, start: float, device: torch.device) -> StateNoise:
    """Return a function that adds normal noise to states; that of a sample does not depend on the rest of the batch.

    PTRM (arXiv 2605.19943) adds noise to the latent before every supervision step of a trained TRM. EqR (arXiv
    2605.21488) starts from random states.

    Args:
        seeds: seed of each sample, (B,); None for a sample without noise.
        latent: standard deviation of the noise added to the latent before each supervision step. The mean square of a
            latent is one.
        start: standard deviation of the noise added to answer and latent before the first step only.
        device: device of the states; the random numbers depend on it.
    """
    generators = [None if seed is None else torch.Generator(device).manual_seed(seed) for seed in seeds]
    started = False

    def normal(like: Tensor, indices: list[int]) -> Tensor:
        noise = torch.zeros_like(like, memory_format=torch.contiguous_format)  # (B, S, D)
        for part, index in zip(noise, indices, strict=True):
            if (generator := generators[index]) is not None:
                part.normal_(generator=generator)
        return noise

    def add_noise(state: State, indices: Tensor) -> State:
        nonlocal started
        y, z = state
        listed = indices.tolist()
        if start and not started:
            y, z = y + start * normal(y, listed), z + start * normal(z, listed)
        if latent:
            z = z + latent * normal(z, listed)
        started = True
        return State(y, z)

    return add_noise


def relative_change(before: Sequence[Tensor], after: Sequence[Tensor]) -> Tensor:
    """Return the norm of the change between states, divided by the norm of the state before, (B,) float64."""
    pairs = list(zip(before, after, strict=True))
    moved = torch.stack([(new.double() - old.double()).square().flatten(1).sum(1) for old, new in pairs]).sum(0)
    size = torch.stack([old.double().square().flatten(1).sum(1) for old, _ in pairs]).sum(0)
    return (moved / size).sqrt()
