"""``trm.edge`` solves without torch as ``trm.Solver`` does with it, and refuses what is not its own."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from trm.data import Sudoku
from trm.edge import EdgeSolver
from trm.edge.description import MOST_STEPS, PATH
from trm.edge.model import KEY, Step, packed
from trm.errors import InputError
from trm.nn.network import MOST_REPEATS
from trm.solver import Solver

TORCH_FREE = """
import sys
sys.modules.update(dict.fromkeys(["torch", "lightning", "jsonargparse"]))  # importing one fails
from trm.edge import EdgeSolver
solution = EdgeSolver(sys.argv[1]).solve(sys.argv[2])
print(solution.text)
print(*{name.partition(".")[0] for name in sys.modules} & {"torchmetrics", "PIL", "matplotlib", "onnx", "yaml"})
"""
BOARD = ".3...2.1...4...."


@pytest.fixture(scope="module")
def boards() -> Any:
    data = Sudoku(size=4, train_size=20, val_size=0, test_size=40, clues=(8, 8), workers=0)
    return data.eval_samples("test", 0, 12)


@pytest.mark.parametrize(
    "options",
    [{}, {"depth": 2}, {"views": 4}, {"halt": "stable"}, {"halt": "never"}, {"views": 5, "select": "verifier"}],
    ids=str,
)
def test_solutions_are_those_of_the_solver(
    checkpoint: Path, model_file: Path, boards: Any, options: dict[str, Any]
) -> None:
    expected = Solver(checkpoint, **options).solve(boards.inputs)
    found = EdgeSolver(model_file, batch_size=5, **options).solve(boards.inputs)
    assert [solution.steps for solution in found] == [solution.steps for solution in expected]
    for mine, theirs in zip(found, expected, strict=True):
        assert (mine.answer == theirs.answer).all()
        assert mine.valid == theirs.verdict.valid
        assert mine.confidence == pytest.approx(theirs.confidence, abs=1e-3)
        if "views" not in options:
            assert str(mine).rpartition(",")[0] == theirs.as_line().rpartition(",")[0]
    if not options:
        assert len({solution.steps for solution in found}) > 1, "they halt at different steps"


def test_it_needs_no_torch(model_file: Path) -> None:
    command = [sys.executable, "-c", TORCH_FREE, str(model_file), BOARD]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text, loaded = done.stdout.splitlines()
    assert text == EdgeSolver(model_file).solve(BOARD).text
    assert not loaded


def test_the_verifier_takes_the_first_view_with_a_valid_answer(
    model_file: Path, boards: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    solver = EdgeSolver(model_file, views=4, select="verifier")
    views = Sudoku(size=4).views(4)
    which = np.full(len(boards.inputs), 2)
    shown, solved = (views.apply(part, which) for part in (boards.inputs, boards.labels))
    known = {bytes(question): answer for question, answer in zip(shown, solved, strict=True)}

    def step(inputs: Any, y: Any, z: Any, vectors: Any) -> Step:
        """Solve a board as the third view shows it; leave any other as it is."""
        tokens = np.stack([known.get(bytes(question.astype(np.uint8)), question) for question in inputs])
        logits = np.eye(6, dtype=np.float32)[tokens]
        return Step(logits, np.zeros(len(inputs)), np.zeros(len(inputs)), y, z)

    monkeypatch.setattr(solver.model, "step", step)
    for solution, label in zip(solver.solve(boards.inputs), boards.labels, strict=True):
        assert solution.valid
        assert (solution.answer == label).all()
        assert solution.steps == 2 * solver.depth + 1
        assert solution.sentence.startswith("obeys the rules; ")


def test_the_confidence_is_the_mean_over_the_views_with_the_answer(
    model_file: Path, boards: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    solver = EdgeSolver(model_file, views=3, depth=1)
    question, label = boards.inputs[:1], boards.labels[:1]
    views, halts = Sudoku(size=4).views(3), iter((0.5, 2.0, -800.0))

    def step(inputs: Any, y: Any, z: Any, vectors: Any) -> Step:
        """Solve the board in the first two views."""
        which = [n for n in range(2) if (views.apply(question, np.array([n])) == inputs).all()]
        tokens = views.apply(label, np.array(which)) if which else inputs
        return Step(np.eye(6, dtype=np.float32)[tokens], np.array([next(halts)]), np.zeros(1), y, z)

    monkeypatch.setattr(solver.model, "step", step)
    (solution,) = solver.solve(question)
    assert (solution.answer == label[0]).all()
    assert solution.confidence == pytest.approx((1 / (1 + np.exp(-0.5)) + 1 / (1 + np.exp(-2.0))) / 2)


def test_what_it_cannot_read_is_refused_in_a_sentence(exported: Any, model_file: Path, tmp_path: Path) -> None:
    cut, text, foreign, later = (tmp_path / f"{name}.onnx" for name in ("cut", "text", "foreign", "later"))
    cut.write_bytes(exported.content[: len(exported.content) // 2])
    text.write_text("no model")
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    other = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "other", [value], [other])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), foreign)
    model = onnx.load(model_file)
    for entry in model.metadata_props:
        if entry.key == KEY:
            entry.value = json.dumps({**json.loads(entry.value), "format": 99})
    onnx.save(model, later)
    for path, message in (
        (tmp_path / "none.onnx", "there is no model at"),
        (cut, "is not an ONNX file, or was cut short"),
        (text, "is not an ONNX file, or was cut short"),
        (foreign, "is an ONNX file, but trm export did not write it"),
        (later, "has a description of format 99"),
    ):
        with pytest.raises(InputError, match=message):
            EdgeSolver(path)


def chosen(**changes: Any) -> dict[str, Any]:
    """Return what ``trm tune`` stores of an early exit."""
    return {"halt": "head", "halt_threshold": 0.5, "views": 1, **changes}


def part(name: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    """Return what changes values of a part of a description."""
    return lambda about: about[name].update(values)


NOT_FINITE = packed(np.full((1, 16), np.nan, dtype=np.float32))
DAMAGED: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "no steps": (lambda about: about.update(supervision_steps=0), "its supervision_steps is '0'"),
    "endless steps": (
        lambda about: about.update(supervision_steps=10**9),
        "its supervision_steps is '1000000000'; accepted are 1 to 1,000",
    ),
    "endless cells": (lambda about: about.update(cells=10**12), "its cells is '1000000000000'; accepted are 1 to"),
    "endless length": (lambda about: about.update(length=10**12), "its length is '1000000000000'; accepted are 1 to"),
    "negative parameters": (lambda about: about.update(parameters=-1), "its parameters is '-1'"),
    "early exit": (lambda about: about.update(inference=chosen(halt="soon")), "its early exit is 'soon'"),
    "early-exit threshold": (
        lambda about: about.update(inference=chosen(halt_threshold=2)),
        "its early-exit threshold is '2'; accepted are numbers between 0 and 1",
    ),
    "views of the early exit": (lambda about: about.update(inference=chosen(views=10**9)), "its number of views is"),
    "a part of the early exit": (lambda about: about.update(inference={}), "it lacks 'halt'"),
    "a truth value": (lambda about: about.update(length=True), "its length is 'True'"),
    "no threshold": (lambda about: about.update(halt_threshold=np.nan), "its halt_threshold is 'nan'"),
    "state": (part("start", y=NOT_FINITE), "has numbers that are not finite"),
    "ragged views": (part("views", cells=[[1], [1, 2]]), "inhomogeneous"),
    "cells beyond the board": (part("views", cells=[[99] * 16] * 16), "a symmetry does not permute the cells"),
    "repeated cells": (part("views", cells=[[0] * 16] * 16), "a symmetry does not permute the cells"),
    "cells in text": (part("views", cells=[["0"] * 16] * 16), "a symmetry does not permute the cells"),
    "unknown tokens": (part("views", tokens=[[99] * 6] * 16), "a symmetry does not permute the tokens"),
    "symbols": (lambda about: about.update(symbols={"1": 99}), "its symbols is \"{'1': 99}\""),
    "characters": (lambda about: about.update(write="ab"), "its write is 'ab'"),
    "no rules": (lambda about: about.update(rules={}), "it lacks 'grid'"),
    "rules": (part("rules", kind="code"), "its kind of rules is 'code'"),
    "units beyond the board": (part("rules", units={"row 1": [0, 99]}), "its units is"),
    "uneven units": (part("rules", units={"row 1": [0], "row 2": [1, 2]}), "its units is"),
    "a maze": (part("rules", kind="path", **dict.fromkeys(PATH, 9)), "its wall is '9'"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_description_is_refused_when_the_file_is_opened(what: str, exported: Any) -> None:
    change, message = DAMAGED[what]
    model = onnx.load_from_string(exported.content)
    (entry,) = (entry for entry in model.metadata_props if entry.key == KEY)
    about = json.loads(entry.value)
    change(about)
    entry.value = json.dumps(about)
    with pytest.raises(InputError, match=f"the model has a damaged description of trm: .*{re.escape(message)}"):
        EdgeSolver(model.SerializeToString())


def test_steps_are_bounded_as_in_the_constructor() -> None:
    assert MOST_STEPS == MOST_REPEATS


def test_a_state_of_another_size_is_refused_before_memory_is_asked_for(exported: Any) -> None:
    model = onnx.load_from_string(exported.content)
    (entry,) = (entry for entry in model.metadata_props if entry.key == KEY)
    entry.value = json.dumps({**json.loads(entry.value), "length": 2**16})
    with pytest.raises(InputError, match=r"does not contain the network that it describes: its y has shape \[16, 16\]"):
        EdgeSolver(model.SerializeToString())


def test_parameters_that_are_not_finite_are_refused(exported: Any) -> None:
    model = onnx.load_from_string(exported.content)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = np.full_like(numpy_helper.to_array(tensor), np.nan)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    with pytest.raises(InputError, match="the model contains numbers that are not finite"):
        EdgeSolver(model.SerializeToString())


def test_a_missing_runtime_is_named(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match="pip install onnxruntime"):
        EdgeSolver(model_file)


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        (BOARD[1:], "has 15 cells, but the model takes 16"),
        (BOARD[:-1] + "x", "has 'x' in cell 16; accepted are "),
        ("11" + BOARD[2:], "is unsolvable: row 1 has 1 more than once"),
        (np.ones((2, 15), dtype=int), r"have shape \(2, 15\) and type int64"),
        (np.ones(16), "type float64, but the model takes text or integers"),
        (np.full(16, 6), "question 0 has token 6 in cell 0; accepted are 0 to 5"),
        ([], "the model takes text or integers"),
    ],
    ids=str,
)
def test_a_wrong_question_is_refused(model_file: Path, questions: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        EdgeSolver(model_file).solve(questions)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"views": 17}, "views is 17, but the file describes 16 symmetries"),
        ({"views": 0}, "views is 0, but must be at least 1"),
        ({"select": "best"}, "select is 'best', but must be one of halting, verifier"),
        ({"halt": "soon"}, "halt is 'soon'"),
        ({"halt_threshold": 1.5}, "halt_threshold is 1.5"),
    ],
    ids=str,
)
def test_a_wrong_option_is_refused(model_file: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        EdgeSolver(model_file, **options)


def test_vectors_need_a_puzzle_embedding(model_file: Path) -> None:
    with pytest.raises(InputError, match=r"puzzle_vectors are given, but random\.ckpt has no puzzle embedding"):
        EdgeSolver(model_file).solve(BOARD, np.zeros(3))
