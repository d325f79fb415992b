"""Reads the golden fixtures, and pairs the numbers in them with those of this project."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from trm.batch import Batch
from trm.nn import TRM

GOLDEN = Path(__file__).parent / "golden"
MODELS = ["attn_learned", "attn_rope", "attn_rope_nopuzzle", "attn_rope_pademb", "mlp_t_none", "mlp_t_nopuzzle"]

LOGITS = {"atol": 2e-4}  # of the answer, and the features they are read from; recursion amplifies rounding
SCALARS = {"atol": 5e-5}  # halting logits and losses
GRADIENTS = {"atol": 2e-6, "rtol": 2e-4}
WEIGHTS = {"atol": 1e-5}
SUMS = {"atol": 2e-3, "rtol": 1e-5}
BFLOAT16 = {"atol": 0.1}

RENAMES = [
    (r"^model\.inner\.", ""),
    (r"^H_init$", "y_init"),
    (r"^L_init$", "z_init"),
    (r"^embed_tokens\.embedding_weight$", "tokens.weight"),
    (r"^embed_pos\.embedding_weight$", "positions.weight"),
    (r"^lm_head\.", "answer_head."),
    (r"^q_head\.", "halting_head."),
    (r"^puzzle_emb\.", "puzzles."),
    (r"^L_level\.layers\.", "blocks."),
    (r"\.self_attn\.qkv_proj\.", ".attention.qkv."),
    (r"\.self_attn\.o_proj\.", ".attention.out."),
    (r"\.mlp_t\.", ".token_mlp."),
    (r"\.gate_up_proj\.", ".gate_up."),
    (r"\.down_proj\.", ".down."),
]

VARIANT_RENAMES = {
    "trm_singlez_mlp": ("L_init", "y_init"),
    "hrm": ("H_level.layers.", "answer_blocks."),
    "transformer_baseline": ("H_level.layers.", "blocks."),
}


def our_name(official: str, network: str = "") -> str:
    """Translate a key of the official state dict; the official name of a variant of the network may change it."""
    official = official.replace(*VARIANT_RENAMES.get(network, ("", "")))
    for pattern, replacement in RENAMES:
        official = re.sub(pattern, replacement, official)
    return official


def config(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / name / "config.json").read_text())


def hyper_parameters(model: dict[str, Any]) -> dict[str, Any]:
    """Translate the official constructor fields; those that TRM and TRMModule share."""
    tokens = model["puzzle_emb_len"] or -(-model["puzzle_emb_ndim"] // model["hidden_size"])
    return {
        "vocab_size": model["vocab_size"],
        "seq_len": model["seq_len"],
        "num_puzzles": model["num_puzzle_identifiers"] if model["puzzle_emb_ndim"] else 0,
        "hidden_size": model["hidden_size"],
        "num_layers": model["L_layers"],
        "num_heads": model["num_heads"],
        "expansion": model["expansion"],
        "mixer": "mlp" if model.get("mlp_t") else "attention",
        "positions": {"rope": "rotary"}.get(model["pos_encodings"], model["pos_encodings"]),
        "cycles": model["H_cycles"],
        "latent_steps": model["L_cycles"],
        "puzzle_tokens": tokens,
        "puzzle_size": model["puzzle_emb_ndim"],
    }


def weights(name: str) -> dict[str, Tensor]:
    """The official state dict in our names, float32."""
    stored = load_file(GOLDEN / name / "state_dict_bf16exact.safetensors")
    return {our_name(key): tensor.float() for key, tensor in stored.items()}


def model(name: str, continue_loss: bool = False) -> TRM:
    core = TRM(**hyper_parameters(config(name)["model"]), continue_loss=continue_loss)
    core.load_state_dict(weights(name))
    return core


def batch(name: str, number: int) -> Batch:
    stored = load_file(GOLDEN / name / "inputs.safetensors")
    return Batch(*(stored[f"batch{number}.{field}"] for field in ("inputs", "labels", "puzzle_identifiers")))


@dataclass
class Pair:
    """What this project and the official code make of one quantity, and how far apart that may be.

    At most atol + rtol * |official|: nothing unless it is said. Numbers come as tensors, or in lists as JSON has them.
    The tests assert it, and ``benchmarks/equality.py`` tells how far apart it is.
    """

    quantity: str
    ours: Any
    official: Any
    atol: float = 0.0
    rtol: float = 0.0

    def __post_init__(self) -> None:
        self.ours, self.official = _tensor(self.ours), _tensor(self.official)


def _tensor(numbers: Any) -> Tensor:
    if isinstance(numbers, Tensor):
        return numbers.detach().clone()  # an optimizer may go on
    tensor = torch.tensor(numbers)
    return torch.tensor(numbers, dtype=torch.float64) if tensor.is_floating_point() else tensor


def assert_match(pairs: Iterable[Pair]) -> None:
    compared = 0
    for pair in pairs:
        torch.testing.assert_close(
            pair.ours,
            pair.official,
            atol=pair.atol,
            rtol=pair.rtol,
            msg=lambda text, quantity=pair.quantity: f"{quantity}: {text}",
        )
        compared += pair.ours.numel()
    assert compared


def stored_pairs(
    quantity: str, stored: dict[str, Tensor], prefix: str, ours: dict[str, Tensor], **tolerance: float
) -> Iterator[Pair]:
    """Pair every tensor of ``stored`` under ``prefix`` with ours of the same name: whole, strided, or its sums."""
    selected = {key.removeprefix(prefix): tensor for key, tensor in stored.items() if key.startswith(prefix)}
    assert selected, f"nothing stored under {prefix}"
    for key, official in selected.items():
        name, _, form = key.partition("@")
        actual = ours[our_name(name)].detach()
        if form == "stats":
            flat = actual.double()
            sums = torch.stack((flat.sum(), flat.abs().sum(), flat.norm()))
            yield Pair(f"{quantity}, sums and norms", sums, official, **SUMS)
        elif form:
            yield Pair(quantity, actual.flatten()[:: int(form.removeprefix("stride"))], official, **tolerance)
        else:
            yield Pair(quantity, actual, official, **tolerance)
