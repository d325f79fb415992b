"""The command ``trm export``: a trained model to share, or its parameters for the official code."""

from typing import Literal

from trm.errors import InputError
from trm.training import checkpoint_keys as keys

COMPILED, PLAIN = "_orig_mod.model.inner.", "model.inner."


def export(
    checkpoint: str,
    *,
    output: str,
    format: Literal["trm", "official"],
    uncompiled: bool = False,
    force: bool = False,
    family: str = "",
    module: str = "",
) -> int:
    """Write a trained model to share, or its parameters for the official code.

    The parameters are those that evaluation uses, averaged if the run kept an average. The format trm is a checkpoint
    that all commands read, without local folders; training cannot resume from it.

    Settings that the official format lacks, such as the number of cycles, are printed as options of the official code.
    The order of the puzzle embedding is that of the puzzle ids here. For ARC it is the official one only if the
    checkpoint was trained with --data.numbering official, or imported.

    Args:
        checkpoint: a file written by ``trm fit`` or ``trm import``, or the name of a model of the zoo.
        output: file to write; -o for short.
        format: trm, a checkpoint without the state of training; or official, a plain state dict for the official code.
        uncompiled: name the official keys as the official code does with DISABLE_COMPILE set, without "_orig_mod.".
        force: overwrite the output.
        family: the class the checkpoint was trained on if it is your own, such as my_puzzles.Futoshiki; for trm.
        module: your own classes of the module and its network, by commas, such as my_nets.Gated; for trm.
    """
    if format == "trm" and uncompiled:
        raise InputError("uncompiled is true, but is accepted only with --format official")
    from trm.data.atomic import refuse_overwriting

    refuse_overwriting(output, force)
    return (
        _for_people(checkpoint, output, family, module)
        if format == "trm"
        else _official(checkpoint, output, uncompiled)
    )


def _for_people(checkpoint: str, output: str, family: str, module: str) -> int:
    from trm.checkpoints.files import CheckpointFiles, read_checkpoint
    from trm.checkpoints.load import load_checkpoint
    from trm.checkpoints.sharing import shareable

    data = load_checkpoint(checkpoint, family, module)[1]  # raises if the checkpoint cannot be used
    content = read_checkpoint(checkpoint)
    model = shareable(content, data)
    CheckpointFiles().save_checkpoint(model, output)
    size = sum(tensor.nbytes for tensor in model[keys.STATE].values())
    print(f"{output}: the model of {checkpoint}, {size:,} bytes of parameters")
    before, after = content[keys.FAMILY]["init_args"], model[keys.FAMILY]["init_args"]
    for name in sorted(before):
        if before[name] != after[name]:
            print(f"left out: data.{name} {before[name]!r}, now {after[name]!r}")
    return 0


def _official(checkpoint: str, output: str, uncompiled: bool) -> int:
    import torch

    from trm.checkpoints.files import CheckpointFiles, read_checkpoint
    from trm.checkpoints.official import MULTIPLES, official_options, to_official

    content = read_checkpoint(checkpoint)
    prefix = PLAIN if uncompiled else COMPILED
    state = {name.removeprefix("core."): tensor for name, tensor in content[keys.STATE].items()}
    model, multiple_of = content[keys.HYPER_PARAMETERS], content[keys.HYPER_PARAMETERS]["multiple_of"]
    weights = to_official(state, model.get("network", "trm"), prefix, checkpoint)
    CheckpointFiles().save_checkpoint(weights, output)
    print(f"{output}: the parameters of {checkpoint} under their official names, with the prefix {prefix}")
    print(f"options: {' '.join(f'{name}={value}' for name, value in official_options(model).items())}")
    initial = {key.removeprefix(prefix): tensor for key, tensor in weights.items() if key.endswith("_init")}
    if wide := [name for name, tensor in initial.items() if tensor.dtype != torch.bfloat16]:
        print(f"in float32: {', '.join(wide)}, since bfloat16, as in official files, would lose digits")
    if multiple_of != MULTIPLES[0]:
        print(f"warning: the official code rounds SwiGLU widths up to {MULTIPLES[0]}, this network to {multiple_of}")
    return 0
