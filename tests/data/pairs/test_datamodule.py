"""A family of pairs is built again without its file, reads and writes text, and divides a file in one way."""

from pathlib import Path

import numpy as np
import pytest
from pairs import next_symbol, random_grids, write_lines, write_pairs

from trm.data import Pairs
from trm.errors import InputError

WORDS = [{"question": word, "answer": word[::-1]} for word in ("abc", "de", "abcd", "cab", "bad", "ed", "dab", "a")]


def test_splits_do_not_depend_on_the_order_of_the_lines(tmp_path: Path) -> None:
    grids = random_grids(60)
    first, second = (
        Pairs(str(write_pairs(tmp_path / name, part)))
        for name, part in (("a.jsonl", grids), ("b.jsonl", [*grids[::-1], *grids[:5]]))
    )
    for split, size in (("train", 48), ("val", 6), ("test", 6)):
        boards = [{bytes(board) for board in data.samples(split).inputs} for data in (first, second)]
        assert boards[0] == boards[1]
        assert len(boards[0]) == size
    other = Pairs(str(tmp_path / "a.jsonl"), seed=1)
    assert not np.array_equal(other.samples("test").inputs, first.samples("test").inputs)


def test_sizes_of_splits_are_those_that_are_asked_for(tmp_path: Path) -> None:
    data = Pairs(str(write_pairs(tmp_path / "a.jsonl", random_grids(60))), train_size=20, val_size=0, test_size=7)
    assert [len(data.samples(split).inputs) for split in ("train", "val", "test")] == [20, 0, 7]


def test_a_family_is_built_again_without_its_file(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "words.jsonl", WORDS)
    data = Pairs(str(path), symmetries=("horizontal_flip",))
    kept = data.kept_samples()
    path.unlink()
    again = Pairs(**data.family["init_args"])
    assert again.family == data.family
    assert again.parse("bad").tolist() == data.parse("bad").tolist() == [3, 2, 5, 1]
    with pytest.raises(InputError, match=r"words\.jsonl: No such file"):
        again.samples("test")
    arguments = data.family["init_args"]
    again.recall(kept, arguments | {"source": "other.jsonl"})
    with pytest.raises(InputError, match="No such file"):
        again.samples("test")
    again.recall(kept, arguments)
    assert np.array_equal(again.samples("test").inputs, data.samples("test").inputs)
    with pytest.raises(InputError, match="No such file"):
        again.samples("train")
    with pytest.raises(InputError, match="returns"):
        again.recall({"test": kept["test"][:, :1]}, arguments)


@pytest.mark.parametrize(
    ("pairs", "written"),
    [
        (WORDS[:3], ["abc", "de", "abcd"]),
        ([{"question": [10, 2], "answer": [2, 10]}, {"question": [3, 2], "answer": [2, 3]}], ["[10,2]", "[3,2]"]),
        (
            [{"question": ["01", "1"], "answer": ["1", "01"]}, {"question": ["1", "1"], "answer": ["1", "1"]}],
            ['["01","1"]', '["1","1"]'],
        ),
        ([{"question": "red blue", "answer": "blue red"}, {"question": "a b", "answer": "b a"}], ['["red","blue"]']),
        ([{"question": "12\n21", "answer": "21\n12"}, {"question": "11\n22", "answer": "22\n11"}], ["1221", "1122"]),
        ([{"question": "12\n21", "answer": "21\n12"}, {"question": "1", "answer": "2"}], ["[[1,2],[2,1]]", "1"]),
        (
            [{"question": ["#", " "], "answer": [" ", "#"]}, {"question": ["#", "#"], "answer": ["#", "#"]}],
            ['["#"," "]'],
        ),
    ],
)
def test_what_is_written_is_read_back(pairs: list[dict[str, object]], written: list[str], tmp_path: Path) -> None:
    data = Pairs(str(write_lines(tmp_path / "pairs.jsonl", pairs)), answer_size="any")
    for pair, line in zip(pairs, written, strict=False):
        value = pair["question"]
        tokens = data.parse(value if isinstance(value, str) else str(value).replace("'", '"'))
        assert data.write(tokens) == line
        assert np.array_equal(data.parse(line), tokens)
        assert data.verify(tokens, tokens).in_words == "well formed; no rules are known to check it by"


def test_answers_may_have_another_size_if_they_are_allowed_to(tmp_path: Path) -> None:
    pairs = [{"question": word, "answer": word[:1]} for word in ("abc", "bca", "cab", "acb")]
    path = str(write_lines(tmp_path / "first.jsonl", pairs))
    with pytest.raises(InputError, match=r"line 1: the answer has 1 cell and its question 3 cells; .*answer_size any"):
        Pairs(path)
    data = Pairs(path, answer_size="any")
    samples = data.samples("train")
    assert {data.write(label) for label in samples.labels} <= set("abc")
    assert data.verify(samples.inputs[0], samples.labels[0]).valid


def test_an_answer_that_is_no_grid_is_not_well_formed(tmp_path: Path) -> None:
    grids = [*random_grids(5, (2, 2)), *random_grids(5)]
    data = Pairs(str(write_pairs(tmp_path / "pairs.jsonl", grids)))
    question = data.parse("12\n21")
    answer = question.copy()
    answer[4] = 1
    assert data.verify(question, answer).reason == "its cells form no grid"
    assert data.verify(question, data.parse("122\n211\n000")).reason == "it has another size than the question"
    assert data.verify(question, answer * 0).reason == "cell 1 has no symbol"


def test_the_questions_of_a_file_are_found_in_every_form(tmp_path: Path) -> None:
    data = Pairs(str(write_lines(tmp_path / "words.jsonl", WORDS)))
    for lines in (
        ['{"question": "abc", "answer": null}', '{"input": "de"}'],
        ["word,question", "1,abc", "2,de"],
        ["", "abc", "de  ; well formed; 3 supervision steps"],
        ['["a","b","c"]', "[ ]"],
    ):
        boards = list(data.split_text(lines))
        assert data.parse(boards[0].question).tolist() == data.parse("abc").tolist()
        assert len(boards) == 2
    assert list(data.split_text(['{"question": "abc"}', "{"]))[1].fault.startswith("it is not JSON")
    for text, sentence in (
        ("abcde", "the question 'abcde' has 5 cells; accepted are at most 4 cells"),
        ("xyz", "the question 'xyz' has 'x'; accepted are a b c d e"),
        ("", "the question '' is empty"),
    ):
        with pytest.raises(InputError, match=sentence):
            data.parse(text)


def test_a_board_is_drawn_as_its_grid(tmp_path: Path) -> None:
    grids = [next_symbol(grid) * 5 for grid in random_grids(6, (2, 3))]
    data = Pairs(str(write_pairs(tmp_path / "pairs.jsonl", grids, lambda grid: grid)))
    board = data.parse("[[0, 5, 10], [10, 5, 0]]")
    assert data.render_board(board) == " 0  5 10\n10  5  0"
    assert data.render_board(board, board) == " 0  5 10    0  5 10\n10  5  0   10  5  0"
