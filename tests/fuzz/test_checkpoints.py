"""Whatever is done to a checkpoint: it is read as it was, or it is refused in one sentence and nothing is written."""

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from command import CHECKPOINT, FOUR
from fuzzing import HOSTILE, examples, outcome
from hypothesis import given
from hypothesis import strategies as st
from training import assert_same

from trm.checkpoints.files import read_checkpoint
from trm.errors import InputError

BOARD = ".3...2.1...4...."
Q = ["--config=configs/quickstart.yaml", *FOUR]
CHEAP = [
    ["info", "x.ckpt"],
    ["info", "x.ckpt", "--json"],
    ["solve", "x.ckpt", BOARD],
    ["trace", "x.ckpt", BOARD, "--terminal", "--delay=0"],
    ["export", "x.ckpt", "--format=trm", "--output=out", "--force"],
    ["export", "x.ckpt", "--format=official", "--output=out", "--force"],
    ["import", "x.ckpt", "--family=sudoku", "--output=out", "--force"],
]
RUNS = [
    ["test", *Q, "--ckpt_path=x.ckpt"],
    ["fit", *Q, "--ckpt_path=x.ckpt", "--trainer.max_steps=8"],
    ["fit", *Q, "--weights=x.ckpt", "--trainer.max_steps=2"],
]


@pytest.fixture
def folder(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained / "configs", tmp_path / "configs")
    return tmp_path


@examples(150)
@given(st.data())
def test_damaged_bytes_are_noticed(trained: Path, folder: Path, data: st.DataObject) -> None:
    content = bytearray((trained / CHECKPOINT).read_bytes())
    place = st.integers(0, len(content) - 1)
    match data.draw(st.sampled_from(["flip", "cut", "overwrite", "remove", "append"])):
        case "flip":
            content[data.draw(place)] ^= 1 << data.draw(st.integers(0, 7))
        case "cut":
            del content[data.draw(place) :]
        case "overwrite":
            where, new = data.draw(place), data.draw(st.binary(min_size=1, max_size=50))
            content[where : where + len(new)] = new
        case "remove":
            where = data.draw(place)
            del content[where : where + data.draw(st.integers(1, 5000))]
        case "append":
            content += data.draw(st.binary(max_size=100))
    (folder / "x.ckpt").write_bytes(content)
    try:
        found = read_checkpoint("x.ckpt")
    except InputError:
        return
    assert_same(found, read_checkpoint(trained / CHECKPOINT))


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Return every container of a checkpoint with each of its keys."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [place for key, value in items for place in [(tree, key), *places(value)]]


def change(trained: Path, data: st.DataObject) -> None:
    """Write a checkpoint in which one to three values are others, missing, or new."""
    checkpoint = copy.deepcopy(torch.load(trained / CHECKPOINT, weights_only=True))
    for _ in range(data.draw(st.integers(1, 3))):
        top = data.draw(st.sampled_from(sorted(checkpoint, key=repr)))  # each part as often as any other, however large
        inner = places(checkpoint[top])
        container, key = data.draw(st.sampled_from(inner)) if inner and data.draw(st.booleans()) else (checkpoint, top)
        what = data.draw(st.sampled_from(["replace", "replace", "delete", "add"]))
        if what == "replace":
            container[key] = data.draw(HOSTILE)
        elif what == "delete":
            del container[key]
        elif isinstance(container, dict):
            container[data.draw(st.sampled_from(["wings", "", "\x1b[31m", 3]))] = data.draw(HOSTILE)
        if not checkpoint:
            break
    torch.save(checkpoint, "x.ckpt")


@examples(60)
@given(st.data())
def test_changed_values_are_refused_or_harmless(
    trained: Path, folder: Path, capsys: pytest.CaptureFixture[str], data: st.DataObject
) -> None:
    change(trained, data)
    outcome(data.draw(st.sampled_from(CHEAP)), capsys)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is of an earlier run", "ignore:You're resuming from a checkpoint that ended")
@examples(8)
@given(st.data())
def test_changed_values_train_or_are_refused(
    trained: Path, folder: Path, capsys: pytest.CaptureFixture[str], data: st.DataObject
) -> None:
    change(trained, data)
    shutil.rmtree("runs", ignore_errors=True)
    outcome(data.draw(st.sampled_from(RUNS)), capsys)


@examples(40)
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode), st.sampled_from(CHEAP))
def test_other_files_are_no_checkpoints(
    folder: Path, capsys: pytest.CaptureFixture[str], content: bytes, command: list[str]
) -> None:
    Path("x.ckpt").write_bytes(content)
    assert outcome(command, capsys) == 2
