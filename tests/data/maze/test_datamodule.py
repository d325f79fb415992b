"""The Maze data module: sources, symmetries, text and rules."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trm.data.maze import Maze
from trm.data.maze.paths import FREE, GOAL, LABEL_RULES, PATH, START, WALL, find_errors, find_faults, symmetry_cells
from trm.data.samples import Samples
from trm.data.sampling import DrawGenerator
from trm.errors import InputError

MAZE_HARD = Path(__file__).parent / "maze-hard.csv"
SMALL = "S..#.......G...."  # 4x4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table of the same five mazes to train on and to test with."""
    for file in ("train.csv", "test.csv"):
        shutil.copyfile(MAZE_HARD, tmp_path / file)
    return tmp_path


def from_table(folder: Path, **arguments: Any) -> Maze:
    return Maze(
        **{"source": str(folder), "train_size": None, "val_size": 2, "test_size": None, "workers": 0, **arguments}
    )


def generated(root: Path, **arguments: Any) -> Maze:
    sizes = {"size": 8, "train_size": 40, "val_size": 5, "test_size": 5}
    return Maze(**{**sizes, "kind": "unique", "root": str(root), "workers": 0, **arguments})


def label(inputs: NDArray[np.uint8], rule: str = "down-left-right-up") -> NDArray[np.uint8]:
    size = round(inputs.shape[1] ** 0.5)
    return LABEL_RULES[rule](inputs.reshape(-1, size, size)).reshape(inputs.shape)


def test_dimensions_follow_the_size() -> None:
    data = Maze(size=11)
    assert (data.vocab_size, data.seq_len, data.num_puzzles) == (6, 121, 1)
    assert data.family["class_path"] == "trm.data.Maze"
    assert Maze(**data.family["init_args"]).seq_len == 121


# -- sources ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["hard", "unique"])
def test_generated_samples_are_questions_with_the_answers_of_the_rule(tmp_path: Path, kind: str) -> None:
    data = generated(tmp_path, kind=kind, min_moves=12, label_rule="up-right-left-down")
    for split, count in data.counts.items():
        samples = data.samples(split)
        grids = samples.inputs.reshape(-1, 8, 8)
        assert len(samples.inputs) == count
        assert find_faults(grids) == [""] * count
        assert find_errors(grids, samples.labels.reshape(-1, 8, 8)) == [""] * count
        assert (samples.labels == label(samples.inputs, "up-right-left-down")).all()
        assert not samples.puzzle_ids.any()


def test_mazes_are_generated_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = generated(tmp_path / "new").samples("train")
    monkeypatch.setattr("trm.data.maze.sources.generate", None)
    again = generated(tmp_path / "new", label_rule="up-down-left-right").samples("train")
    assert (first.inputs == again.inputs).all()
    with pytest.raises(TypeError):
        generated(tmp_path / "new", seed=1).samples("train")


def test_a_generator_that_finds_nothing_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trm.data.maze.generator.PATIENCE", 5000)
    with pytest.raises(InputError, match=r"cannot generate maze-unique-8x8: no more 8x8 mazes .* of 50 moves"):
        generated(tmp_path, min_moves=50).samples("train")
    assert not list(tmp_path.iterdir())


def test_a_broken_cache_file_is_reported(tmp_path: Path) -> None:
    generated(tmp_path).samples("train")
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"cannot read .*npz: .*; delete it to have it generated again"):
        generated(tmp_path).samples("train")


def test_validation_is_held_out_of_the_training_file(folder: Path) -> None:
    data = from_table(folder)
    train, val, test = (data.samples(split).inputs for split in ("train", "val", "test"))
    assert (len(train), len(val), len(test)) == (3, 2, 5)
    assert {bytes(row) for row in (*train, *val)} == {bytes(row) for row in test}
    assert (from_table(folder, train_size=1).samples("val").inputs == val).all()


def test_labels_of_a_table_are_its_answers(folder: Path) -> None:
    samples = from_table(folder).samples("test")
    assert (samples.labels == label(samples.inputs)).all()
    assert ((samples.labels == PATH).sum(axis=1) >= 108).all()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("S", " ", "line 4: the question is wrong: it has no start"),
        ("G", "S", "line 4: the question is wrong: it has 2 starts"),
        ("G", " ", "line 4: the question is wrong: it has no goal"),
        ("S", "X", "line 4: the question has 'X' in cell"),
    ],
)
def test_the_first_wrong_question_is_refused(folder: Path, old: str, new: str, message: str) -> None:
    change(folder, "question", old, new)
    with pytest.raises(InputError, match=f"train.csv, {message}"):
        from_table(folder).samples("train")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("#", " ", "line 4: the answer is wrong: row 1, column 10 is not as in the question"),
        ("o", " ", "line 4: the answer is wrong: not a path: the marks end, branch or touch at row"),
        ("S", "X", "line 4: the answer has 'X' in cell"),
    ],
)
def test_the_first_wrong_answer_is_refused(folder: Path, old: str, new: str, message: str) -> None:
    change(folder, "answer", old, new)
    with pytest.raises(InputError, match=f"train.csv, {message}"):
        from_table(folder).samples("train")


