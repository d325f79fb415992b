"""Reading checkpoints: safely, and with one clear sentence about those that cannot be used."""

import importlib
import pickle
import sys
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch

from trm.data import PuzzleData
from trm.errors import InputError
from trm.module import TRMModule

NEEDED = ("state_dict", "hyper_parameters", "trm_version")


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint of this project; nothing in it is executed.

    Raises:
        InputError: if the file is missing, cut short, holds code, or is something else.
    """
    if not Path(path).is_file():
        raise InputError(f"there is no checkpoint at {path}")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} is not a checkpoint, or holds Python objects beyond tensors and plain values, which are not loaded"
        ) from error
    except (RuntimeError, EOFError, BadZipFile, OSError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} is not a whole checkpoint: {reason}") from error
    missing = [key for key in NEEDED if not (isinstance(checkpoint, dict) and key in checkpoint)]
    if missing:
        raise InputError(f"{path} is not a checkpoint written by trm: it has no {', '.join(missing)}")
    return dict(checkpoint)


def load_checkpoint(path: str | Path, family: str = "") -> tuple[TRMModule, PuzzleData]:
    """Load a trained model, with the averaged weights, and the family of puzzles it was trained on.

    Args:
        path: a file written by ``trm fit``.
        family: the family's class, such as "my_puzzles.Futoshiki", if it is not one of this package. A checkpoint
            alone never makes a module be imported.

    Returns:
        The module in evaluation mode on the CPU, and the data module; no data is read.

    Raises:
        InputError: if the checkpoint cannot be used.
    """
    checkpoint = read_checkpoint(path)
    try:
        arguments = {name: value for name, value in checkpoint["hyper_parameters"].items() if name[0] != "_"}
        module = TRMModule(**arguments)
        module.load_state_dict(checkpoint["state_dict"])
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}, written by trm {checkpoint['trm_version']}, does not fit this version of the network: {reason}"
        ) from error
    return module.eval(), _family(path, checkpoint.get("family"), family)


def _family(path: str | Path, family: dict[str, Any] | None, named: str) -> PuzzleData:
    """Build the data module that a checkpoint names: of ``trm``, of an imported module, or named by the user."""
    if family is None:
        raise InputError(f"{path} does not say what family of puzzles it was trained on")
    class_path = family["class_path"]
    module_name, _, class_name = class_path.rpartition(".")
    if named and named != class_path:
        raise InputError(f"{path} was trained on {class_path}, not on {named}")
    if not named and module_name not in sys.modules and module_name.split(".")[0] != "trm":
        raise InputError(f"{path} was trained on {class_path}, which is not part of trm: pass --family {class_path}")
    try:
        cls = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{path} was trained on {class_path}, which does not exist here: {error}") from error
    if not (isinstance(cls, type) and issubclass(cls, PuzzleData)):
        raise InputError(f"{path} was trained on {class_path}, which is not a PuzzleData")
    return cls(**family["init_args"])
