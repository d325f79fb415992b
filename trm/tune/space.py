"""The settings among which ``trm tune`` chooses: what they are for a family, and random candidates of them."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from trm.data import PuzzleData
from trm.errors import InputError
from trm.module import TRMModule
from trm.nn import NETWORKS

WIDTHS: Mapping[str, Sequence[int]] = {"trm": (32, 64, 128, 256), "symmetric": (8, 16, 32, 64)}
"""Values of hidden_size by network; a symmetric one has that many channels per symbol."""
MLP_CELLS = 256
"""Most cells for which the mixer mlp, whose parameters grow with their square, is a candidate."""
HEAD_CHANNELS = 16
"""Channels of an attention head."""
RATES = (3e-4, 1e-2)
"""Range of the learning rate, which is drawn from it log-uniformly."""
DRAWS = 1000
"""Most draws in search of candidates that differ and are small enough."""


class Settings(NamedTuple):
    """The settings of a candidate that differ from those of the configuration."""

    model: dict[str, Any]
    data: dict[str, Any]

    def named(self) -> dict[str, Any]:
        """Return all settings by the names that the command line gives them, such as model.lr."""
        return {f"model.{name}": value for name, value in self.model.items()} | {
            f"data.{name}": value for name, value in self.data.items()
        }


def draw(model: TRMModule, data: PuzzleData, generator: random.Random) -> Settings:
    """Return random settings for a family.

    The mixer mlp needs boards of one size and at most ``MLP_CELLS`` cells, the network symmetric needs interchangeable
    symbols. A network of the user's own is kept. Augmentations are those that the family lists.
    """
    pick = generator.choice
    network = str(model.hparams["network"])
    if network in ("trm", "symmetric"):
        network = pick(("trm", "symmetric")) if data.num_symbols > 1 else "trm"
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
    theirs = {"slots": pick((32, 64, 128))}
    theirs |= {name: pick(values) for name, values in data.tunable.items()}
    known = model.hparams if network in NETWORKS else model.init_args
    return Settings({name: value for name, value in own.items() if name in known}, theirs)


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
    own = size_of(model, {})
    if parameters and own > parameters:
        raise InputError(f"parameters is {parameters:,}, but the configuration itself has {own:,}")
    generator, found = random.Random(seed), [Settings({}, {})]
    for _ in range(DRAWS):
        if len(found) == count:
            break
        settings = draw(model, data, generator)
        if settings not in found and (not parameters or size_of(model, settings.model) <= parameters):
            found.append(settings)
    return found


def size_of(model: TRMModule, settings: Mapping[str, Any]) -> int:
    """Return the number of parameters of a module with other settings, which is built without memory."""
    with torch.device("meta"):
        built = build_module(model, settings)
    return sum(parameter.numel() for parameter in built.parameters())


def build_module(model: TRMModule, settings: Mapping[str, Any]) -> TRMModule:
    """Return a new module of the same class with other settings."""
    return type(model)(**{**model.init_args, **settings})
