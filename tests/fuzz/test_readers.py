"""Whatever stands in a file of puzzles or on the command line: it is read, or it is refused in one sentence."""

import io
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fuzzing import examples, nested, outcome
from hypothesis import given
from hypothesis import strategies as st

from trm.data import ARC, Maze, PuzzleData, Sudoku
from trm.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

BOARD, SOLVED = ".3...2.1...4....", "1342421331242431"
CELLS = st.text("0123456789.#SGEo|+-*x \t\n\r,;:_[]\ufeff\u0661\u00b2\x00\x1b", max_size=120)
BOARDS = st.one_of(
    CELLS,
    st.text(max_size=60),
    st.sampled_from([BOARD, BOARD * 2, f"\ufeff{BOARD}", "|".join(BOARD), "\n".join([BOARD] * 3), "9" * 16, "[[1]]"]),
    st.builds(lambda where, new: BOARD[:where] + new + BOARD[where:], st.integers(0, 16), st.text(max_size=3)),
)
LINES = st.lists(BOARDS | st.just(BOARD) | st.just("# a comment"), max_size=5).map("\n".join)
FIELDS = st.sampled_from(
    [
        *(BOARD, SOLVED, BOARD[:-1], "source", "question", "answer", "rating", "quizzes", "solutions", "puzzle"),
        *("solution", "", "0", "-1", "1.5", "9" * 30, '"', "\x00", "\u00e9", "a,b"),
    ]
) | st.builds(lambda: "x" * 200_000)
TABLES = st.lists(st.lists(FIELDS, min_size=1, max_size=5).map(",".join), max_size=4).map(
    lambda rows: "\n".join(["source,question,answer,rating", f"x,{BOARD},{SOLVED},0", *rows])
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 12) | st.just(10**30) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["train", "test", "input", "output", "x"]), inner, max_size=4)
    ),
    max_leaves=15,
)
TASK = {"train": [{"input": [[1, 2]], "output": [[2, 1]]}], "test": [{"input": [[3, 4]], "output": [[4, 3]]}]}


def replaced(task: Any, at: random.Random, value: Any) -> Any:
    """Return a task in which one part, anywhere, is another value."""
    if not isinstance(task, (dict, list)) or not task or at.random() < 0.2:
        return value
    keys = list(task) if isinstance(task, dict) else range(len(task))
    chosen = at.choice(list(keys))
    parts = {key: replaced(task[key], at, value) if key == chosen else task[key] for key in keys}
    return parts if isinstance(task, dict) else list(parts.values())


TASKS = st.one_of(
    JSON.map(json.dumps),
    st.builds(lambda at, value: json.dumps(replaced(TASK, at, value)), st.randoms(use_true_random=False), JSON),
    st.sampled_from(
        ["", "{", "\ufeff{}", "[" * 100_000, json.dumps(TASK)[:-9], json.dumps(nested(60)), "NaN", "1e999"]
    ),
)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"])


def encoded(text: str, encoding: str) -> bytes:
    return text.encode(encoding, errors="replace")


def read(build: Callable[[], PuzzleData], *splits: str) -> None:
    """Load splits of a family: that works, or it is refused."""
    try:
        data = build()
        for split in splits:
            data.samples(split)
    except InputError as error:
        assert str(error).replace("\n", " ").isprintable()
        assert len(str(error)) < 1000


@examples(200)
@given(BOARDS)
def test_boards_are_parsed_or_refused(text: str) -> None:
    for data in (Sudoku(4), Maze(size=4, source="folder"), ARC()):
        try:
            tokens = data.parse(text)
        except InputError as error:
            assert str(error).replace("\n", " ").isprintable()
            continue
        assert tokens.shape == (data.seq_len,)
        assert tokens.max() < data.vocab_size
        assert (data.parse(data.write(tokens)) == tokens).all(), "what is written can be read back"


@examples(60)
@given(TABLES, ENCODINGS)
def test_tables_of_puzzles_are_read_or_refused(tmp_path: Path, text: str, encoding: str) -> None:
    for file in ("train.csv", "test.csv"):
        (tmp_path / file).write_bytes(encoded(text, encoding))
    sizes = {"train_size": 1, "val_size": 0, "test_size": 1}
    read(lambda: Sudoku(4, source=str(tmp_path), **sizes), "train", "test")
    read(lambda: Maze(size=4, source=str(tmp_path), **sizes), "train", "test")


@examples(80)
@given(TASKS, ENCODINGS)
def test_tasks_are_read_or_refused(tmp_path: Path, text: str, encoding: str) -> None:
    for subset in ("training", "evaluation"):
        (tmp_path / subset).mkdir(exist_ok=True)
        (tmp_path / subset / "task.json").write_bytes(encoded(text, encoding))
    arguments = {"subsets": ("training", "evaluation"), "augmentations": 1, "side": 5}
    read(lambda: ARC(source=str(tmp_path), **arguments), "train", "test")


@examples(40)
@given(LINES, ENCODINGS)
def test_standard_input_is_solved_or_refused(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str, encoding: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(encoded(text, encoding)), encoding="utf-8"))
    outcome(["solve", "sudoku-4x4", "-"], capsys)


@examples(30)
@given(BOARDS.filter(lambda text: not text.startswith("-") and "\x00" not in text))
def test_an_argument_is_solved_or_refused(here: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    outcome(["solve", "sudoku-4x4", text], capsys)


@examples(20)
@given(TASKS, ENCODINGS)
def test_a_task_file_is_solved_or_refused(
    here: Path, capsys: pytest.CaptureFixture[str], text: str, encoding: str
) -> None:
    Path("task.json").write_bytes(encoded(text, encoding))
    outcome(["solve", "arc-toy", "task.json", "--views=1", "--depth=1"], capsys)
