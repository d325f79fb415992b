"""Translates official state dicts to ours and back, and finds the network from names and shapes. Pure functions.

The official code is SamsungSAILMontreal/TinyRecursiveModels. A key consists of a prefix, which depends on how the model
was wrapped and compiled, and of one of the names below.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

import torch
from torch import Tensor

from trm.errors import InputError, counted
from trm.nn.layers import swiglu_width
from trm.nn.network import HALT_BIAS
from trm.nn.variants import NetworkName
from trm.training.compatibility import misfits, some

NAMES = {
    "embed_tokens.embedding_weight": "tokens.weight",
    "embed_pos.embedding_weight": "positions.weight",
    "puzzle_emb.weights": "puzzle_embedding.weights",
    "lm_head.weight": "answer_head.weight",
    "q_head.weight": "halting_head.weight",
    "q_head.bias": "halting_head.bias",
}
LAYERS = {
    "self_attn.qkv_proj.weight": "attention.qkv.weight",
    "self_attn.o_proj.weight": "attention.out.weight",
    "mlp_t.gate_up_proj.weight": "token_mlp.gate_up.weight",
    "mlp_t.down_proj.weight": "token_mlp.down.weight",
    "mlp.gate_up_proj.weight": "mlp.gate_up.weight",
    "mlp.down_proj.weight": "mlp.down.weight",
}
LAYOUTS: dict[NetworkName, dict[str, str]] = {
    "trm": {"H_init": "y_init", "L_init": "z_init", "L_level.layers": "blocks"},
    "single_z": {"L_init": "y_init", "L_level.layers": "blocks"},
    "multi_scale": {"H_init": "y_init", "L_level.layers": "blocks"},  # and L1_init, L2_init, ... for z_init
    "hrm": {"H_init": "y_init", "L_init": "z_init", "L_level.layers": "blocks", "H_level.layers": "answer_blocks"},
    "direct": {"H_init": "y_init", "H_level.layers": "blocks"},
}
"""Official names and ours: single tensors, the tensors of a layer, and those specific to each network."""

ALWAYS_THERE = "embed_tokens.embedding_weight"
SCALE = re.compile(r"L(\d+)_init")
MULTIPLES, EXPANSIONS = (256, 8, 1), (4.0, *(half / 2 for half in range(1, 33)))
"""Roundings and expansions that may explain a width, likeliest first; the official code has 256 and 4."""


def network_of(names: Iterable[str]) -> NetworkName:
    """Return the network that has tensors of these official names, given without their prefix."""
    names = {name.partition(".")[0] for name in names}
    if "H_level" in names:
        return "hrm" if "L_level" in names else "direct"
    if "L1_init" in names:
        return "multi_scale"
    return "trm" if "H_init" in names else "single_z"


def our_name(official: str, network: NetworkName = "trm") -> str | None:
    """Return our name of an official key without its prefix; None if the network has no such tensor."""
    return _renamed(official, NAMES | LAYOUTS[network], LAYERS)


def official_name(ours: str, network: NetworkName = "trm") -> str | None:
    """Return the official name of a key of a network's state dict; None if the official code has no such tensor."""
    return _renamed(ours, *({new: old for old, new in table.items()} for table in (NAMES | LAYOUTS[network], LAYERS)))


def from_official(weights: Mapping[str, Tensor], where: str) -> tuple[NetworkName, dict[str, Tensor]]:
    """Return the network and its state dict in our names, in float32, with two outputs of the halting head.

    Args:
        weights: the official state dict.
        where: the file, for messages.

    Raises:
        InputError: if a key has no translation, or a tensor is not one of finite floating-point numbers.
    """
    prefixes = [key.removesuffix(ALWAYS_THERE) for key in weights if key.endswith(ALWAYS_THERE)]
    if len(prefixes) != 1:
        raise InputError(
            f"{where} is not the state dict of one official TRM: {len(prefixes)} of its keys end in {ALWAYS_THERE}"
        )
    bare = {key.removeprefix(prefixes[0]): tensor for key, tensor in weights.items()}
    network = network_of(bare)
    for key, tensor in weights.items():
        if not tensor.is_floating_point() or not tensor.isfinite().all():
            kind = f"{tensor.dtype} numbers" if not tensor.is_floating_point() else "numbers that are not finite"
            raise InputError(f"{where}: {key} contains {kind}, but must contain finite floating-point numbers")
    scales = sorted(filter(SCALE.fullmatch, bare), key=lambda key: (len(key), key)) if network == "multi_scale" else []
    latent = torch.cat([torch.empty(0), *(bare.pop(key).float().flatten() for key in scales)])
    if unknown := [f"{prefixes[0]}{key}" for key in bare if our_name(key, network) is None]:
        raise InputError(f"{where} contains {some(unknown)}, which the network {network} does not have")
    state = {str(our_name(key, network)): tensor.float() for key, tensor in bare.items()}
    for name, fresh in (("halting_head.weight", 0.0), ("halting_head.bias", HALT_BIAS)):
        if name in state and state[name].shape[:1] == torch.Size([1]):  # some forks omit the continue logit
            state[name] = torch.cat((state[name], torch.full_like(state[name], fresh)))
    if "z_init" not in LAYOUTS[network].values():
        state["z_init"] = latent
    return network, state


