"""``load_checkpoint``: a trained module and its family from a file, and when classes of the user's own are imported.

A checkpoint names classes by their dotted path: the family of puzzles and, where they are the user's own, the module
and the network. A class is used if it is part of ``trm``, if its Python module has been imported already, or if the
caller names it. A checkpoint alone never makes Python import anything.
"""

import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeVar

from lightning_utilities.core.rank_zero import rank_zero_info

from trm.arguments import class_path, find_class
from trm.checkpoints.files import read_checkpoint
from trm.checkpoints.schema import check_arguments
from trm.data import Mixture, PuzzleData
from trm.errors import InputError
from trm.inference.choice import InferenceChoice
from trm.module import TRMModule
from trm.nn import NETWORKS, TRM
from trm.training import checkpoint_keys as keys
from trm.training.compatibility import SIZES, free_sizes, misfits, refuse_other_sizes, size_in_words

Base = TypeVar("Base")

FORMER_ROOT = "data"
"""Default of ``data.root`` in version 0.1, in the working directory; the default is now the user's cache folder."""


def load_checkpoint(
    path: str | Path, family: str = "", module: str = "", data: PuzzleData | None = None
) -> tuple[TRMModule, PuzzleData]:
    """Load a trained model, with the averaged parameters, and the family of puzzles it was trained on.

    Args:
        path: a file written by ``trm fit``, a hub folder, or the name of a model.
        family: the class the checkpoint was trained on if it is your own, such as "my_puzzles.Futoshiki"; of a
            mixture the name of the family to use, such as "maze", and your own classes, separated by commas.
        module: your own classes of the module and its network, separated by a comma, such as
            "my_models.MyTRM,my_nets.Gated".
        data: the data module, in place of the one that the checkpoint names. The checkpoint of a run on plain data
            loaders names none. Its puzzles may have another size where no parameter depends on it: with attention and
            without learned positions another number of cells, and in the network symmetric of symbols.

    Returns:
        The module in evaluation mode on the CPU, and the data module; no data is read.

    Raises:
        InputError: if the checkpoint cannot be read, does not fit ``data``, or names a class that is neither part of
            ``trm`` nor imported nor named here.
    """
    checkpoint = read_checkpoint(path)
    if data is None:
        data = load_family(path, checkpoint, family)
    elif family and family != class_path(type(data)):
        raise InputError(f"family is {family}, but data is a {class_path(type(data))}; pass one of the two")
    theirs = checkpoint[keys.HYPER_PARAMETERS]
    refuse_other_sizes(data, theirs, path, free_sizes(theirs))
    same = all(getattr(data, name) == theirs[name] for name in ("vocab_size", "seq_len"))
    sizes = {} if same else {name: getattr(data, name) for name in SIZES}
    built = _module(path, checkpoint, [name.strip() for name in module.split(",") if name.strip()], sizes)
    return built.eval(), data


def resized(module: TRMModule, data: PuzzleData) -> TRMModule:
    """Return a module for puzzles of the size of ``data`` that shares the parameters of a trained one; itself if equal.

    A message says that the size is another than in training.

    Raises:
        InputError: if a parameter depends on the size.
    """
    theirs = dict(module.hparams)
    if all(getattr(data, name) == theirs[name] for name in ("vocab_size", "seq_len")):
        return module
    refuse_other_sizes(data, theirs, "the model", free_sizes(theirs))
    kind = type(module)
    other = _created(kind, module.init_args | {name: getattr(data, name) for name in SIZES}, "the model")
    if faults := misfits(module.state_dict(), other.state_dict()):
        raise InputError(f"the model does not fit puzzles of another size than in training: it {faults}")
    other.load_state_dict(module.state_dict(), assign=True)
    for name in ("trained_steps", "init_seed", "abstain_below", "inference_choice"):
        setattr(other, name, getattr(module, name))
    trained, here = (size_in_words(cells) for cells in (theirs["seq_len"], data.seq_len))
    rank_zero_info(f"The model was trained on {trained}, this is {here}, for which its confidence is not calibrated.")
    return other.to(module.core.tokens.weight).train(module.training)


def known_class(path: str, base: type[Base], named: Collection[str], told: str, remedy: str) -> type[Base]:
    """Return a class that a checkpoint names, if the rule at the top of this file allows it.

    Args:
        path: its dotted path.
        base: the class that it must be a subclass of.
        named: dotted paths that the user gave.
        told: beginning of the message of an error.
        remedy: its end: what to pass.

    Raises:
        InputError: if the class may not be imported, does not exist, or is not a subclass of ``base``.
    """
    module_name = path.rpartition(".")[0]
    if path not in named and module_name not in sys.modules and module_name.split(".")[0] != "trm":
        raise InputError(f"{told} {path}, which is not part of trm: pass {remedy}")
    return find_class(path, base, told)


