"""Tables of puzzles: what is read, held out, proven and refused."""

import gzip
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub import standing_in

from trm.data import Sudoku
from trm.data.sudoku.generator import generate
from trm.errors import InputError

HEADER = "source,question,answer,rating"


def table(size: int = 4, rows: int = 30, seed: int = 0) -> list[str]:
    """Lines of a CSV file of generated puzzles, rated 0, 1, 2 in turn."""
    puzzles = generate(size, {"train": rows}, (8, 8), seed)["train"]
    boards = zip(puzzles.questions, puzzles.answers, strict=True)
    text = (["".join(map(str, board)).replace("0", ".") for board in pair] for pair in boards)
    return [f"made,{question},{answer},{i % 3}" for i, (question, answer) in enumerate(text)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "train.csv", table(rows=30))
    write(tmp_path / "test.csv", table(rows=10, seed=1))
    return tmp_path


def write(path: Path, lines: list[str], header: str = HEADER) -> None:
    path.write_text("\n".join([header, *lines]) + "\n")


def sudoku(folder: Path, **kwargs: Any) -> Sudoku:
    sizes = {"train_size": None, "val_size": 5, "test_size": None}
    return Sudoku(size=4, source=str(folder), **{**sizes, **kwargs})


def boards(data: Sudoku, split: str) -> set[bytes]:
    return {bytes(row) for row in data.samples(split).inputs}


def test_validation_is_held_out_of_the_training_file(folder: Path) -> None:
    data = sudoku(folder)
    assert len(boards(data, "train")) == 25
    assert len(boards(data, "val")) == 5
    assert len(boards(data, "test")) == 10
    assert not boards(data, "train") & boards(data, "val")


def test_a_subset_is_seeded_and_does_not_touch_validation(folder: Path) -> None:
    few, all_of_them, other = sudoku(folder, train_size=7), sudoku(folder), sudoku(folder, train_size=7, seed=1)
    assert boards(few, "val") == boards(all_of_them, "val")
    assert boards(few, "train") < boards(all_of_them, "train")
    assert boards(few, "train") == boards(sudoku(folder, train_size=7), "train")
    assert boards(few, "train") != boards(other, "train")


def test_easy_puzzles_can_be_left_out(folder: Path) -> None:
    assert len(boards(sudoku(folder, min_rating=1), "train")) == 15
    assert len(boards(sudoku(folder, min_rating=2), "test")) == 3


@pytest.mark.parametrize("sizes", [{"train_size": 26}, {"val_size": 31}, {"min_rating": 9}])
def test_more_rows_than_there_are_are_refused(folder: Path, sizes: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"train\.csv has \d+ rows to choose from"):
        sudoku(folder, **sizes).samples("train")


def edited(lines: list[str], row: int, column: int, value: str) -> list[str]:
    fields = lines[row].split(",")
    fields[column] = value
    return [*lines[:row], ",".join(fields), *lines[row + 1 :]]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (1, "12", r"line 4: the question has 2 cells, but 16 are needed"),
        (2, "1" * 17, r"line 4: the answer has 17 cells, but 16 are needed"),
        (1, "x" * 16, r"line 4: the question has 'x' in cell 0, but only '\.0_\*1234' are accepted"),
        (2, "1" * 16, r"line 4: the answer breaks the rules"),
        (3, "hard", r"line 4: the rating 'hard' is not a number"),
        (3, "1,2", r"line 4: 5 columns, but 4 are needed"),
    ],
)
def test_a_wrong_row_is_refused_with_its_line(folder: Path, column: int, value: str, message: str) -> None:
    write(folder / "train.csv", edited(table(), 2, column, value))
    with pytest.raises(InputError, match=message):
        sudoku(folder).samples("train")


