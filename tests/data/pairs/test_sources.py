"""Files of pairs in all forms are read alike, and what is malformed is refused with file, line and value."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pairs import next_symbol, random_grids, write_lines, write_pairs

from trm.data import Pairs
from trm.errors import InputError

GRIDS = random_grids(30)


def texts(separator: str = "") -> list[tuple[str, str]]:
    """Return questions and answers as text, a line per row."""
    rows = [["\n".join(separator.join(map(str, row)) for row in grid) for grid in (g, next_symbol(g))] for g in GRIDS]
    return [(question, answer) for question, answer in rows]


def same(data: Pairs, other: Pairs) -> bool:
    """Return whether two sources have the same pairs in the same splits."""
    return all(
        np.array_equal(data.samples(split).inputs, other.samples(split).inputs)
        and np.array_equal(data.samples(split).labels, other.samples(split).labels)
        for split in ("train", "val", "test")
    )


@pytest.fixture
def lines(tmp_path: Path) -> Pairs:
    return Pairs(str(write_pairs(tmp_path / "pairs.jsonl", GRIDS)))


def test_sizes_symbols_and_splits_are_read_off_a_file_and_printed_once(
    lines: Pairs, caplog: pytest.LogCaptureFixture
) -> None:
    assert (lines.vocab_size, lines.seq_len, lines.num_puzzles) == (4, 9, 0)
    with caplog.at_level("INFO"):
        lines.prepare("fit")
        lines.prepare("test")
    assert caplog.text.count("pairs.jsonl: 30 pairs of 3x3 in 3 symbols (0 1 2), divided into 24 train, 3 val") == 1


def test_all_forms_of_a_file_have_the_same_pairs(lines: Pairs, tmp_path: Path) -> None:
    objects = [{"input": grid.tolist(), "output": next_symbol(grid).tolist(), "id": 1} for grid in GRIDS]
    (tmp_path / "list.json").write_text(json.dumps(objects, indent=1))
    (tmp_path / "lines.jsonl.gz").write_bytes(gzip.compress("\n\n".join(map(json.dumps, objects)).encode()))
    table = "\n".join(['quiz,"solution"', *(f'"{question}","{answer}"' for question, answer in texts(" "))])
    (tmp_path / "table.csv").write_text(table, encoding="utf-16")
    listed = "\n".join(["source\tsolutions\tquizzes", *(f"a\t{o['output']}\t{o['input']}" for o in objects)])
    (tmp_path / "lists.tsv").write_text(listed)
    write_lines(tmp_path / "text.jsonl", [{"puzzle": q, "Answer": f"\n{a}\n"} for q, a in texts(", ")])
    (tmp_path / "arrays").mkdir()
    np.save(tmp_path / "arrays" / "inputs.npy", np.stack(GRIDS).astype(np.int16))
    np.save(tmp_path / "arrays" / "outputs.npy", np.stack([next_symbol(grid) for grid in GRIDS]))
    (tmp_path / "strings").mkdir()
    np.save(tmp_path / "strings" / "questions.npy", np.array([question for question, _ in texts()]))
    np.save(tmp_path / "strings" / "answers.npy", np.array([answer for _, answer in texts()]))
    for name in ("list.json", "lines.jsonl.gz", "table.csv", "lists.tsv", "text.jsonl", "arrays", "strings"):
        assert same(Pairs(str(tmp_path / name)), lines), name


def test_a_row_of_cells_is_a_grid_if_the_size_is_given(lines: Pairs, tmp_path: Path) -> None:
    flat = [{"question": "".join(q.split()), "answer": "".join(a.split())} for q, a in texts()]
    path = str(write_lines(tmp_path / "flat.jsonl", flat))
    assert Pairs(path).grid == (1, 9)
    assert same(Pairs(path, size=(3, 3)), lines)
    with pytest.raises(InputError, match="has dihedral, which needs square grids, but these have 9 cells, one row; "):
        Pairs(path, symmetries=("dihedral",))


def test_a_folder_may_have_a_file_of_each_split(tmp_path: Path) -> None:
    write_pairs(tmp_path / "train.jsonl", GRIDS[:20])
    write_pairs(tmp_path / "test.jsonl", GRIDS[20:25])
    write_pairs(tmp_path / "validation.jsonl", GRIDS[25:])
    data = Pairs(str(tmp_path))
    assert [len(data.samples(split).inputs) for split in ("train", "val", "test")] == [20, 5, 5]
    tests = {data.write(tokens) for tokens in data.samples("test").inputs}
    assert tests == {"".join(map(str, grid.ravel())) for grid in GRIDS[20:25]}
    (tmp_path / "validation.jsonl").unlink()
    assert len(Pairs(str(tmp_path)).samples("val").inputs) == 2  # held out of the training file
    (tmp_path / "train.jsonl").unlink()
    data = Pairs(str(tmp_path))
    assert len(data.samples("test").inputs) == 5
    with pytest.raises(InputError, match=r"which has no train pairs; a train\.jsonl is needed there"):
        data.samples("train")


def test_arrays_of_each_split_have_its_name_before_theirs(tmp_path: Path) -> None:
    for split, part in (("train", GRIDS[:20]), ("test", GRIDS[20:])):
        np.save(tmp_path / f"{split}_questions.npy", np.stack(part))
        np.save(tmp_path / f"{split}_answers.npy", np.stack([next_symbol(grid) for grid in part]))
    assert len(Pairs(str(tmp_path)).samples("test").inputs) == 10


PAIR: dict[str, Any] = {"question": "010", "answer": "101"}


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        ({"question": [[1, 0], [1]], "answer": "11"}, "the question is ragged: row 1 has 2 cells, but row 2 has 1"),
        ({"question": "01\n0", "answer": "11"}, "the question is ragged: row 1 has 2 cells, but row 2 has 1"),
        ({"question": "", "answer": "11"}, "the question is empty, but needs at least one cell"),
        ({"question": [], "answer": []}, "the question is empty"),
        ({"question": "011", "answer": [[]]}, "the answer is empty"),
        ({"question": "011", "answer": "11"}, "the answer has 2 cells and its question 3 cells; accepted is the same"),
        ({"question": "011", "answer": None}, "there is no answer; accepted is one of answer, answers, output"),
        ({"question": "011"}, "there is no answer"),
        ({"answer": "011"}, "there is no question"),
        ({"question": "011", "input": "1", "answer": "1"}, "question and input both mean the question"),
        ({"question": [0, None, 1], "answer": "011"}, "the question has the cell null, which is no symbol"),
        ({"question": [0, 1.5, 1], "answer": "011"}, "the question has the cell 1.5, a floating-point number"),
        ({"question": [0, -1, 1], "answer": "011"}, "the question has the cell -1; accepted are integers from 0"),
        ({"question": [0, True, 1], "answer": "011"}, "the question has the cell true, a truth value"),
        ({"question": [0, "1", 1], "answer": "011"}, "the question mixes integers and text"),
        ({"question": [0, [1], 1], "answer": "011"}, "the question mixes lists and symbols"),
        ({"question": [[[0]]], "answer": "011"}, r"the question has the cell \[0\], a list"),
        ({"question": ["a", "", "b"], "answer": "011"}, "the question has the cell ''; accepted are 1 to 32 printable"),
        ({"question": ["a", "\x1b", "b"], "answer": "011"}, "the question has the cell"),
        ({"question": ["a" * 33, "b", "c"], "answer": "011"}, "the question has the cell 'aaa"),
        (
            {"question": 11, "answer": "011"},
            "the question is 11, an integer; accepted are text, lists of symbols and lists",
        ),
        ({"question": 0.5, "answer": "011"}, "the question is 0.5, a floating-point number; accepted are text"),
        ({"question": {"a": 1}, "answer": "011"}, "the question is {'a': 1}, an object; accepted are text"),
        ({"question": [0, 1, 1], "answer": "011"}, "the question is a list, but that of line 1 is text"),
        ({"question": "[1, 2", "answer": "011"}, r"the question begins with '\[', but it is not JSON: "),
        ({"question": "0" * 4097, "answer": "0" * 4097}, "a grid of 4,097 cells, but at most 4,096 cells are accepted"),
        (
            {"question": [str(n) for n in range(300)], "answer": [str(n) for n in range(300)]},
            "line 2: the question is a list, but that of line 1 is text",
        ),
        ({"question": "010", "answer": "111"}, "the question is that of .*line 1, but with another answer"),
        ([1, 2], 'it is no JSON object such as {"question": '),
    ],
)
def test_a_malformed_pair_is_refused_with_its_line(second: Any, sentence: str, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "pairs.jsonl", [PAIR, second, {"question": "111", "answer": "000"}])
    with pytest.raises(InputError, match=rf"pairs\.jsonl, line 2: .*{sentence}|{sentence}") as error:
        Pairs(str(path)).prepare("fit")
    assert "line 2" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "contains no pairs"),
        ("question,answer\n", "contains no pairs"),
        ("prompt,completion\n1,2\n", "names no column of questions; accepted is one of question, "),
        ("question,value\n1,2\n", "line 2: there is no answer; accepted is one of answer, "),
        ("question,answer\n1,2,3\n", "line 2: 3 columns, but 2 are needed"),
        ("quiz,puzzle,answer\n1,2,3\n", "the columns quiz and puzzle of the header both mean the question"),
        ("hello\n", "line 1: it is neither a JSON object nor the header of a table"),
        ('{"question": "01", "answer": "10"}\n{"question": \n', "line 2: it is not JSON: "),
        ('{"question": "01", "answer": "10"}\n', "has 1 different pair, but the splits need at least 3"),
        ('{"question": "01", "answer": "10"}\n' * 9, "has 1 different pair, but"),
    ],
)
def test_a_file_that_has_no_pairs_is_refused(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text(text)
    with pytest.raises(InputError, match=sentence):
        Pairs(str(tmp_path / "pairs.txt")).prepare("fit")


def test_too_many_symbols_are_refused_where_they_begin(tmp_path: Path) -> None:
    cells = [[str(number) for number in range(first, first + 50)] for first in range(0, 300, 50)]
    path = write_lines(tmp_path / "many.jsonl", [{"question": row, "answer": row[::-1]} for row in cells])
    with pytest.raises(InputError, match="line 6: the question has '299', another symbol besides 254 others"):
        Pairs(str(path))


def test_a_canvas_of_too_many_cells_is_refused(tmp_path: Path) -> None:
    pairs = [{"question": grid, "answer": grid} for grid in ([[0] * 100], [[0]] * 100)]
    with pytest.raises(InputError, match="up to 100 rows and 100 columns, a canvas of 10,000 cells; accepted are at"):
        Pairs(str(write_lines(tmp_path / "wide.jsonl", pairs)))


@pytest.mark.parametrize(
    ("questions", "answers", "sentence"),
    [
        (np.zeros((4, 2, 2)), None, r"has shape \(4, 2, 2\) and type float64; accepted are integers or text"),
        (np.zeros(4, dtype=int), None, r"has shape \(4,\) and type int64"),
        (np.array([None, 1]), None, "cannot read .*questions.npy as an array: Object arrays cannot be loaded"),
        (np.zeros((4, 2), dtype=int), np.zeros((3, 2), dtype=int), "has 4 questions, but .*answers.npy has 3"),
        (np.full((4, 2), -1), np.zeros((4, 2), dtype=int), r"questions\.npy, row 0 has the cell -1"),
        (np.zeros((4, 2), dtype=int), np.zeros((4, 3), dtype=int), r"questions\.npy, row 0: the answer has 3 cells"),
    ],
)
def test_arrays_that_are_no_pairs_are_refused(
    questions: np.ndarray[Any, Any], answers: np.ndarray[Any, Any] | None, sentence: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "questions.npy", questions)
    np.save(tmp_path / "answers.npy", questions if answers is None else answers)
    with pytest.raises(InputError, match=sentence):
        Pairs(str(tmp_path)).prepare("fit")


def test_a_source_that_has_no_file_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "alone.npy", np.zeros((4, 2), dtype=int))
    for source, sentence in (
        ("", "data.source is empty; a file of pairs is needed there"),
        (str(tmp_path / "none.jsonl"), "cannot read .*none.jsonl: No such file or directory"),
        (str(tmp_path), "has no file of pairs; accepted in a folder are train.jsonl and test.jsonl"),
        (str(tmp_path / "alone.npy"), "one array, but pairs need two"),
    ):
        with pytest.raises(InputError, match=sentence):
            Pairs(source)
    np.save(tmp_path / "questions.npy", np.zeros((4, 2), dtype=int))
    with pytest.raises(InputError, match=r"questions\.npy has no answers beside it; accepted is answers\.npy"):
        Pairs(str(tmp_path))
    for name in ("train.csv", "train.jsonl"):
        (tmp_path / name).write_text("")
    with pytest.raises(InputError, match=r"has train\.jsonl and train\.csv, but one file for the train split is"):
        Pairs(str(tmp_path))