def change(folder: Path, column: str, old: str, new: str) -> None:
    """Replace the first ``old`` of a column in the third maze of the training file."""
    lines = (folder / "train.csv").read_text().splitlines()
    fields = lines[3].split(",")
    at = ("source", "question", "answer").index(column)
    fields[at] = fields[at].replace(old, new, 1)
    lines[3] = ",".join(fields)
    (folder / "train.csv").write_text("\n".join(lines) + "\n")


def test_answers_of_another_rule_are_refused_unless_taken_as_they_are(folder: Path) -> None:
    rule = "up-left-right-down"
    with pytest.raises(
        InputError, match=r"line 2: the answer is wrong: a shortest path, but not that of data\.label_rule"
    ):
        from_table(folder, label_rule=rule).samples("train")
    data = from_table(folder, label_rule=None, symmetries="none")
    assert (data.samples("test").labels == label(data.samples("test").inputs)).all()


def test_more_rows_than_there_are_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"test\.csv has 5 rows to choose from, but the split sizes require 6"):
        from_table(folder, test_size=6).samples("test")
    with pytest.raises(InputError, match=r"train\.csv has 5 rows to choose from, but the split sizes require 7"):
        from_table(folder, train_size=5).samples("train")
    with pytest.raises(InputError, match=r"cannot read .*nowhere"):
        from_table(folder / "nowhere").samples("train")


# -- symmetries -------------------------------------------------------------------------------------------------------


def augmented(data: Maze, count: int) -> tuple[Samples, Samples, NDArray[np.intp]]:
    """Return copies of the first maze before and after augmentation, and the symmetry that each has gone through."""
    samples = Samples(*(np.repeat(field[:1], count, axis=0) for field in data.samples("train")))
    after = data.augment(samples, DrawGenerator(0, 0, count))
    images = samples.inputs[0][symmetry_cells(data.size)]  # (8, L)
    same = (after.inputs[:, None] == images).all(axis=2)
    assert (same.sum(axis=1) == 1).all()
    return samples, after, same.argmax(axis=1)


def test_relabelling_gives_the_label_of_the_transformed_maze(folder: Path) -> None:
    _, after, used = augmented(from_table(folder), 64)
    assert set(used) == set(range(8))
    assert (after.labels == label(after.inputs)).all()


def test_official_symmetries_transform_the_label(folder: Path) -> None:
    before, after, used = augmented(from_table(folder, symmetries="official"), 64)
    assert set(used) == set(range(8))
    assert (after.labels == np.take_along_axis(before.labels, symmetry_cells(30)[used], axis=1)).all()
    assert (after.labels != label(after.inputs)).any(), "another tie-break than that of the rule"


def test_without_symmetries_samples_stay_unchanged(folder: Path) -> None:
    _, after, used = augmented(from_table(folder, symmetries="none"), 8)
    assert not used.any()
    assert (after.labels == label(after.inputs)).all()


def test_each_symmetry_is_drawn_about_as_often(tmp_path: Path) -> None:
    _, _, used = augmented(generated(tmp_path), 4000)
    assert (abs(np.bincount(used, minlength=8) - 500) < 100).all()


def test_draws_depend_on_seed_and_number_alone(tmp_path: Path) -> None:
    whole = generated(tmp_path).draw(0, 50)
    part = generated(tmp_path).draw(30, 20)
    assert (whole.inputs[30:] == part.inputs).all()
    assert (whole.labels[30:] == part.labels).all()


# -- text and rules ---------------------------------------------------------------------------------------------------


def test_what_is_written_can_be_parsed(folder: Path) -> None:
    data = from_table(folder)
    for tokens in data.samples("test").inputs:
        text = data.write(tokens)
        assert len(text.split()) == 1
        assert (data.parse(text) == tokens).all()


def test_a_maze_can_be_one_line_or_several_with_dots_or_spaces() -> None:
    data = Maze(size=4)
    tokens = data.parse(SMALL)
    assert tokens.tolist() == [START, FREE, FREE, WALL, *[FREE] * 7, GOAL, *[FREE] * 4]
    rows = [SMALL[first : first + 4] for first in range(0, 16, 4)]
    for text in (SMALL + "\n", "\n".join(rows), "\n".join(rows) + "\n", "\r\n".join(rows), "\n" + "\n".join(rows)):
        assert (data.parse(text) == tokens).all()
        assert (data.parse(text.replace(".", " ")) == tokens).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SMALL[1:], r"has 15 cells in line 1, but 4x4 needs 16; write free cells at the end"),
        (SMALL.replace(".", " ").rstrip(), "has 12 cells in line 1, but 4x4 needs 16"),
        ("S..#\n...\n...G\n....", "has 3 cells in line 2, but 4x4 needs 4"),
        ("S..#\n....\n...G", "has 3 lines; accepted are 1 and 4"),
        (
            SMALL.replace("#", "x"),
            r"has 'x' in row 1, column 4; accepted are '#' or '1', '\.', ' ' or '0', 'S', and 'G' or 'E'",
        ),
        (SMALL.replace("#", "1").replace(".", "#", 1), "is ambiguous: it has both '#' and the digits 0 and 1"),
        (SMALL.replace("S", "."), "cannot be solved: it has no start, but exactly one is needed"),
        (SMALL.replace("G", "."), "cannot be solved: it has no goal, but exactly one is needed"),
        (SMALL.replace("#", "S"), "cannot be solved: it has 2 starts, but exactly one is needed"),
        ("S#..##.....G....", "cannot be solved: no path leads from S to G"),
    ],
)
def test_text_that_is_no_maze_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^the maze .* {message}"):
        Maze(size=4).parse(text)