def test_a_question_that_contradicts_its_answer_is_refused(folder: Path) -> None:
    lines = table()
    other = next(line.split(",")[2] for line in lines if line.split(",")[2][0] != lines[2].split(",")[2][0])
    question = other[0] + "." * 15
    write(folder / "train.csv", edited(lines, 2, 1, question))
    with pytest.raises(InputError, match=r"train\.csv, line 4: the question contradicts its answer"):
        sudoku(folder).samples("train")


def test_a_question_with_two_solutions_is_refused(folder: Path) -> None:
    write(folder / "test.csv", edited(table(), 2, 1, "." * 16))
    with pytest.raises(InputError, match=r"test\.csv, line 4: the question has several solutions"):
        sudoku(folder).samples("test")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("question,answer", "line 2: 4 columns, but 2 are needed"),
        ("source,grid,answer,rating", "line 1: the header 'source,grid,.*' names no column of questions; accepted"),
        ("source,puzzle,quizzes,rating", "line 1: the columns puzzle and quizzes of the header both mean the question"),
    ],
)
def test_a_wrong_header_is_refused(header: str, message: str, folder: Path) -> None:
    write(folder / "train.csv", table(), header=header)
    with pytest.raises(InputError, match=message):
        sudoku(folder).samples("train")


def test_a_missing_file_and_a_binary_file_are_refused(folder: Path) -> None:
    (folder / "test.csv").unlink()
    with pytest.raises(InputError, match=r"cannot read .*test\.csv: No such file"):
        sudoku(folder).samples("test")
    (folder / "test.csv").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match=r"line 1: it has NUL bytes, .* encoding other than the accepted UTF-8"):
        sudoku(folder).samples("test")


def test_a_missing_source_is_named_as_it_was_given(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read \S*nowhere\.csv: No such file"):
        sudoku(tmp_path / "nowhere.csv").samples("train")


def test_hub_files_are_pinned_and_hashed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, repo = tmp_path / "root", "datasets/sapientinc/sudoku-extreme"

    def hub_data() -> Sudoku:
        return Sudoku(size=4, source="hub", root=str(root), train_size=5, val_size=5, test_size=None)

    with standing_in(monkeypatch) as hub:
        first = hub.commit(repo, {path.name: path.read_bytes() for path in folder.iterdir()})
        assert np.array_equal(hub_data().samples("test").inputs, sudoku(folder).samples("test").inputs)
        assert not [asked for asked in hub.asked if "train.csv" in asked]
        cache = root / "sudoku-extreme"
        lock = json.loads((cache / "lock.json").read_text())
        assert lock["commit"] == first
        assert lock["sha256"]["test.csv"] == hashlib.sha256((folder / "test.csv").read_bytes()).hexdigest()

        hub.commit(repo, {"test.csv": b"", "train.csv": b""})  # later uses are of the first commit
        assert np.array_equal(hub_data().samples("train").inputs, sudoku(folder, train_size=5).samples("train").inputs)
    asked = len(hub.asked)
    hub_data().samples("test")  # without the hub
    assert len(hub.asked) == asked
    write(cache / "test.csv", table(rows=12, seed=2))
    with pytest.raises(InputError, match="SHA-256"):
        hub_data().samples("test")


def test_a_hub_that_cannot_be_reached_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with standing_in(monkeypatch) as hub:
        pass  # it has stopped
    with pytest.raises(InputError, match=rf"cannot download test.csv of .* from the hub at {hub.url}: .*refused"):
        Sudoku(source="hub", root=str(tmp_path)).samples("test")


def test_the_hub_without_its_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install 'trm\[hub\]'"):
        Sudoku(source="hub", root=str(tmp_path)).samples("train")


# -- files as people keep them ----------------------------------------------------------------------------------------


def as_columns(lines: list[str], names: str, *columns: int) -> str:
    rows = [",".join(line.split(",")[column] for column in columns) for line in lines]
    return "\n".join([names, *rows]) + "\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.csv", lambda lines: as_columns(lines, "quizzes,solutions", 1, 2).replace(".", "0").encode("utf-8-sig")),
        ("train.csv.gz", lambda lines: gzip.compress(as_columns(lines, "puzzle,difficulty", 1, 3).encode())),
        ("train.txt", lambda lines: ("# a list\n" + "\n".join(line.split(",")[1] for line in lines)).encode("utf-16")),
        ("train.sdm", lambda lines: "\r\n".join(line.split(",")[1] for line in lines).encode()),
        ("train.ss", lambda lines: "\n\n".join(Sudoku(4).render_board(tokens(line)) for line in lines).encode()),
    ],
    ids=["Kaggle's columns", "no answers, gzip", "a list in UTF-16", ".sdm", ".ss"],
)
def test_a_folder_may_have_any_files_of_puzzles(name: str, content: Any, folder: Path) -> None:
    expected = {split: sudoku(folder).samples(split) for split in ("train", "val")}
    (folder / "train.csv").unlink()
    (folder / name).write_bytes(content(table(rows=30)))
    for split, samples in expected.items():
        found = sudoku(folder).samples(split)
        assert np.array_equal(found.inputs, samples.inputs)
        assert np.array_equal(found.labels, samples.labels)  # where the file has none, solved exactly


