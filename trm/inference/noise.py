"""Noise on the state, by which rollouts of the same puzzle come to think differently."""

from collections.abc import Sequence

import torch
from torch import Tensor

from trm.inference.thinking import Disturbance
from trm.nn import State


def gaussian_noise(seeds: Sequence[int | None], latent: float, start: float, device: torch.device) -> Disturbance:
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
