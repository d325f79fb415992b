"""``load_checkpoint``: a trained module and its family from a file."""

import importlib
import sys
from pathlib import Path
from typing import Any

from trm.checkpoints.files import read_checkpoint
from trm.data import PuzzleData
from trm.errors import InputError
from trm.module import TRMModule

FORMER_ROOT = "data"
"""Default of ``data.root`` in version 0.1, a folder in the working directory; now the user's cache folder is."""


def load_checkpoint(path: str | Path, family: str = "") -> tuple[TRMModule, PuzzleData]:
    """Load a trained model, with the averaged weights, and the family of puzzles it was trained on.

    Args:
        path: a file written by ``trm fit``, or the name of a model of the zoo.
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
    module.taken_steps, module.seed = checkpoint.get("global_step"), checkpoint.get("seed")
    return module.eval(), _family(path, checkpoint.get("family"), family)


def _family(path: str | Path, family: dict[str, Any] | None, named: str) -> PuzzleData:
    """Build the data module that a checkpoint names: of ``trm``, of an imported module, or named by the user."""
    if family is None:
        raise InputError(f"{path} does not say what family of puzzles it was trained on")
    class_path = family["class_path"]
    module_name = class_path.rpartition(".")[0]
    if named and named != class_path:
        raise InputError(f"{path} was trained on {class_path}, not on {named}")
    if not named and module_name not in sys.modules and module_name.split(".")[0] != "trm":
        raise InputError(f"{path} was trained on {class_path}, which is not part of trm: pass --family {class_path}")
    arguments = dict(family["init_args"])
    if module_name == "trm.data" and arguments.get("root") == FORMER_ROOT:
        arguments["root"] = None
    return find_family(class_path, f"{path} was trained on")(**arguments)


def find_family(class_path: str, told: str) -> type[PuzzleData]:
    """Import a family by its class.

    Args:
        class_path: module and name of the class.
        told: who says that it is the family; what a refusal begins with.

    Raises:
        InputError: if there is no such class, or it is not a family.
    """
    module_name, _, class_name = class_path.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:  # the last for no module at all
        raise InputError(f"{told} {class_path}, which does not exist here: {error}") from error
    if not (isinstance(cls, type) and issubclass(cls, PuzzleData)):
        raise InputError(f"{told} {class_path}, which is not a PuzzleData")
    return cls