def _module(path: str | Path, checkpoint: dict[str, Any], named: list[str], sizes: dict[str, Any]) -> TRMModule:
    """Return the module for puzzles of some sizes, built from the classes that the checkpoint names, and trained."""
    hyper_parameters = checkpoint[keys.HYPER_PARAMETERS]
    own = checkpoint.get(keys.MODULE, {"class_path": class_path(TRMModule), "init_args": hyper_parameters})
    network = hyper_parameters.get("network", "trm")
    ours = {class_path(TRMModule), *NETWORKS}
    used = [name for name in (own["class_path"], network) if name not in ours]
    if unused := [name for name in named if name not in used]:
        theirs = " and ".join(used) or "classes of trm only"
        raise InputError(f"--module names {unused[0]}, but {path} was trained with {theirs}")
    told, remedy = f"{path} was trained with", f"--module {','.join(used)}"
    kind = known_class(own["class_path"], TRMModule, named, told, remedy)
    if network not in NETWORKS:
        known_class(network, TRM, named, told, remedy)
    module = _built(path, checkpoint, kind, own["init_args"] | sizes)
    if faults := misfits(checkpoint[keys.STATE], module.state_dict()):
        raise InputError(f"{path} does not fit the classes {class_path(kind)} and {network}: it {faults}")
    module.load_state_dict(checkpoint[keys.STATE])
    module.trained_steps, module.init_seed = checkpoint.get(keys.STEP), checkpoint.get(keys.SEED)
    module.abstain_below = checkpoint.get(keys.METRICS, {}).get(keys.ABSTAIN_BELOW)
    module.inference_choice = InferenceChoice.stored(checkpoint.get(keys.INFERENCE))
    return module


def _built(path: str | Path, checkpoint: dict[str, Any], kind: type[Base], arguments: dict[str, Any]) -> Base:
    """Return an object of a class with the arguments that a checkpoint has for it."""
    check_arguments(kind, arguments, checkpoint[keys.VERSION], path)
    return _created(kind, arguments, path)


def _created(kind: type[Base], arguments: dict[str, Any], path: str | Path) -> Base:
    """Return an object of a class.

    Raises:
        InputError: if it cannot be built, whatever the reason; ``path`` names what the arguments are of.
    """
    try:
        return kind(**arguments)
    except InputError:
        raise
    except Exception as error:  # the arguments are those of a file, and the class may be anybody's
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise InputError(f"{path} has arguments of which {class_path(kind)} cannot be built: {reason}") from error


def load_family(path: str | Path, checkpoint: dict[str, Any], named: str) -> PuzzleData:
    """Return the data module that a checkpoint names, otherwise the one that the user names, with its defaults.

    Args:
        path: name of the checkpoint, for messages.
        checkpoint: its content, of which only family and version are used.
        named: dotted path of the user's own family; "" for none.

    Raises:
        InputError: if the family may not be imported, or cannot be built from its arguments.
    """
    family = checkpoint.get(keys.FAMILY)
    if family is None:
        if not named:
            raise InputError(
                f"{path} does not name the family of puzzles it was trained on: pass --family module.Class, or in "
                "Python load_checkpoint(path, data=...)"
            )
        return find_class(named, PuzzleData, "--family is")()
    if family["class_path"] == class_path(Mixture):
        data = _mixture(path, checkpoint, [name.strip() for name in named.split(",") if name.strip()])
    elif named and named != family["class_path"]:
        raise InputError(f"{path} was trained on {family['class_path']}, not on {named}")
    else:
        data = _built_family(path, checkpoint, family, [named])
    data.recall(checkpoint.get(keys.HELD_OUT, {}), family["init_args"])
    return data


def _mixture(path: str | Path, checkpoint: dict[str, Any], named: list[str]) -> PuzzleData:
    """Return the mixture that a checkpoint names, restricted to a family that the user names, if there is one."""
    own, only = ([name for name in named if ("." in name) == dotted] for dotted in (True, False))
    if len(only) > 1:
        raise InputError(f"--family names {' and '.join(only)} of the mixture; accepted is one of its families")
    arguments = dict(checkpoint[keys.FAMILY]["init_args"])
    families = [_built_family(path, checkpoint, family, own) for family in arguments.get("families", [])]
    arguments |= {"families": families} | ({"only": only[0]} if only else {})
    return _built(path, checkpoint, Mixture, arguments)


def _built_family(path: str | Path, checkpoint: dict[str, Any], family: dict[str, Any], named: list[str]) -> PuzzleData:
    """Return a data module from its class path and arguments in a checkpoint."""
    kind, arguments = family["class_path"], dict(family["init_args"])
    if kind.startswith("trm.data.") and arguments.get("root") == FORMER_ROOT:
        arguments["root"] = None
    found = known_class(kind, PuzzleData, named, f"{path} was trained on", f"--family {kind}")
    data = _built(path, checkpoint, found, arguments)
    data.take_over(data.read_off, str(path))
    return data
