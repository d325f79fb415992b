"""What the Tiny Recursive Model is compared with: HRM, direct prediction, and the paper's ablations of one thing each.

Each is a subclass that changes what a cycle does. Tables are those of arXiv 2510.04871; ``trm/nn/network.py`` holds
the model itself, and the letters in shape comments.
"""

import copy
from functools import reduce
from typing import Any, Literal

import torch
from torch import Tensor

from trm.errors import InputError
from trm.nn.layers import DepthwiseConv, Linear, truncated_normal_
from trm.nn.network import TRM


class SingleZ(TRM):
    """One feature in place of two (table 2: single z): it stands in y, where the heads look, and z is (B, S, 0)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.z_init = self.z_init[:0].clone()

    def cycle(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Update the feature n times from the question and itself, then once from itself."""
        for step in range(self.latent_steps):
            with self.gradient(step):
                y = self.network(y + x)
        return self.network(y), z


class MultiScale(TRM):
    """One latent for each of the n latent steps of a cycle (table 2: multi-scale z); z holds them all, (B, S, n D)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.z_init = truncated_normal_(torch.empty(self.latent_steps * len(self.y_init)), std=1.0)

    def cycle(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Update each latent once from the question, the answer and the sum of all latents; then the answer."""
        scales = list(z.chunk(self.latent_steps, dim=-1))  # n x (B, S, D)
        for step in range(self.latent_steps):
            with self.gradient(step):
                scales[step] = self.network(reduce(torch.add, scales) + (y + x))
        return self.network(y + reduce(torch.add, scales)), torch.cat(scales, dim=-1)


class TwoNetworks(TRM):
    """Updates the answer by a network of its own, with as many layers as the latent's (table 1: separate f_H, f_L)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.answer_blocks = copy.deepcopy(self.blocks)
        for module in self.answer_blocks.modules():
            if isinstance(module, (Linear, DepthwiseConv)):
                module.reset_parameters()

    def cycle(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Update the latent n times by one network, then the answer by the other."""
        for step in range(self.latent_steps):
            with self.gradient(step):
                z = self.network(z + (y + x))
        return self.apply_blocks(self.answer_blocks, y + z), z


class HRM(TwoNetworks):
    """The Hierarchical Reasoning Model (arXiv 2506.21734): two networks and the one-step gradient.

    Its answer is the high-level state z_H and its latent the low-level state z_L. In the published model each network
    has four layers, T = n = 2, there is one puzzle token, and a continue loss trains when to halt.

    Raises:
        InputError: if it is asked for more gradient.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.gradient_steps > 1:
            raise InputError(f"network hrm differentiates one latent step, but gradient_steps is {self.gradient_steps}")
        self.gradient_steps = 1


class Direct(SingleZ):
    """A plain Transformer (tables 4 and 5: direct prediction): the layers once per supervision step, no recursion.

    Raises:
        InputError: if it is asked for cycles or latent steps.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.cycles > 1 or self.latent_steps > 1:
            raise InputError(
                f"network direct has no recursion: cycles {self.cycles} and latent_steps {self.latent_steps} must be 1"
            )

    def cycle(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Update the one feature once, from the question and itself."""
        return self.network(y + x), z


NetworkName = Literal["trm", "single_z", "multi_scale", "two_networks", "hrm", "direct"]

NETWORKS: dict[NetworkName, type[TRM]] = {
    "trm": TRM,
    "single_z": SingleZ,
    "multi_scale": MultiScale,
    "two_networks": TwoNetworks,
    "hrm": HRM,
    "direct": Direct,
}
