"""Reads the golden fixtures, and pairs the numbers in them with those of this project."""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from paths import GOLDEN
from safetensors.torch import load_file
from torch import Tensor

from trm.batch import Batch
from trm.checkpoints.official import from_official
from trm.checkpoints.official import our_name as translate
from trm.data import PuzzleData, Samples, Verdict
from trm.data.samples import Tokens
from trm.nn import TRM
from trm.nn.variants import NetworkName

MODELS = ["attn_learned", "attn_rope", "attn_rope_nopuzzle", "attn_rope_pademb", "mlp_t_none", "mlp_t_nopuzzle"]

LOGITS = {"atol": 2e-4}  # of the answer, and the features they are read from; recursion amplifies rounding
SCALARS = {"atol": 5e-5}  # halting logits and losses
GRADIENTS = {"atol": 2e-6, "rtol": 2e-4}
WEIGHTS = {"atol": 1e-5}
SUMS = {"atol": 2e-3, "rtol": 1e-5}
BFLOAT16 = {"atol": 0.1}


def our_name(official: str, network: NetworkName = "trm") -> str:
    """Translate a key of the official state dict, or of a tensor that is in none: the rows that collect gradient."""
    bare = official.removeprefix("model.inner.")
    return translate(bare, network) or bare.replace("puzzle_emb.", "puzzles.")


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
    return from_official(state_dict(name), name)[1]


def state_dict(name: str) -> dict[str, Tensor]:
    """The official state dict as the official code would hold it."""
    stored = load_file(GOLDEN / name / "state_dict_bf16exact.safetensors")
    return {key: tensor if key.endswith("_init") else tensor.float() for key, tensor in stored.items()}


def formula_state_dict(name: str) -> dict[str, Tensor]:
    """The official state dict of a network in ``formula``, which is computed and stored nowhere."""
    golden = json.loads((GOLDEN / "formula" / "model_golden.json").read_text())[name]
    weights = {}
    for k, (key, shape) in enumerate(golden["state_dict_sorted"]):
        size = 1.0 if key.endswith("_init") else 0.25
        angles = 0.37 * torch.arange(math.prod(shape), dtype=torch.float64) + 1.3 * k
        weights[key] = (size * angles.sin()).view(shape).float()
    return weights


def random_state_dict(
    mixer: str, vocab: int, cells: int, rows: int = 1, hidden: int = 512, hrm: bool = False
) -> dict[str, Tensor]:
    """A compiled TRM's or HRM's state dict in its usual size, by the shapes that the official code gives it."""
    length, width = cells + (1 if hrm else 16), -(-round(hidden * 8 / 3) // 256) * 256
    token_width = -(-round(length * 8 / 3) // 256) * 256
    shapes: dict[str, tuple[int, ...]] = {
        "H_init": (hidden,),
        "L_init": (hidden,),
        "embed_tokens.embedding_weight": (vocab, hidden),
        "lm_head.weight": (vocab, hidden),
        "q_head.weight": (2, hidden),
        "q_head.bias": (2,),
        "puzzle_emb.weights": (rows, hidden),
    }
    stacks = [("H_level", 4), ("L_level", 4)] if hrm else [("L_level", 2)]
    for layer in (f"{stack}.layers.{number}." for stack, layers in stacks for number in range(layers)):
        if mixer == "mlp":
            shapes[f"{layer}mlp_t.gate_up_proj.weight"] = (2 * token_width, length)
            shapes[f"{layer}mlp_t.down_proj.weight"] = (length, token_width)
        else:
            shapes[f"{layer}self_attn.qkv_proj.weight"] = (3 * hidden, hidden)
            shapes[f"{layer}self_attn.o_proj.weight"] = (hidden, hidden)
        shapes[f"{layer}mlp.gate_up_proj.weight"] = (2 * width, hidden)
        shapes[f"{layer}mlp.down_proj.weight"] = (hidden, width)
    generator = torch.Generator().manual_seed(0)
    weights = {
        f"_orig_mod.model.inner.{key}": torch.randn(shape, generator=generator) / 25 for key, shape in shapes.items()
    }
    return {key: tensor.bfloat16() if key.endswith("_init") else tensor for key, tensor in weights.items()}


class Cells(PuzzleData):
    """A family of any dimensions, without rows or rules."""

    def __init__(self, vocab_size: int, seq_len: int, num_puzzles: int) -> None:
        super().__init__()
        self.vocab_size, self.seq_len, self.num_puzzles = vocab_size, seq_len, num_puzzles

    def load(self, split: str) -> Samples:
        raise NotImplementedError

    def parse(self, text: str) -> Tokens:
        raise NotImplementedError

    def write(self, tokens: Tokens) -> str:
        raise NotImplementedError

    def verify(self, question: Tokens, answer: Tokens) -> Verdict:
        raise NotImplementedError


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
    The tests assert it, and ``benchmarks/parity/measure.py`` measures how far apart it is.
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
