"""The command ``trm export``: a trained model to share, for the official code, or for other runtimes."""

from itertools import count
from typing import TYPE_CHECKING, Any, Literal

from trm.errors import InputError
from trm.training import checkpoint_keys as keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trm.export.model import Exported

WRITTEN = {"onnx": ("an ONNX model", ".onnx"), "pt2": ("a program of torch.export", ".pt2")}
"""What is written in a format, with the ending of its file; in the others it is a checkpoint."""
COMPILED, PLAIN = "_orig_mod.model.inner.", "model.inner."


def export(
    checkpoint: str,
    *,
    output: str = "",
    format: Literal["trm", "hub", "official", "onnx", "pt2"],
    dtype: Literal["float32", "float16", "int8"] = "float32",
    whole: bool = False,
    kit: str = "",
    uncompiled: bool = False,
    force: bool = False,
    family: str = "",
    module: str = "",
) -> int:
    """Write a trained model to share, for the official code, or for other runtimes.

    The parameters are those that evaluation uses, averaged if the run kept an average. The format trm is a checkpoint
    that all commands read, without local folders; training cannot resume from it. The format hub is the same as a
    folder for the Hugging Face hub: model.safetensors, config.json and a card; trm push uploads it.

    onnx and pt2 are one supervision step for a batch of any size; the loop over steps belongs to the host, as in
    trm.edge.EdgeSolver, which needs no torch. The file is compared with torch on 100 puzzles before it is written.

    Settings that the official format lacks, such as the number of cycles, are printed as options of the official code.
    The order of the puzzle embedding is that of the puzzle ids here. For ARC it is the official one only if the
    checkpoint was trained with --data.numbering official, or imported.

    Args:
        checkpoint: a file written by ``trm fit`` or ``trm import``, or the name of a model; see ``trm zoo --help``.
        output: file to write, for hub a folder; -o for short. Required without --kit.
        format: trm, a checkpoint without the state of training; hub, a folder for the Hugging Face hub; official, a
            plain state dict for the official code; onnx, for onnxruntime and the edge; or pt2, a program of
            torch.export.
        dtype: type in which onnx stores the weights; the computation is in float32.
        whole: write the loop over all supervision steps, for runtimes without a host language; for onnx.
        kit: folder to write with the model, a runner in one file and a README, for a machine with numpy and
            onnxruntime; for onnx.
        uncompiled: name the official keys as the official code does with DISABLE_COMPILE set, without "_orig_mod.".
        force: overwrite the output.
        family: the class the checkpoint was trained on if it is your own, such as my_puzzles.Futoshiki; for all
            formats but official.
        module: your own classes of the module and its network, by commas, such as my_nets.Gated; for all formats but
            official.
    """
    from pathlib import Path

    from trm.data.atomic import CHECKPOINT, check_ending, check_folder, refuse_overwriting
    from trm.zoo import local

    own = "" if dtype == "float32" else dtype
    _refuse_idle_options(format, uncompiled=uncompiled, dtype=own, whole=whole, kit=kit)
    if not (output or kit):
        raise InputError("there is nothing to write: pass -o FILE, or --format onnx with --kit FOLDER")
    if whole and kit:
        raise InputError("whole is true and kit is a folder, but the runner of a kit needs the step model; pass one")
    if format == "hub":
        return _for_hub(checkpoint, output, force, family, module)
    if output:
        check_ending(output, *WRITTEN.get(format, CHECKPOINT))
        refuse_overwriting(output, force, local(checkpoint))
    if kit:
        from trm.export.kit import FILES

        check_folder(Path(kit), FILES, force, "kit", checkpoint)
    if format == "trm":
        return _for_people(checkpoint, output, family, module)
    if format == "official":
        return _official(checkpoint, output, uncompiled)
    from trm.export.model import export_onnx, export_pt2

    exported = (
        export_pt2(checkpoint, family, module)
        if format == "pt2"
        else export_onnx(checkpoint, dtype, whole, family, module)
    )
    _write(exported, output, kit)
    return 0


def _refuse_idle_options(format: str, **given: object) -> None:
    """Refuse an option that the format does not have."""
    for name, value in given.items():
        needed = "official" if name == "uncompiled" else "onnx"
        if value and format != needed:
            shown = "true" if value is True else value
            raise InputError(f"{name} is {shown}, but is accepted only with --format {needed}")


def _write(exported: "Exported", output: str, folder: str) -> None:
    """Write a checked export to a file, to the folder of a kit, or both."""
    from pathlib import Path

    from trm.data.atomic import atomic_write
    from trm.export.kit import kit

    if output:
        with atomic_write(Path(output), "wb") as file:
            file.write(exported.content)
        print(f"{output}: {len(exported.content):,} bytes")
    if folder:
        _write_folder(folder, kit(exported.content, exported.description, exported.puzzle))
    print("\n".join(exported.checks))


def _write_folder(folder: str, files: "Mapping[str, bytes]") -> None:
    """Write a folder at once, and print its files."""
    from pathlib import Path

    from trm.data.atomic import atomic_folder

    atomic_folder(Path(folder), files)
    for name, content in files.items():
        print(f"{Path(folder, name)}: {len(content):,} bytes")


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
    _print_left_out(content, model)
    return 0


def _for_hub(checkpoint: str, output: str, force: bool, family: str, module: str) -> int:
    from pathlib import Path

    from trm.checkpoints.files import read_checkpoint
    from trm.data.atomic import check_folder
    from trm.export.hub import FILES, export_hub

    check_folder(Path(output), FILES, force, "hub folder", checkpoint)
    files, model = export_hub(checkpoint, family, module)
    _write_folder(output, files)
    _print_left_out(read_checkpoint(checkpoint), model)
    return 0


def _print_left_out(content: dict[str, Any], model: dict[str, Any]) -> None:
    """Print the local folders that a checkpoint names and the model to share does not."""
    before, after = content.get(keys.FAMILY, model[keys.FAMILY]), model[keys.FAMILY]
    parts = [("data", before, after)]
    if "families" in before["init_args"]:  # of a mixture
        names = (f"data.families[{number}]" for number in count())
        parts = [*zip(names, before["init_args"]["families"], after["init_args"]["families"], strict=False)]
    for prefix, ours, theirs in parts:
        for name, value in sorted(ours["init_args"].items()):
            if value != (now := theirs["init_args"][name]):
                print(f"left out: {prefix}.{name} {value!r}, now {now!r}")


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