def to_official(state: Mapping[str, Tensor], network: NetworkName, prefix: str, where: str) -> dict[str, Tensor]:
    """Return the state dict of a network under official names, in the official dtypes unless that loses digits.

    Args:
        state: the state dict.
        network: the network.
        prefix: prefix of all keys.
        where: the file it is from, for messages.

    Raises:
        InputError: if the official code does not have the network or a tensor.
    """
    if network not in LAYOUTS:
        raise InputError(f"{where} is of the network {network}, which the official code does not have")
    if state["z_init"].dim() > 1:
        raise InputError(
            f"{where} has {counted(len(state['z_init']), 'latent')}, but a network of the official code has one"
        )
    initial = [name for name in ("y_init", "z_init") if official_name(name, network)]
    exported = {name: tensor.float() for name, tensor in state.items() if name != "z_init" or name in initial}
    if unknown := [name for name in exported if official_name(name, network) is None]:
        raise InputError(f"{where} contains {some(unknown)}, which the official {network} does not have")
    exported = {str(official_name(name, network)): tensor for name, tensor in exported.items()}
    if network == "multi_scale":
        scales = torch.split(state["z_init"].float(), len(state["y_init"]))
        exported |= {f"L{scale}_init": tensor for scale, tensor in enumerate(scales, start=1)}
    for key in (key for key in exported if key.endswith("_init")):  # official models keep and compute these in bfloat16
        narrow = exported[key].bfloat16()
        exported[key] = narrow if torch.equal(narrow.float(), exported[key]) else exported[key]
    return {f"{prefix}{key}": tensor for key, tensor in exported.items()}


def architecture(network: NetworkName, state: Mapping[str, Tensor], seq_len: int, where: str) -> dict[str, Any]:
    """Return the arguments of ``TRMModule`` that follow from the shapes of a translated state dict.

    Args:
        network: the network.
        state: the state dict in our names.
        seq_len: number of grid cells.
        where: the file, for messages.

    Raises:
        InputError: if no arguments give these widths, or there are more cells than positions.
    """

    def size(name: str, axis: int) -> int:
        return state[name].shape[axis] if name in state and state[name].dim() == 2 else 0

    hidden_size, table = size("tokens.weight", 1), size("puzzle_embedding.weights", 1)
    length = size("blocks.0.token_mlp.down.weight", 0)
    widths = {hidden_size: size("blocks.0.mlp.down.weight", 1)}
    if length:
        widths[length] = size("blocks.0.token_mlp.down.weight", 1)
    found: dict[str, Any] = {
        "hidden_size": hidden_size,
        "num_layers": len({name.split(".")[1] for name in state if name.startswith("blocks.")}),
        "mixer": "mlp" if length else "attention",
        **_explained(widths, where),
    }
    if network != "trm":
        found["network"] = network
    if network == "multi_scale":
        found["latent_steps"] = len(state["z_init"]) // max(1, hidden_size)
    if table not in (0, hidden_size):
        found["puzzle_size"] = table
    if "positions.weight" in state:
        found["positions"], length = "learned", size("positions.weight", 0)
    elif length:
        found["positions"] = "none"
    if length and length < seq_len:
        raise InputError(
            f"{where} is of a network for at most {counted(length, 'cell')}, but these puzzles have {seq_len}"
        )
    if length or not table:
        found["puzzle_tokens"] = max(0, length - seq_len)
    return found


def refuse_misfits(kind: NetworkName, state: Mapping[str, Tensor], network: Mapping[str, Tensor], where: str) -> None:
    """Check that a translated state dict fits the network.

    Args:
        kind: the network.
        state: the state dict in our names.
        network: the state dict of the network; only its shapes are used.
        where: the file, for messages.

    Raises:
        InputError: naming the tensors that are missing, superfluous or of another shape.
    """
    if faults := misfits(state, network, lambda name: official_name(name, kind) or name):
        raise InputError(f"{where} does not fit the network {kind} that its other shapes suggest: it {faults}")


def _renamed(name: str, names: dict[str, str], layers: dict[str, str]) -> str | None:
    if name in names:
        return names[name]
    match = re.fullmatch(r"([^\d]+)\.(\d+)\.([^\d]+)", name)
    if match and match[1] in names and match[3] in layers:
        return f"{names[match[1]]}.{match[2]}.{layers[match[3]]}"
    return None


def _explained(widths: Mapping[int, int], where: str) -> dict[str, Any]:
    """Return the arguments that give each size of a SwiGLU its width."""
    for multiple_of, expansion in product(MULTIPLES, EXPANSIONS):
        if all(swiglu_width(size, expansion, multiple_of) == width for size, width in widths.items()):
            return {"expansion": expansion, "multiple_of": multiple_of}
    pairs = ", ".join(f"{width} for {size}" for size, width in widths.items())
    raise InputError(f"{where} has SwiGLUs of width {pairs}, which no expansion up to 16 gives")


ARCHITECTURES = {
    "single_z": "trm_singlez",
    "multi_scale": "trm_hier6",
    "hrm": "hrm",
    "direct": "transformers_baseline",
}


def official_options(model: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the official code that build the network of these arguments of ``TRMModule``."""
    tokens = model["puzzle_tokens"] if model["num_puzzles"] else 0
    network = model.get("network", "trm")
    layers = {"arch.H_layers": model["num_layers"]} if network in ("hrm", "direct") else {}
    return {
        "arch": ARCHITECTURES.get(network, "trm"),
        **layers,
        "arch.hidden_size": model["hidden_size"],
        "arch.L_layers": model["num_layers"],
        "arch.num_heads": model["num_heads"],
        "arch.expansion": model["expansion"],
        "arch.mlp_t": model["mixer"] == "mlp",
        "arch.pos_encodings": {"rotary": "rope"}.get(model["positions"], model["positions"]),
        "arch.H_cycles": model["cycles"],
        "arch.L_cycles": model["latent_steps"],
        "arch.halt_max_steps": model["supervision_steps"],
        "arch.puzzle_emb_len": tokens,
        "arch.puzzle_emb_ndim": (model["puzzle_size"] or model["hidden_size"]) if tokens else 0,
    }
