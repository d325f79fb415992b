"""The backends of the service: onnxruntime answers as torch does, and tasks of ARC are answered as by ``trm solve``."""

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from command import refused
from exporting import save_random_model
from serving import BOARD, ask, metric, running

from trm.checkpoints.files import read_checkpoint
from trm.cli.main import main
from trm.edge.model import KEY
from trm.errors import InputError
from trm.serve.backend import Backend, TorchBackend, torch_backend
from trm.serve.limits import Limits
from trm.serve.onnx import onnx_backend
from trm.solver import Solver
from trm.zoo import find

GRID = [[0, 2, 0, 0], [4, 0, 0, 1], [3, 0, 0, 0], [0, 0, 0, 4]]
NAMED = "25ff71a9"
TASK = {"train": [{"input": [[1, 0], [0, 1]], "output": [[1]]}], "test": [{"input": [[2, 0], [0, 2]]}]}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a small untrained model, whose puzzles halt at different steps."""
    return save_random_model(tmp_path_factory.mktemp("backends") / "random.ckpt")


@pytest.fixture(scope="module")
def exported(small: Path) -> Path:
    """Its exported file."""
    assert main(["export", str(small), "--format=onnx", "-o", str(small.with_suffix(".onnx"))]) == 0
    return small.with_suffix(".onnx")


@pytest.fixture(scope="module")
def tasks() -> Backend:
    """The backend of tasks."""
    return torch_backend("arc-toy", "arc-toy", views=4)


@pytest.fixture(scope="module")
def arc(tasks: Backend) -> Iterator[str]:
    """The address of a service of tasks."""
    with running({"arc-toy": tasks}, Limits(max_puzzles=3, queue=3)) as url:
        yield url


def answers(backend: Backend, puzzles: list[str]) -> list[dict[str, Any]]:
    questions = [backend.parse(puzzle) for puzzle in puzzles]
    return backend(questions, [number % 2 == 0 for number in range(len(puzzles))])


@pytest.mark.parametrize(
    "options",
    [{"halt_threshold": 0.1}, {"views": 2}, {"select": "verifier", "views": 3}, {"depth": 2, "halt": "never"}],
)
def test_onnx_answers_as_torch_does(options: dict[str, Any], small: Path, exported: Path) -> None:
    solver = Solver(small, **options)
    boards = [solver.data.write(board) for board in solver.data.eval_samples("test", 0, 9).inputs]
    ours, theirs = answers(TorchBackend(solver), boards), answers(onnx_backend("mine", exported, **options), boards)
    assert len({solution["steps"] for solution in ours}) > 1 or "halt_threshold" not in options
    for one, other in zip(ours, theirs, strict=True):
        for solution in (one, other):
            for step in solution.get("trace", []):
                step["confidence"] = round(step["confidence"], 3)
        own = {"gflop", "confidence", "agreement", "alternatives", "trace"}  # the latter is compared below
        assert {name: one[name] for name in one.keys() - own} == {name: other[name] for name in one.keys() - own}
        assert np.isclose(one["confidence"], other["confidence"], atol=1e-3)
        assert [step["answer"] for step in one.get("trace", [])] == [step["answer"] for step in other.get("trace", [])]


def test_auto_is_the_threshold_of_a_checkpoint_and_refused_for_an_exported_file(small: Path, exported: Path) -> None:
    content = read_checkpoint(small)
    validated = small.with_name("validated.ckpt")
    torch.save({**content, "metrics": {"val/abstain_below": 0.75}}, validated)
    backend = onnx_backend("mine", validated, abstain="auto")
    assert (backend.abstain, backend.solver.least) == (0.75, pytest.approx(math.log(3)))
    with pytest.raises(InputError, match="abstain is auto, but the model has no threshold"):
        onnx_backend("mine", exported, abstain="auto")


def test_an_exported_file_is_served(exported: Path) -> None:
    with running({"file": onnx_backend("file", exported, abstain=1.0)}) as url:
        (model,) = ask(f"{url}/models").body
        assert (model["backend"], model["family"], model["parameters"]) == ("onnx", "Sudoku", 4834)
        reply = ask(f"{url}/solve", {"puzzles": [BOARD, GRID], "trace": True})
        text, grid = reply.body["solutions"]
        assert text["answer"] == text["trace"][-1]["answer"]
        assert [len(row) for row in grid["grid"]] == [4] * 4
        assert (text["valid"], text["abstains"], text["gflop"]) == (False, True, None)
        reply = ask(f"{url}/solve", {"puzzles": ["11.............."]})
        assert reply.body["detail"] == "the board '11..............' is unsolvable: row 1 has 1 more than once"


@pytest.mark.slow
def test_a_checkpoint_is_served_by_onnx() -> None:
    backend = onnx_backend("zoo", find("sudoku-4x4"))
    (solution,) = backend([backend.parse(BOARD)], [False])
    assert (solution["answer"], solution["valid"]) == ("1243432134122134", True)


def described(change: Any, exported: Path, path: Path) -> None:
    """Write an exported file with another description."""
    model = onnx.load(exported)
    (entry,) = (entry for entry in model.metadata_props if entry.key == KEY)
    about = json.loads(entry.value)
    change(about)
    entry.value = json.dumps(about)
    onnx.save(model, path)


def test_a_file_that_cannot_be_served_is_refused(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    content = exported.read_bytes()
    Path("cut.onnx").write_bytes(content[: len(content) // 2])
    Path("empty.onnx").touch()
    Path("text.onnx").write_text("not a model")
    other = onnx.load(exported)
    del other.metadata_props[:]
    onnx.save(other, "other.onnx")
    for name, change in {
        "kind": lambda about: about.update(kind="whole"),
        "newer": lambda about: about.update(format=2),
        "lacks": lambda about: about.pop("start"),
        "start": lambda about: about["start"].update(y={"shape": [3], "float32": "AAAA"}),
        "size": lambda about: about.update(cells=15),
        "views": lambda about: about["views"].update(cells=[[1]]),
        "foreign": lambda about: about["family"].update(class_path="evil.Family"),
        "nothing": lambda about: about.update(family=None),
        "arguments": lambda about: about["family"]["init_args"].update(wings=2),
        "maze": lambda about: about.update(family={"class_path": "trm.data.Maze", "init_args": {"size": 5}}),
        "count": lambda about: about.update(parameters="many"),
    }.items():
        described(change, exported, Path(f"{name}.onnx"))
    for name, message in {
        "missing": "there is no checkpoint at missing.onnx",
        "cut": "cut.onnx is not an ONNX file, or was cut short",
        "empty": "empty.onnx is not an ONNX file, or was cut short",
        "text": "text.onnx is not an ONNX file, or was cut short",
        "other": "other.onnx is an ONNX file, but trm export did not write it",
        "kind": "kind.onnx contains the whole loop, for runtimes without a host language",
        "newer": "newer.onnx has a description of format 2, written by trm",
        "lacks": "lacks.onnx has a damaged description of trm: it lacks 'start'",
        "start": "start.onnx has a damaged description of trm",
        "size": "size.onnx does not contain the network that it describes",
        "views": "has a damaged description of trm: its symmetries are of another size",
        "foreign": "foreign was trained on evil.Family, which is not part of trm: pass --family evil.Family",
        "nothing": "nothing does not describe the family of its puzzles",
        "arguments": "Sudoku has no argument 'wings'",
        "maze": "maze describes another family than that of its network",
        "count": "count.onnx has a damaged description of trm: its parameters is 'many'",
    }.items():
        assert message in refused(capsys, ["serve", f"{name}.onnx", "--port=0"]), name
    assert "evil" not in sys.modules
    for package in ("onnxruntime", "onnxscript"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            command = ["serve", "sudoku-4x4", "--backend=onnx", "--port=0"]
            assert f"needs the package {package}: pip install 'trm[export]'" in refused(capsys, command)


def test_a_task_is_answered_as_by_trm_solve(arc: str, capsys: pytest.CaptureFixture[str]) -> None:
    reply = ask(f"{arc}/solve", {"puzzles": [NAMED, TASK]})
    assert reply.status == 200, reply.body
    named, unknown = reply.body["solutions"]
    assert main(["solve", "arc-toy", NAMED, "--json", "--views=4"]) in (0, 1)
    printed = json.loads(capsys.readouterr().out)
    assert named["attempts"] == printed.pop(NAMED)
    assert {name: named[name] for name in printed} == printed
    assert (named["task"], named["known"], unknown["known"]) == (NAMED, True, False)
    assert named["steps"] > 0
    assert len(unknown["attempts"]) == 1
    assert "pass@2" in named["scores"]
    assert "pass@2" not in unknown["scores"]
    (listed,) = ask(f"{arc}/models").body
    assert (listed["family"], listed["backend"]) == ("ARC", "torch")
    assert metric(arc, 'trm_batch_puzzles_sum{model="arc-toy"}') == 2


def test_tasks_in_one_batch_are_answered_as_each_alone(tasks: Backend) -> None:
    others = [{**TASK, "test": [{"input": [[n, 0], [0, n]]}, {"input": [[n]]}]} for n in range(3, 6)]
    together = tasks([tasks.parse(task) for task in others], [False] * 3)
    alone = [tasks([tasks.parse(task)], [False])[0] for task in others]
    for one, other in zip(together, alone, strict=True):
        assert {**one, "confidence": None} == {**other, "confidence": None}
        assert np.allclose(one["confidence"], other["confidence"], atol=1e-3)


@pytest.mark.parametrize(
    ("puzzle", "words"),
    [
        ("nope", "the puzzle is 'nope', but a model of ARC needs a task"),
        ([[1, 2], [3, 4]], "the puzzle is '1234', but a model of ARC needs a task"),
        ({}, "the body, task of the request is not a task: an object with the lists 'train' and 'test' is needed"),
        ({"train": [], "test": []}, "the body, task of the request has no"),
        ({**TASK, "test": [{"input": [[10]]}]}, "the input of test pair 1 has 10 in row 1, column 1; colours are"),
        ({**TASK, "test": [{"input": [[1, 2], [3]]}]}, "the input of test pair 1 has rows of 1 and of 2 cells"),
        ({**TASK, "test": [{"input": [[1] * 7]}]}, "but the model's canvas (data.side) has 6"),
        ({**TASK, "test": [{"input": "\ud800"}]}, "the input of test pair 1 is"),
        ({**TASK, "test": 3}, "the body, task of the request is not a task"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_task_is_refused_in_a_sentence(arc: str, puzzle: Any, words: str) -> None:
    reply = ask(f"{arc}/solve", {"puzzles": [puzzle]})
    assert reply.status == 422
    assert words in reply.body["detail"]


def test_a_task_counts_for_its_test_inputs(arc: str) -> None:
    reply = ask(f"{arc}/solve", {"puzzles": [TASK, {**TASK, "test": TASK["test"] * 3}]})
    assert (reply.status, reply.body["detail"]) == (
        413,
        "the request has 4 puzzles, but at most 3 are accepted at once",
    )


def test_a_task_to_a_model_of_boards_is_refused() -> None:
    with running({"four": TorchBackend(Solver("sudoku-4x4"))}) as url:
        reply = ask(f"{url}/solve", {"puzzles": [TASK]})
    assert reply.status == 422
    assert (
        "the puzzle is an object, as a task of ARC, but a model of Sudoku takes text or a grid" in reply.body["detail"]
    )
