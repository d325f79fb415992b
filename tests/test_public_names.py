"""``import trm`` is instant, and offers the public names."""

import ast
import sys
from collections import Counter

import pytest
from paths import REPO
from processes import run

import trm
from trm.data import PuzzleData
from trm.data.samples import Tokens
from trm.errors import InputError

QUIET = """
import sys
import trm
assert set(trm.__all__) <= set(dir(trm))
loaded = {"torch", "lightning", "numpy", "jsonargparse"} & set(sys.modules)
assert not loaded, loaded
"""


def test_importing_trm_loads_neither_torch_nor_lightning() -> None:
    assert run(REPO, [sys.executable, "-c", QUIET]) == [(0, "")]


def test_every_public_name_is_there() -> None:
    found = {name: getattr(trm, name) for name in trm.__all__}
    assert all(issubclass(found[name], PuzzleData) for name in ("Sudoku", "Maze", "ARC", "Pairs", "PuzzleData"))
    assert all(callable(thing) for thing in found.values())
    from trm import Solver, TRMModule, load_checkpoint

    assert (Solver, TRMModule, load_checkpoint) == tuple(
        found[name] for name in ("Solver", "TRMModule", "load_checkpoint")
    )


def test_another_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'trm' has no attribute 'Sudokus'"):
        _ = trm.Sudokus  # type: ignore[attr-defined]


def test_no_two_callbacks_have_one_name() -> None:
    trees = [ast.parse(path.read_text()) for path in (REPO / "trm").rglob("*.py")]
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    names = Counter(node.name for node in classes if "Callback" in map(ast.unparse, node.bases))
    assert {"AdaptationBudget", "TrialBudget"} <= set(names)
    assert max(names.values()) == 1


def test_a_model_of_the_zoo_solves_in_three_lines() -> None:
    solution = trm.load("sudoku-4x4").solve([".3...2.1...4...."])[0]
    assert str(solution).startswith("+-----+-----+\n| 1 3 | 4 2 |\n")
    assert str(solution).splitlines()[-1].startswith("obeys the rules; ")
    html = solution._repr_html_()
    assert html.startswith('<figure><img src="data:image/png;base64,')
    assert solution.sentence in html
    assert "http" not in html
    with pytest.raises(InputError, match="depth is -1"):
        trm.load("sudoku-4x4", depth=-1)


def test_what_a_family_writes_is_escaped_in_a_notebook() -> None:
    solution = trm.load("sudoku-4x4").solve([".3...2.1...4...."])[0]

    class Hostile(trm.Sudoku):
        def write(self, tokens: Tokens) -> str:
            return '"><script>'

    solver = trm.Solver((solution.solver.module, Hostile(4, train_size=1, clues=(8, 8))))
    html = solution._replace(solver=solver)._repr_html_()
    assert "<script>" not in html
    assert "&quot;&gt;&lt;script&gt;" in html