def tokens(line: str) -> np.ndarray:
    return Sudoku(4).parse(line.split(",")[1])


def test_two_files_of_a_split_are_refused(folder: Path) -> None:
    (folder / "train.csv").unlink()
    for name in ("train.txt", "train.sdm"):
        (folder / name).write_text("")
    with pytest.raises(InputError, match=r"has train.txt and train.sdm, but one file for the train split is needed"):
        sudoku(folder).samples("train")


def test_one_file_is_divided_into_all_splits(folder: Path) -> None:
    data = sudoku(folder / "train.csv", test_size=6)
    splits = [boards(data, split) for split in ("train", "val", "test")]
    assert [len(split) for split in splits] == [19, 5, 6]
    assert len(set.union(*splits)) == 30
    with pytest.raises(InputError, match=r"data.test_size is null, which takes all rows of .*csv, but the training"):
        sudoku(folder / "train.csv").samples("test")


def test_a_rating_may_be_any_number_and_is_needed_only_if_asked_for(folder: Path) -> None:
    rated = [line.rpartition(",")[0] + f",{number / 4}" for number, line in enumerate(table(rows=30))]
    write(folder / "train.csv", rated)
    assert len(boards(sudoku(folder, min_rating=2.5), "train")) == 15
    (folder / "train.csv").write_text(as_columns(rated, "puzzle,solution", 1, 2))
    assert len(boards(sudoku(folder), "train")) == 25
    with pytest.raises(InputError, match=r"train.csv has no column of ratings, but data.min_rating is 2"):
        sudoku(folder, min_rating=2).samples("train")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"puzzle,solution\n" + b"1" * 200_000 + b",2\n", "line 2: the table cannot be read on: field larger"),
        ("Rätsel\n1...".encode("latin-1"), "line 1: it has the byte 0xe4 in an encoding other than the accepted UTF-8"),
        (b"1...\n....\n....\n", "line 1: the question has 14 cells, but 16 are needed"),
        (b"1..............." * 2, "line 1: the question has 32 cells"),
        (b"1...............", "line 1: the question has several solutions, but exactly one is needed"),
        (b"123....4........", "line 1: the question has no solution, but exactly one is needed"),
        ("1..............é".encode(), "line 1: the question has 'é' in cell 15, but only"),
    ],
    ids=["a long field", "Latin-1", "three rows", "a long line", "several solutions", "no solution", "a letter"],
)
def test_what_is_wrong_in_a_file_is_refused_with_its_line(content: bytes, message: str, folder: Path) -> None:
    (folder / "train.csv").write_bytes(content)
    with pytest.raises(InputError, match=rf"train\.csv, {message}"):
        sudoku(folder, val_size=0).samples("train")
