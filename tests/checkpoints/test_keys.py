"""The keys of a checkpoint are spelled in one file of the package."""

import ast
from pathlib import Path

import pytest
import torch
from paths import REPO

from trm.training import checkpoint_keys
from trm.zoo import find, names

KEYS = {value for name, value in vars(checkpoint_keys).items() if name.isupper()}
WORDS = {
    *("averaged", "callbacks", "family", "imported_from", "metrics", "module", "seed", "slots", "started_from"),
    *("loops", "lr_schedulers", "training_puzzles"),
}
"""Keys that are also names of other things: options, methods, facts of ``trm info``, columns of the ledger."""
CHECKPOINTS = {"checkpoint", "content"}
"""Names of variables that hold a checkpoint."""


def spelled(tree: ast.Module) -> set[str]:
    """Return the keys that a file spells: a key of its own kind anywhere, a word where a checkpoint is looked into."""
    found = {str(node.value) for node in ast.walk(tree) if isinstance(node, ast.Constant)} & (KEYS - WORDS)
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=ast.Name(id=holder), slice=ast.Constant(value=key)):
                pass
            case ast.Call(func=ast.Attribute(value=ast.Name(id=holder)), args=[ast.Constant(value=key), *_]):
                pass
            case ast.Compare(left=ast.Constant(value=key), comparators=[ast.Name(id=holder)]):
                pass
            case _:
                continue
        if holder in CHECKPOINTS and key in KEYS:
            found.add(key)
    return found


@pytest.mark.parametrize("source", ['x = "state_dict"', 'checkpoint["seed"]', 'content.get("slots", [])'])
def test_a_key_is_found_however_it_is_spelled(source: str) -> None:
    assert len(spelled(ast.parse(source))) == 1


@pytest.mark.parametrize("source", ['facts["seed"]', "checkpoint.get(keys.SEED)", '"slots" in arguments'])
def test_other_things_may_have_the_same_name(source: str) -> None:
    assert not spelled(ast.parse(source))


def test_no_other_file_of_the_package_spells_a_key() -> None:
    home = Path(str(checkpoint_keys.__file__)).name
    files = [path for path in (REPO / "trm").rglob("*.py") if path.name != home]
    assert not {path.name: found for path in files if (found := spelled(ast.parse(path.read_text())))}


@pytest.mark.parametrize("name", names())
def test_models_of_the_zoo_have_no_key_beyond_these(name: str) -> None:
    assert set(torch.load(find(name), weights_only=True)) <= KEYS
