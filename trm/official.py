"""The official state dict: its names in ours, and the network that its shapes stand for. Pure functions.

Official are SamsungSAILMontreal/TinyRecursiveModels, sapientinc/HRM, and what was trained with them. A key is a prefix,
which depends on how the model was wrapped and compiled, and one of the names below.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

import torch
from torch import Tensor

from trm.errors import InputError
from trm.nn.layers import swiglu_width
from trm.nn.network import HALT_BIAS

NAMES = {
    "H_init": "y_init",
    "L_init": "z_init",
    "embed_tokens.embedding_weight": "tokens.weight",
    "embed_pos.embedding_weight": "positions.weight",
    "puzzle_emb.weights": "puzzles.weights",
    "lm_head.weight": "answer_head.weight",
    "q_head.weight": "halting_head.weight",
    "q_head.bias": "halting_head.bias",
}
STACKS = {"L_level.layers": "blocks", "H_level.layers": "answer_blocks"}  # the second in HRM alone
LAYERS = {
    "self_attn.qkv_proj.weight": "attention.qkv.weight",
    "self_attn.o_proj.weight": "attention.out.weight",
    "mlp_t.gate_up_proj.weight": "token_mlp.gate_up.weight",
    "mlp_t.down_proj.weight": "token_mlp.down.weight",
    "mlp.gate_up_proj.weight": "mlp.gate_up.weight",
    "mlp.down_proj.weight": "mlp.down.weight",
}
"""Official names and ours: of single tensors, of stacks of layers, and of the tensors in a layer."""

ALWAYS_THERE = "embed_tokens.embedding_weight"
INITIAL_STATES = ("H_init", "L_init")
"""Kept in bfloat16 by official files: the dtype that official models compute in."""
MULTIPLES, EXPANSIONS = (256, 8, 1), (4.0, *(half / 2 for half in range(1, 33)))
"""Roundings and expansions to explain a width by, likeliest first; the official code has 256 and 4."""


def our_name(official: str) -> str | None:
    """Translate a key without its prefix; None if the network has nothing of the kind."""
    return _renamed(official, NAMES, STACKS, LAYERS)


def official_name(ours: str) -> str | None:
    """Translate a key of ``TRM``'s state dict; None if the official network has nothing of the kind."""
    return _renamed(ours, *({new: old for old, new in table.items()} for table in (NAMES, STACKS, LAYERS)))


