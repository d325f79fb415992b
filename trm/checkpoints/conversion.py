"""Converts a checkpoint of the official code: its network from names and shapes, the rest from the recipe."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import lightning
import torch
from jsonargparse import ArgumentError, ArgumentParser
from torch import Tensor

import trm
from trm.arguments import find_class
from trm.checkpoints.files import read_pickle
from trm.checkpoints.hub import read_safetensors
from trm.checkpoints.official import architecture, from_official, refuse_misfits
from trm.data import ARC, PuzzleData
from trm.data.arc.numbering import CONCEPT_ROWS, OFFICIAL_ROWS
from trm.errors import InputError, counted
from trm.module import TRMModule
from trm.nn.variants import NetworkName
from trm.training import checkpoint_keys as keys
from trm.training.compatibility import some

TABLE = "puzzle_embedding.weights"


class Recipe(NamedTuple):
    """The family of an official recipe, and n, which the shapes do not determine."""

    class_path: str
    init_args: dict[str, Any]
    latent_steps: int


RECIPES = {
    "sudoku": Recipe("trm.data.Sudoku", {"source": "hub"}, 6),
    "maze": Recipe("trm.data.Maze", {"source": "hub", "symmetries": "none"}, 4),
    "arc": Recipe("trm.data.ARC", {"numbering": "official"}, 4),
}

USUAL: dict[NetworkName, dict[str, Any]] = {
    "hrm": {"cycles": 2, "latent_steps": 2, "puzzle_tokens": 1, "continue_loss": True},
    "direct": {"cycles": 1, "latent_steps": 1, "num_heads": 12, "puzzle_tokens": 1},
}
"""Settings of the recipes of networks other than TRM that the shapes do not determine."""


class Conversion(NamedTuple):
    """A converted checkpoint, and where its settings come from."""

    checkpoint: dict[str, Any]
    puzzles: PuzzleData
    from_shapes: dict[str, Any]
    """Settings that follow from the shapes of the tensors."""
    assumed: dict[str, Any]
    """Settings of the official recipe that the shapes do not determine."""
    parameters: int
    rows: int
    """Puzzle ids in the file."""
    left_out: int
    """Puzzle ids that were left out, the last ones."""


def convert(file: str, family: str, data: dict[str, Any], given: dict[str, Any]) -> Conversion:
    """Convert a checkpoint of the official TRM or HRM code.

    Args:
        file: a plain state dict, as ``torch.save`` or safetensors wrote it.
        family: sudoku, maze or arc; or the path of the user's own class.
        data: arguments of the family.
        given: arguments of the network that replace those of the official recipe.

    Raises:
        InputError: if the file is not such a checkpoint, or contradicts the family or the arguments.
    """
    network, state = from_official(read_weights(file), file)
    recipe = _recipe(family, state)
    puzzles = _build(recipe, data)
    found = _found(network, state, puzzles, given, file)
    usual: dict[str, Any] = {"cycles": 3, "latent_steps": recipe.latent_steps}
    if found["mixer"] == "attention":
        usual |= {"num_heads": 8, "positions": "rotary", "puzzle_tokens": 16}
    usual |= USUAL.get(network, {})
    assumed = {name: value for name, value in usual.items() if name not in given and name not in found}
    left_out = _fit_table(state, puzzles, file)
    with torch.device("meta"):  # shapes without memory
        module = TRMModule(puzzles.vocab_size, puzzles.seq_len, puzzles.num_puzzles, **{**assumed, **given, **found})
    refuse_misfits(network, state, module.core.state_dict(), file)
    checkpoint = {
        keys.STATE: {f"core.{name}": tensor for name, tensor in state.items()},
        keys.HYPER_PARAMETERS: dict(module.hparams),
        keys.FAMILY: puzzles.family,
        keys.VERSION: trm.__version__,
        keys.IMPORTED_FROM: Path(file).name,
        keys.LIGHTNING_VERSION: lightning.__version__,
    }
    parameters = sum(parameter.numel() for parameter in module.core.parameters())
    return Conversion(checkpoint, puzzles, found, assumed, parameters, len(state.get(TABLE, ())), left_out)


def read_weights(path: str) -> dict[str, Tensor]:
    """Read a plain state dict, as ``torch.save`` or safetensors wrote it; nothing in it is executed.

    Raises:
        InputError: if the file is missing or corrupt, contains code, or is not a state dict.
    """
    content = read_safetensors(Path(path), path) if _is_safetensors(Path(path)) else read_pickle(path)
    if not isinstance(content, Mapping):
        raise InputError(f"{path} contains a {type(content).__name__}, not a state dict")
    if keys.VERSION in content:
        raise InputError(f"{path} is a checkpoint of trm already: pass it to trm solve or trm test")
    if others := [str(key) for key, value in content.items() if not isinstance(value, Tensor)]:
        raise InputError(f"{path} is not a plain state dict: {some(others)} in it are not tensors")
    return dict(content)


def _is_safetensors(path: Path) -> bool:
    """Return whether a file begins as safetensors do: the length of a header, 8 bytes, and its opening brace."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _recipe(family: str, state: Mapping[str, Tensor]) -> Recipe:
    """Return the recipe of a family, for ARC by its number of puzzle ids; a class of the user's own has none."""
    recipe = RECIPES.get(family, Recipe(family, {}, 6))
    subsets = OFFICIAL_ROWS.get(len(state.get(TABLE, ())))
    if family != "arc" or subsets is None:
        return recipe
    return recipe._replace(init_args={**recipe.init_args, "subsets": list(subsets), "test_subset": subsets[1]})


def _build(recipe: Recipe, data: dict[str, Any]) -> PuzzleData:
    """Build the family with the arguments of the recipe, replaced by those given."""
    cls = find_class(recipe.class_path, PuzzleData, f"--family is not one of {', '.join(RECIPES)} but")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(cls, "data")
    try:
        puzzles: PuzzleData = parser.instantiate(parser.parse_object({"data": {**recipe.init_args, **data}})).data
    except ArgumentError as error:
        raise InputError(f"--data does not fit {cls.__name__}: {' '.join(str(error).split())}") from error
    return puzzles


def _found(
    network: NetworkName, state: Mapping[str, Tensor], puzzles: PuzzleData, given: dict[str, Any], where: str
) -> dict[str, Any]:
    """Return the architecture that follows from the shapes, and check puzzles and given arguments against it."""
    tokens = len(state["tokens.weight"])
    if tokens != puzzles.vocab_size:
        raise InputError(
            f"{where} has {counted(tokens, 'token')}, but {type(puzzles).__name__} with these arguments has "
            f"{puzzles.vocab_size}"
        )
    found = architecture(network, state, puzzles.seq_len, where)
    for name, value in given.items():
        if found.get(name, value) != value:
            raise InputError(f"--{name} is {value}, but {where} has the shapes of {name} {found[name]}")
    return found


def _fit_table(state: dict[str, Tensor], puzzles: PuzzleData, where: str) -> int:
    """Remove ConceptARC's puzzle ids, the last ones, if the data lacks its tasks; return their number."""
    rows = len(state.get(TABLE, ()))
    surplus = rows - puzzles.num_puzzles
    if not rows or not surplus:
        return 0
    if isinstance(puzzles, ARC) and rows in OFFICIAL_ROWS and surplus == CONCEPT_ROWS:
        state[TABLE] = state[TABLE][: puzzles.num_puzzles].clone()
        return surplus
    raise InputError(
        f"{where} has {counted(rows, 'puzzle id')}, but {type(puzzles).__name__} with these arguments has "
        f"{puzzles.num_puzzles}: --data must name the data that it was trained on"
    )
