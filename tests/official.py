"""Reads the golden fixtures: models of this project with the weights of the official code."""

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from trm.batch import Batch
from trm.nn import TRM

GOLDEN = Path(__file__).parent / "golden"
MODELS = ["attn_learned", "attn_rope", "attn_rope_nopuzzle", "attn_rope_pademb", "mlp_t_none", "mlp_t_nopuzzle"]

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


def assert_tensors_match(stored: dict[str, Tensor], prefix: str, ours: dict[str, Tensor], **tolerance: float) -> None:
    """Compare every tensor of ``stored`` under ``prefix``, whole or strided, with ours of the same name."""
    compared = 0
    for key, expected in stored.items():
        if not key.startswith(prefix):
            continue
        name, _, form = key.removeprefix(prefix).partition("@")
        actual = ours[our_name(name)].detach()
        if form == "stats":
            flat = actual.double()
            actual = torch.stack((flat.sum(), flat.abs().sum(), flat.norm()))
            torch.testing.assert_close(actual, expected, rtol=1e-4, atol=actual.numel() * 1e-3, msg=key)
        else:
            if form:
                actual = actual.flatten()[:: int(form.removeprefix("stride"))]
            torch.testing.assert_close(actual, expected, **tolerance, msg=lambda text, key=key: f"{key}: {text}")
        compared += 1
    assert compared, f"nothing stored under {prefix}"