def from_official(weights: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Translate a state dict: names without prefix, all in float32, and the halting head with two rows.

    Args:
        weights: the official state dict.
        where: the file, for messages.

    Raises:
        InputError: if a key has no translation, or a tensor is not one of finite floating-point numbers.
    """
    prefixes = [key.removesuffix(ALWAYS_THERE) for key in weights if key.endswith(ALWAYS_THERE)]
    if len(prefixes) != 1:
        raise InputError(
            f"{where} is not the state dict of one official network: {len(prefixes)} of its keys end in {ALWAYS_THERE}"
        )
    names = {key: our_name(key.removeprefix(prefixes[0])) for key in weights}
    if unknown := [key for key, name in names.items() if name is None]:
        raise InputError(f"{where} holds {some(unknown)}, for which neither TRM nor HRM has a place")
    for key, tensor in weights.items():
        if not tensor.is_floating_point() or not tensor.isfinite().all():
            kind = f"{tensor.dtype} numbers" if not tensor.is_floating_point() else "numbers that are not finite"
            raise InputError(f"{where}: {key} holds {kind}, but weights are finite floating-point numbers")
    state = {str(names[key]): tensor.float() for key, tensor in weights.items()}
    # Some leave out the logit of going on, which TRM never uses.
    for name, fresh in (("halting_head.weight", 0.0), ("halting_head.bias", HALT_BIAS)):
        if name in state and state[name].shape[:1] == (1,):
            state[name] = torch.cat((state[name], torch.full_like(state[name], fresh)))
    return state


def to_official(state: Mapping[str, Tensor], prefix: str, where: str) -> dict[str, Tensor]:
    """Translate the state dict of ``TRM`` back, with the dtypes of official files as far as no digit is lost.

    Args:
        state: the state dict.
        prefix: what all keys begin with.
        where: the file it is from, for messages.

    Raises:
        InputError: if the official network has no place for a tensor.
    """
    names = {key: official_name(key) for key in state}
    if unknown := [key for key, name in names.items() if name is None]:
        raise InputError(f"{where} holds {some(unknown)}, for which neither official TRM nor HRM has a place")
    exported = {f"{prefix}{names[key]}": tensor.float() for key, tensor in state.items()}
    for key in [f"{prefix}{name}" for name in INITIAL_STATES if f"{prefix}{name}" in exported]:
        narrow = exported[key].bfloat16()
        if torch.equal(narrow.float(), exported[key]):
            exported[key] = narrow
    return exported


def architecture(state: Mapping[str, Tensor], seq_len: int, where: str) -> dict[str, Any]:
    """Read the network off a translated state dict, as arguments of ``TRMModule``, as far as shapes tell.

    Args:
        state: the state dict in our names.
        seq_len: number of grid cells.
        where: the file, for messages.

    Raises:
        InputError: if the widths have no explanation, or there are more cells than positions.
    """

    def size(name: str, axis: int) -> int:
        return state[name].shape[axis] if name in state and state[name].dim() == 2 else 0

    hidden_size, table = size("tokens.weight", 1), size("puzzles.weights", 1)
    length = size("blocks.0.token_mlp.down.weight", 0)
    widths = {hidden_size: size("blocks.0.mlp.down.weight", 1)}
    if length:
        widths[length] = size("blocks.0.token_mlp.down.weight", 1)
    found: dict[str, Any] = {
        "hidden_size": hidden_size,
        "num_layers": len({name.split(".")[1] for name in state if name.startswith("blocks.")}),
        "mixer": "mlp" if length else "attention",
        "network": "hrm" if any(name.startswith("answer_blocks.") for name in state) else "trm",
        **_explained(widths, where),
    }
    if table not in (0, hidden_size):
        found["puzzle_size"] = table
    if "positions.weight" in state:
        found["positions"], length = "learned", size("positions.weight", 0)
    elif length:
        found["positions"] = "none"
    if length and length < seq_len:
        raise InputError(f"{where} is of a network for at most {length} cells, but these puzzles have {seq_len}")
    if length or not table:
        found["puzzle_tokens"] = max(0, length - seq_len)
    return found


def refuse_misfits(state: Mapping[str, Tensor], network: Mapping[str, Tensor], where: str) -> None:
    """Refuse a translated state dict that is not one of the network.

    Args:
        state: the state dict in our names.
        network: the state dict of the network, whose shapes alone are looked at.
        where: the file, for messages.

    Raises:
        InputError: naming what is missing, is left over, or has another shape.
    """
    missing = [str(official_name(name)) for name in network if name not in state]
    surplus = [str(official_name(name)) for name in state if name not in network]
    misshapen = [
        f"{official_name(name)} of shape {tuple(tensor.shape)} in place of {tuple(network[name].shape)}"
        for name, tensor in state.items()
        if name in network and tensor.shape != network[name].shape
    ]
    named = {"lacks": missing, "has no use for": surplus, "has": misshapen}
    if faults := " and ".join(f"{verb} {some(names)}" for verb, names in named.items() if names):
        raise InputError(f"{where} is not of one network: by its other shapes it {faults}")


def some(names: Iterable[str]) -> str:
    """List the first few of many names."""
    first, *others = names
    shown = [first, *others[:2]]
    return ", ".join(shown) + (f" and {len(others) - 2} more" if len(others) > 2 else "")


def _renamed(name: str, names: dict[str, str], stacks: dict[str, str], layers: dict[str, str]) -> str | None:
    if name in names:
        return names[name]
    match = re.fullmatch(r"([^\d]+)\.(\d+)\.([^\d]+)", name)
    if match and match[1] in stacks and match[3] in layers:
        return f"{stacks[match[1]]}.{match[2]}.{layers[match[3]]}"
    return None


def _explained(widths: Mapping[int, int], where: str) -> dict[str, Any]:
    """Find the arguments that give each size of a SwiGLU its width."""
    for multiple_of, expansion in product(MULTIPLES, EXPANSIONS):
        if all(swiglu_width(size, expansion, multiple_of) == width for size, width in widths.items()):
            return {"expansion": expansion, "multiple_of": multiple_of}
    pairs = ", ".join(f"{width} for {size}" for size, width in widths.items())
    raise InputError(f"{where} has SwiGLUs of width {pairs}, which no known expansion gives")
