"""The command ``trm export``: a trained model for other people, or its weights for other programs."""

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
        module: your own classes of the module and its network, by commas, such as my_nets.Gated; for trm.
    """
    if format == "trm" and uncompiled:
        raise InputError("uncompiled is true, but goes with the format official: the format trm has its own names")
    from trm.checkpoints.files import refuse_overwriting

    refuse_overwriting(output, force)
    return (
        _for_people(checkpoint, output, family, module)
        if format == "trm"
        else _official(checkpoint, output, uncompiled)
    )


def _for_people(checkpoint: str, output: str, family: str, module: str) -> int:
    from trm.checkpoints.files import CheckpointFiles, read_checkpoint
    from trm.checkpoints.load import load_checkpoint
    from trm.checkpoints.sharing import to_give_away

    data = load_checkpoint(checkpoint, family, module)[1]  # refuses what nobody could use
    content = read_checkpoint(checkpoint)
    model = to_give_away(content, data)
    CheckpointFiles().save_checkpoint(model, output)
    size = sum(tensor.nbytes for tensor in model[keys.STATE].values())
    print(f"{output}: the model of {checkpoint}, {size:,} bytes of weights")
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
    print(f"{output}: the weights of {checkpoint} under their official names, all of which begin with {prefix}")
    print(f"options: {' '.join(f'{name}={value}' for name, value in official_options(model).items())}")
    initial = {key.removeprefix(prefix): tensor for key, tensor in weights.items() if key.endswith("_init")}
    if wide := [name for name, tensor in initial.items() if tensor.dtype != torch.bfloat16]:
        print(f"in float32: {', '.join(wide)}, bfloat16 in official files, but here that would lose digits")
    if multiple_of != MULTIPLES[0]:
        print(f"beware: the official code rounds SwiGLU widths up to {MULTIPLES[0]}, this network to {multiple_of}")
    return 0
