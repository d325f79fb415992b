"""A checkpoint of the official code becomes one of ours: its network, its recipe, and what no shape tells."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import lightning
import torch
from jsonargparse import ArgumentError, ArgumentParser
from torch import Tensor

import trm
from trm.checkpoints.files import read_pickle
from trm.checkpoints.official import architecture, from_official, refuse_misfits, some
from trm.classes import find_class
from trm.data import ARC, PuzzleData
from trm.data.arc.numbering import CONCEPT_ROWS, OFFICIAL_ROWS
from trm.errors import InputError
from trm.module import TRMModule
from trm.nn.variants import NetworkName
from trm.training import checkpoint_keys as keys

TABLE = "puzzle_embedding.weights"


class Recipe(NamedTuple):
    """The family of an official recipe, and n, which no shape tells."""

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
"""What the recipes of networks other than TRM have, and no shape tells."""


class Conversion(NamedTuple):
    """A converted checkpoint, and where its settings come from."""

    checkpoint: dict[str, Any]
    puzzles: PuzzleData
    from_shapes: dict[str, Any]
    """Settings that the shapes of the tensors tell."""
    assumed: dict[str, Any]
    """Settings of the official recipe, which no shape tells."""
    parameters: int
    rows: int
    """Of the puzzle embedding."""
    left_out: int
    """Rows of the puzzle embedding that were left out, the last ones."""


def convert(file: str, family: str, data: dict[str, Any], given: dict[str, Any]) -> Conversion:
    """Turn a checkpoint of the official TRM or HRM code into one of trm.

    Args:
        file: a plain state dict, as ``torch.save`` or safetensors wrote it.
        family: sudoku, maze, arc; or the user's own class.
        data: arguments of the family.
        given: arguments of the network that win over the official recipe.

    Raises:
        InputError: if the file is none, or family and arguments contradict it.
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
        InputError: if the file is missing, cut short, holds code, or is something else.
    """
    content = _read_safetensors(path) if _is_safetensors(Path(path)) else read_pickle(path, mmap=True)
    if not isinstance(content, Mapping):
        raise InputError(f"{path} holds a {type(content).__name__}, not a state dict")
    if keys.VERSION in content:
        raise InputError(f"{path} is a checkpoint of trm already: trm solve and trm test take it as it is")
    if others := [str(key) for key, value in content.items() if not isinstance(value, Tensor)]:
        raise InputError(f"{path} is not a plain state dict: {some(others)} in it are no tensors")
    return dict(content)


def _is_safetensors(path: Path) -> bool:
    """Tell by what a file begins with: the length of a header, 8 bytes, and its opening brace."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _read_safetensors(path: str) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise InputError(f"{path} is a safetensors file, which needs that package: pip install safetensors") from error
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a whole safetensors file: {error}") from error


def _recipe(family: str, state: Mapping[str, Tensor]) -> Recipe:
    """Return the recipe of a family, of ARC the one with as many rows; a class of the user's own has none."""
    recipe = RECIPES.get(family, Recipe(family, {}, 6))
    subsets = OFFICIAL_ROWS.get(len(state.get(TABLE, ())))
    if family != "arc" or subsets is None:
        return recipe
    return recipe._replace(init_args={**recipe.init_args, "subsets": list(subsets), "test_subset": subsets[1]})


def _build(recipe: Recipe, data: dict[str, Any]) -> PuzzleData:
    """Build the family with the arguments given, else those of the recipe."""
    cls = find_class(recipe.class_path, PuzzleData, f"--family is none of {', '.join(RECIPES)} but")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(cls, "data")
    try:
        puzzles: PuzzleData = parser.instantiate(parser.parse_object({"data": {**recipe.init_args, **data}})).data
    except ArgumentError as error:
        raise InputError(f"--data is not of {cls.__name__}: {' '.join(str(error).split())}") from error
    return puzzles


def _found(
    network: NetworkName, state: Mapping[str, Tensor], puzzles: PuzzleData, given: dict[str, Any], where: str
) -> dict[str, Any]:
    """Read the architecture off the shapes, and refuse puzzles and choices that contradict them."""
    tokens = len(state["tokens.weight"])
    if tokens != puzzles.vocab_size:
        raise InputError(
            f"{where} knows {tokens} tokens, but {type(puzzles).__name__} with these arguments has {puzzles.vocab_size}"
        )
    found = architecture(network, state, puzzles.seq_len, where)
    for name, value in given.items():
        if found.get(name, value) != value:
            raise InputError(f"--{name} is {value}, but {where} has the shapes of {name} {found[name]}")
    return found


def _fit_table(state: dict[str, Tensor], puzzles: PuzzleData, where: str) -> int:
    """Leave out ConceptARC's rows of the table, the last ones, if its tasks are not there; return how many."""
    rows = len(state.get(TABLE, ()))
    surplus = rows - puzzles.num_puzzles
    if not rows or not surplus:
        return 0
    if isinstance(puzzles, ARC) and rows in OFFICIAL_ROWS and surplus == CONCEPT_ROWS:
        state[TABLE] = state[TABLE][: puzzles.num_puzzles].clone()
        return surplus
    raise InputError(
        f"{where} has a table of {rows} puzzles, but {type(puzzles).__name__} with these arguments has "
        f"{puzzles.num_puzzles}: what its rows stand for is known only if --data names what it was trained on"
    )
