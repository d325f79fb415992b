"""The command ``trm export``: a trained model for other people, or its weights for other programs."""

from typing import Any, Literal

import torch

from trm.checkpoint import CheckpointFiles, load_checkpoint, read_checkpoint, refuse_overwriting
from trm.compatibility import default_of
from trm.data import PuzzleData
from trm.errors import InputError
from trm.official import MULTIPLES, to_official

ARCHITECTURES = {
    "single_z": "trm_singlez",
    "multi_scale": "trm_hier6",
    "hrm": "hrm",
    "direct": "transformers_baseline",
}
FACTS = (
    "trm_version",
    "pytorch-lightning_version",
    "imported_from",
    "started_from",
    "global_step",
    "metrics",
    "training_puzzles",
    "table_hash",
    "seed",
)
"""Of a checkpoint, what a model that is given away says of its origin."""
COMPILED, PLAIN = "_orig_mod.model.inner.", "model.inner."


def export(
    checkpoint: str,
    *,
    output: str,
    format: Literal["trm", "official"],
    uncompiled: bool = False,
    force: bool = False,
    family: str = "",
) -> int:
    """Write a trained model to give away, or its weights for other programs.

    The weights are those that evaluation uses, averaged if the run kept an average. The format trm is a checkpoint as
    all commands read it, of which training cannot go on, and which names no folder of this machine.

    What the official format cannot hold, such as the number of cycles, is printed as options of the official code. A
    puzzle's row in the table is that of its id here: of ARC it is the official one only if the checkpoint was trained
    with --data.numbering official, or imported.

    Args:
        checkpoint: a file written by ``trm fit`` or ``trm import``, or the name of a model of the zoo.
        output: file to write; -o for short.
        format: trm, a checkpoint without what only training needs; or official, a plain state dict as the official
            code loads it.
        uncompiled: name the official keys as the official code does with DISABLE_COMPILE set, without "_orig_mod.".
        force: overwrite the output.
        family: the class the checkpoint was trained on if it is your own, such as my_puzzles.Futoshiki; for trm.
    """
    if format == "trm" and uncompiled:
        raise InputError("uncompiled is true, but goes with the format official: the format trm has its own names")
    refuse_overwriting(output, force)
    return _for_people(checkpoint, output, family) if format == "trm" else _official(checkpoint, output, uncompiled)


def _for_people(checkpoint: str, output: str, family: str) -> int:
    data = load_checkpoint(checkpoint, family)[1]  # refuses what nobody could use
    content = read_checkpoint(checkpoint)
    model = to_give_away(content, data)
    CheckpointFiles().save_checkpoint(model, output)
    size = sum(tensor.nbytes for tensor in model["state_dict"].values())
    print(f"{output}: the model of {checkpoint}, {size:,} bytes of weights")
    before, after = content["family"]["init_args"], model["family"]["init_args"]
    for name in sorted(before):
        if before[name] != after[name]:
            print(f"left out: data.{name} {before[name]!r}, now {after[name]!r}")
    return 0


def to_give_away(content: dict[str, Any], data: PuzzleData) -> dict[str, Any]:
    """Return a checkpoint of what is needed to use a model, in float32; folders become the family's defaults.

    Args:
        content: of the checkpoint of a run.
        data: its family.

    Raises:
        InputError: if the family's arguments do not go with those defaults.
    """
    state = {
        name: (tensor.float() if tensor.is_floating_point() else tensor).clone()  # torch saves all a view is of
        for name, tensor in content["state_dict"].items()
    }
    arguments = dict(content["family"]["init_args"])
    for name, others in data.folders.items():
        if name in arguments and arguments[name] not in others:
            arguments[name] = default_of(type(data), name)
    type(data)(**arguments)  # refuses what does not go together
    return {
        "state_dict": state,
        "hyper_parameters": {name: value for name, value in content["hyper_parameters"].items() if name[0] != "_"},
        "family": {"class_path": content["family"]["class_path"], "init_args": arguments},
        "averaged": content.get("averaged", "current_model_state" in content),
        **{name: content[name] for name in FACTS if name in content},
    }


def _official(checkpoint: str, output: str, uncompiled: bool) -> int:
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
