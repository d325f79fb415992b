"""The settings among which ``trm tune`` chooses: what they are for a family, and random candidates of them."""

import math
import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch

from trm.data import PuzzleData
from trm.errors import InputError
from trm.module import TRMModule
from trm.nn import NETWORKS
from trm.nn.symmetric import Symmetric

WIDTHS: Mapping[str, Sequence[int]] = {"trm": (32, 64, 128, 256), "symmetric": (8, 16, 32, 64)}
"""Values of hidden_size by network; a symmetric one has that many channels per symbol."""
MLP_CELLS = 256
"""Most cells for which the mixer mlp, whose parameters grow with their square, is a candidate."""
HEAD_CHANNELS = 16
"""Channels of an attention head."""
CONVOLUTIONS = (0, 3)
"""Widths of the convolution over the grid; it needs a grid, and a network other than a symmetric one."""
RATES = (3e-4, 1e-2)
"""Range of the learning rate, which is drawn from it log-uniformly."""
SIZES = ("vocab_size", "seq_len", "num_puzzles", "num_symbols", "grid")
"""Arguments of a module that its family determines."""
DRAWS = 1000
"""Most draws in search of candidates that differ and are small enough."""


class Settings(NamedTuple):
    """The settings of a candidate that differ from those of the configuration."""

    model: dict[str, Any]
    data: dict[str, Any]

    def named(self) -> dict[str, Any]:
        """Return all settings by the names that the command line gives them, such as model.lr, and lists as text."""
        groups = (("model", self.model), ("data", self.data))
        found = {f"{group}.{name}": value for group, values in groups for name, value in values.items()}
        return {name: f"[{', '.join(v)}]" if isinstance(v, tuple) else v for name, v in found.items()}


def draw(model: TRMModule, data: PuzzleData, generator: random.Random) -> Settings:
    """Return random settings for a family.

    The mixer mlp needs boards of one size and at most ``MLP_CELLS`` cells, the network symmetric needs interchangeable
    symbols, a convolution over the grid ``has_grid`` and another network. A network of the user's own is kept.
    Augmentations are those that the family lists.
    """
    pick = generator.choice
    augmentation = {name: pick(values) for name, values in data.tunable.items()}
    network = str(model.hparams["network"])
    symmetric = isinstance(model.core, Symmetric)
    if network in WIDTHS:
        symmetric = sizes_with(data, augmentation)["num_symbols"] > 1 and pick((False, True))
        network = "symmetric" if symmetric else "trm"
    small = data.seq_len <= MLP_CELLS and not data.padded
    mixer = pick(("mlp", "attention")) if small else "attention"
    width = pick(WIDTHS.get(network, WIDTHS["trm"]))
    low, high = RATES
    own = {
        "network": network,
        "mixer": mixer,
        "positions": "none" if mixer == "mlp" else "grid" if len(data.grid) in (2, 4) else "rotary",
        "hidden_size": width,
        "num_heads": max(1, width // HEAD_CHANNELS),
        "multiple_of": 8,
        "cycles": pick((1, 2, 3)),
        "latent_steps": pick((2, 3, 4, 6)),
        "supervision_steps": pick((4, 16)),
        "lr": float(f"{low * (high / low) ** generator.random():.1e}"),
    }
    if has_grid(data) and not symmetric:
        own["grid_conv"] = pick(CONVOLUTIONS)
    theirs = {"slots": pick((32, 64, 128)), **augmentation}
    known = model.hparams if network in NETWORKS else model.init_args
    return Settings({name: value for name, value in own.items() if name in known}, theirs)


def has_grid(data: PuzzleData) -> bool:
    """Return whether the cells of a family are rows and columns: those that it gives its network, or a square."""
    grid = data.grid or (math.isqrt(data.seq_len),) * 2
    return len(grid) in (2, 4) and grid[0] * grid[1] == data.seq_len


def candidates(model: TRMModule, data: PuzzleData, count: int, seed: int, parameters: int | None) -> list[Settings]:
    """Return the configuration itself, which has no settings, and different random candidates.

    Args:
        model: the module of the configuration.
        data: its family.
        count: number of candidates; fewer are returned if the draws repeat themselves.
        seed: seed of the draws.
        parameters: most parameters of a candidate; None for no limit.

    Raises:
        InputError: if the configuration itself has more.
    """
    own = size_of(model, data, Settings({}, {}))
    if parameters and own > parameters:
        raise InputError(f"parameters is {parameters:,}, but the configuration itself has {own:,}")
    generator, found = random.Random(seed), [Settings({}, {})]
    for _ in range(DRAWS):
        if len(found) == count:
            break
        settings = draw(model, data, generator)
        if settings not in found and (not parameters or size_of(model, data, settings) <= parameters):
            found.append(settings)
    return found


def size_of(model: TRMModule, data: PuzzleData, settings: Settings) -> int:
    """Return the number of parameters of a module with other settings, which is built without memory."""
    augmentation = {name: value for name, value in settings.data.items() if name in data.tunable}
    with torch.device("meta"):
        built = build_module(model, settings.model, sizes_with(data, augmentation))
    return sum(parameter.numel() for parameter in built.parameters())


def sizes_with(data: PuzzleData, augmentation: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the sizes that a family with another augmentation gives its network: of pairs, it changes the symbols."""
    return _sizes(data, tuple(augmentation.items()))


@lru_cache(maxsize=64)
def _sizes(data: PuzzleData, augmentation: tuple[tuple[str, Any], ...]) -> Mapping[str, Any]:
    return sizes_of(type(data)(**{**data.init_args, **dict(augmentation)}) if augmentation else data)


def sizes_of(data: PuzzleData) -> dict[str, Any]:
    """Return the sizes that a family gives its network."""
    return {name: getattr(data, name) for name in SIZES}


def build_module(model: TRMModule, settings: Mapping[str, Any], known: Mapping[str, Any]) -> TRMModule:
    """Return a new module of the same class with other settings, and with those of ``known`` that it has."""
    theirs = {name: value for name, value in known.items() if name in model.init_args}
    return type(model)(**{**model.init_args, **theirs, **settings})
