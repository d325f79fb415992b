"""The command ``trm export``: the weights of a checkpoint for other programs."""

from typing import Any, Literal

import torch

from trm.checkpoint import CheckpointFiles, read_checkpoint, refuse_overwriting
from trm.official import MULTIPLES, to_official

ARCHITECTURES = {
    "single_z": "trm_singlez",
    "multi_scale": "trm_hier6",
    "hrm": "hrm",
    "direct": "transformers_baseline",
}
COMPILED, PLAIN = "_orig_mod.model.inner.", "model.inner."


def export(
    checkpoint: str, *, output: str, format: Literal["official"], uncompiled: bool = False, force: bool = False
) -> int:
    """Write the weights of a checkpoint for other programs.

    They are those that evaluation uses, averaged if the run kept an average. What the file cannot hold, such as the
    number of cycles, is printed as options of the official code. A puzzle's row in the table is that of its id here: of
    ARC it is the official one only if the checkpoint was trained with --data.numbering official, or imported.

    Args:
        checkpoint: a file written by ``trm fit`` or ``trm import``.
        output: file to write; -o for short.
        format: official, a plain state dict as the official code loads it.
        uncompiled: name the keys as the official code does with DISABLE_COMPILE set, without "_orig_mod.".
        force: overwrite the output.
    """
    refuse_overwriting(output, force)
    content = read_checkpoint(checkpoint)
    prefix = PLAIN if uncompiled else COMPILED
    state = {name.removeprefix("core."): tensor for name, tensor in content["state_dict"].items()}
    model, multiple_of = content["hyper_parameters"], content["hyper_parameters"]["multiple_of"]
    weights = to_official(state, model.get("network", "trm"), prefix, checkpoint)
    CheckpointFiles().save_checkpoint(weights, output)
    print(f"{output}: the weights of {checkpoint} under their official names, all of which begin with {prefix}")
    print(f"options: {' '.join(f'{name}={value}' for name, value in official_options(model).items())}")
    initial = {key.removeprefix(prefix): tensor for key, tensor in weights.items() if key.endswith("_init")}
    if wide := [name for name, tensor in initial.items() if tensor.dtype != torch.bfloat16]:
        print(f"in float32: {', '.join(wide)}, bfloat16 in official files, but here that would lose digits")
    if multiple_of != MULTIPLES[0]:
        print(f"beware: the official code rounds SwiGLU widths up to {MULTIPLES[0]}, this network to {multiple_of}")
    return 0


def official_options(model: dict[str, Any]) -> dict[str, Any]:
    """Return the options under which the official code builds a network, from the arguments of ``TRMModule``."""
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