def test_the_path_is_coloured() -> None:
    data = Maze(size=4)
    question = data.parse(SMALL)
    answer = label(question[None])[0]
    assert data.render_board(answer) == "S..#\no...\noooG\n...."
    assert data.render_board(answer, question, color=True).count("\033[1;32mo\033[0m") == 4
    assert "\033" not in data.render_board(question, question, color=True)


def test_verify_names_the_broken_rule() -> None:
    data = Maze(size=4)
    question = data.parse(SMALL)
    for rule in LABEL_RULES:
        assert data.verify(question, label(question[None], rule)[0]) == (True, "")
    valid, reason = data.verify(question, question)
    assert not valid
    assert reason == "not a path: the marks end, branch or touch at row 1, column 1"


# -- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 2}, "data.size is 2; accepted are 3 to 64"),
        ({"size": -3}, "data.size is -3"),
        ({"val_size": -1}, "data.val_size is -1, but must be at least 0"),
        ({"kind": "easy"}, "data.kind is 'easy'; accepted are hard, unique"),
        ({"min_moves": 0}, "data.min_moves is 0; accepted are 1 to 899, and null"),
        ({"symmetries": "all"}, "data.symmetries is 'all'; accepted are relabel, official, none"),
        ({"label_rule": "down"}, "data.label_rule is 'down'; accepted are the orders of down, left, right, up"),
        ({"label_rule": None}, "data.label_rule is null, .* they are 'generate' and 'relabel'"),
        ({"label_rule": None, "source": "hub"}, "data.label_rule is null, .* they are 'hub' and 'relabel'"),
        ({"slots": 0}, "data.slots is 0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Maze(**arguments)


WALLED = ["00000", "0S110", "00010", "0G110", "00000"]
"""A maze of digits in which 0 is a wall; with 1 as a wall, its border is a way around."""
SPLIT = ["S1111", "00001", "00111", "00100", "001G0"]
"""Another, in which no path leads from S to G if 1 is a wall."""


def read(path: Path, *rows: tuple[list[str], str], header: str = "question,answer") -> Samples:
    """Return the test split of a table of 5x5 mazes."""
    path.write_text("\n".join([header, *(f"{''.join(maze)},{answer}" for maze, answer in rows)]) + "\n")
    return Maze(5, str(path), train_size=0, val_size=0, test_size=len(rows)).samples("test")


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([(SPLIT, "")], "a maze has no path from S to G"),
        ([(WALLED, "")], "no maze has a wall on its border"),
        ([(WALLED, ""), (SPLIT, "")], "a maze has no path from S to G"),
        ([(WALLED, "00000 0Soo0 000o0 0Goo0 00000".replace(" ", ""))], "a maze or its answer is wrong"),
    ],
)
def test_mazes_of_digits_in_which_0_must_be_a_wall_are_refused(
    rows: list[tuple[list[str], str]], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"mazes.csv, line 2: if 1 is a wall, as it is read, {reason}; if 0 is one"):
        read(tmp_path / "mazes.csv", *rows)
    with pytest.raises(InputError, match=r"makes no sense: if 1 is a wall, as it is read, .* write walls as '#'"):
        Maze(5).parse("\n".join(rows[0][0]))


def test_mazes_of_digits_that_make_sense_are_read_with_1_as_a_wall(tmp_path: Path) -> None:
    exchanged = ["".join(row).translate(str.maketrans("01", "10")) for row in (WALLED, SPLIT)]
    samples = read(tmp_path / "mazes.csv", *((list(maze), "") for maze in exchanged))
    assert ((samples.inputs == WALL).sum(axis=1) == [maze.count("1") for maze in exchanged]).all()
    both = ["S0000", "11110", "00010", "01110", "0000G"]  # solvable with either
    assert (read(tmp_path / "both.csv", (both, "")).inputs == WALL).sum() == 8
    with pytest.raises(InputError, match="cannot be solved: it has no goal, but exactly one is needed"):
        Maze(5).parse("\n".join(SPLIT).replace("G", "1"))
