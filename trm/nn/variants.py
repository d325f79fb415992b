"""The baselines and ablations of the paper: HRM, direct prediction, and networks that change one part of TRM.

Each is a subclass of ``TRM`` that overrides ``cycle``, as a network of your own would. Table numbers are those of arXiv
2510.04871. The model itself and the letters of the shapes are in ``trm/nn/network.py``.
"""

import copy
from functools import reduce
from typing import Any, Literal

import torch
from torch import Tensor

from trm.arguments import class_path, find_class, parameters_of
from trm.errors import InputError, counted
from trm.nn.layers import DepthwiseConv, Linear, truncated_normal_
from trm.nn.network import TRM
from trm.nn.symmetric import Symmetric


class SingleZ(TRM):
    """One feature instead of two (table 2: single z): it is stored in y, which the heads read, and z is (B, S, 0)."""

    most_latents = 1

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.z_init = self.z_init[:0].clone()

    def cycle(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Update the feature n times from the question and itself, then once from itself."""
        for step in range(self.latent_steps):
            with self.gradient(step):
                y = self.update(y, y + x)
        return self.update(y, y), z


class MultiScale(TRM):
    """One latent for each of the n latent steps of a cycle (table 2: multi-scale z); z contains all, (B, S, n D)."""

    free = TRM.free - {"latent_steps"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        shape = (*self.z_init.shape[:-1], self.latent_steps * len(self.y_init))
        self.z_init = truncated_normal_(torch.empty(shape), std=1.0)

    def cycle(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Update each latent once from the question, the answer and the sum of all latents; then the answer."""
        scales = list(z.chunk(self.latent_steps, dim=-1))  # n x (B, S, D)
        for step in range(self.latent_steps):
            with self.gradient(step):
                scales[step] = self.update(scales[step], reduce(torch.add, scales) + (y + x))
        return self.update(y, y + reduce(torch.add, scales)), torch.cat(scales, dim=-1)


class TwoNetworks(TRM):
    """A second network of the same size updates the answer (table 1: separate f_H and f_L)."""

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
                z = self.update(z, z + (y + x))
        return self.update(y, y + z, self.answer_blocks), z


class HRM(TwoNetworks):
    """The Hierarchical Reasoning Model (arXiv 2506.21734): two networks and the one-step gradient.

    The answer is the high-level state z_H and the latent the low-level state z_L. The published model has four layers
    in each network, T = n = 2, one puzzle token and the continue loss.

    Raises:
        InputError: if ``gradient_steps`` is greater than 1.
    """

    most_latents = 1

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if (self.gradient_steps or 0) > 1:
            raise InputError(f"network hrm differentiates one latent step, but gradient_steps is {self.gradient_steps}")
        self.gradient_steps: int | None = 1


class Direct(SingleZ):
    """A plain Transformer without recursion (tables 4 and 5: direct prediction): one pass per supervision step.

    Raises:
        InputError: if ``cycles`` or ``latent_steps`` is greater than 1.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.cycles > 1 or self.latent_steps > 1:
            raise InputError(
                f"network direct has no recursion: cycles {self.cycles} and latent_steps {self.latent_steps} must be 1"
            )

    def cycle(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Update the feature once from the question and itself."""
        return self.update(y, y + x), z


NetworkName = Literal["trm", "single_z", "multi_scale", "two_networks", "hrm", "direct", "symmetric"]

NETWORKS: dict[str, type[TRM]] = {
    "trm": TRM,
    "single_z": SingleZ,
    "multi_scale": MultiScale,
    "two_networks": TwoNetworks,
    "hrm": HRM,
    "direct": Direct,
    "symmetric": Symmetric,
}
"""The networks of this package by name."""


def find_network(network: str | type[TRM]) -> type[TRM]:
    """Return the class of a network from its name, or from the dotted path of your own class, which is imported.

    Raises:
        InputError: if there is no network of that name or path.
    """
    if isinstance(network, type):
        return network
    if network in NETWORKS:
        return NETWORKS[network]
    if not isinstance(network, str) or "." not in network:
        names = ", ".join(NETWORKS)
        raise InputError(f"model.network is {network!r}, but must be one of {names}, or your own class as module.Class")
    return find_class(network, TRM, "model.network is")


def network_name(kind: type[TRM]) -> str:
    """Return the name or dotted path from which ``find_network`` returns a class."""
    return next((name for name, built_in in NETWORKS.items() if built_in is kind), class_path(kind))


def build_network(network: str | type[TRM], extra: dict[str, Any], **arguments: Any) -> TRM:
    """Build a network.

    Args:
        network: its name, class or dotted path.
        extra: arguments that your own network accepts beyond those of ``TRM``.
        **arguments: those of ``TRM``.

    Raises:
        InputError: if there is no such network, it does not accept an argument in ``extra``, or it has fewer latents.
    """
    kind = find_network(network)
    own = {name for name in parameters_of(kind) if name not in parameters_of(TRM)}
    if unknown := sorted(set(extra) - own):
        accepted = f"takes {', '.join(sorted(own))}" if own else "takes none beyond those of trm"
        raise InputError(f"model.network_args has {unknown[0]!r}, but the network {network_name(kind)} {accepted}")
    if kind is TRM:
        return TRM(**arguments)  # jsonargparse reads this line to find the arguments of the network
    core = kind(**arguments, **extra)
    if core.latents > 1 and (core.z_init.dim() < 2 or len(core.z_init) != core.latents):
        raise InputError(
            f"model.latents is {core.latents}, but the network {network_name(kind)} sets a z_init of shape "
            f"{tuple(core.z_init.shape)}; expected are {counted(core.latents, 'latent')}, ({core.latents}, D)"
        )
    return core
