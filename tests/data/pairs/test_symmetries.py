"""Named symmetries: draws map pairs to pairs, keys find symmetric questions, contradictions are refused."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pairs import Grid, next_symbol, random_grids, write_lines, write_pairs

from trm.data import Pairs
from trm.data.integrity import check_data
from trm.data.sampling import DrawGenerator
from trm.errors import InputError

ALL = [("dihedral",), ("transpose",), ("horizontal_flip",), ("vertical_flip",), ("rows",), ("columns",), ("symbols",)]


def source(folder: Path, grids: list[Grid], rule: Callable[[Grid], Grid]) -> str:
    return str(write_pairs(folder / "pairs.jsonl", grids, rule))


def same(grid: Grid) -> Grid:
    return grid


def single(name: str, grid: Grid) -> list[Grid]:
    """Return the images of a grid of three symbols under the symmetries that a name stands for, one at a time."""
    orders = [list(order) for order in itertools.permutations(range(3))]
    return {
        "dihedral": [np.rot90(grid), grid.T],
        "transpose": [grid.T],
        "horizontal_flip": [grid[:, ::-1]],
        "vertical_flip": [grid[::-1]],
        "rows": [grid[order] for order in orders],
        "columns": [grid[:, order] for order in orders],
        "symbols": [np.array(order)[grid] for order in orders],
    }[name]


def images(names: tuple[str, ...], grid: Grid) -> set[bytes]:
    """Return all images of a 3x3 grid, under any sequence of symmetries."""
    found = {grid.tobytes(): grid}
    while True:
        fresh = [image for known in found.values() for name in names for image in single(name, known)]
        more = {image.tobytes(): image for image in fresh}
        if more.keys() <= found.keys():
            return set(found)
        found |= more


@pytest.mark.parametrize("names", [*ALL, ("transpose", "horizontal_flip"), ("transpose", "rows", "symbols")])
def test_draws_are_the_images_that_the_names_stand_for(names: tuple[str, ...], tmp_path: Path) -> None:
    grids = [*random_grids(9), np.arange(9).reshape(3, 3) % 3]
    data = Pairs(source(tmp_path, grids, same), symmetries=names)
    samples = data.samples("train")
    question = samples.inputs[:1]
    grid = (question[0].astype(np.int64) - 1).reshape(3, 3)
    count = 4000
    many = samples._replace(inputs=np.repeat(question, count, 0), labels=np.repeat(question, count, 0))
    drawn = data.augment(many._replace(puzzle_ids=np.zeros(count, np.int32)), DrawGenerator(0, 0, count))
    assert np.array_equal(drawn.inputs, drawn.labels)
    boards = {(board.astype(np.int64) - 1).tobytes() for board in drawn.inputs}
    assert boards == images(names, grid)
    keys = data.symmetry_keys(drawn)
    assert len(set(keys.tolist())) == 1
    others = data.symmetry_keys(samples._replace(inputs=samples.inputs[1:]))
    apart = [(board.astype(np.int64) - 1).tobytes() not in images(names, grid) for board in samples.inputs[1:]]
    assert [key != keys[0] for key in others] == apart


def test_smaller_grids_are_turned_within_their_corner(tmp_path: Path) -> None:
    grids = [*random_grids(8, (2, 3)), *random_grids(8, (4, 4))]
    data = Pairs(source(tmp_path, grids, next_symbol), symmetries=("dihedral",))
    assert data.layout.alphabet == ("", "0", "1", "2")
    for batch in (data.draw(0, 64), data.draw(64, 64)):
        for question, label in zip(batch.inputs.numpy().astype(np.uint8), batch.labels.numpy(), strict=True):
            written = data.write(question)
            assert written.count("[") in (3, 4, 5)  # rows of a 2x3, 3x2 or 4x4 grid
            assert np.array_equal(data.parse(written), question)
            assert np.array_equal((question == 1), (label == 1))


def test_symmetric_questions_are_in_one_split(tmp_path: Path) -> None:
    grids = random_grids(12)
    turned = [np.rot90(grid, turns) for grid in grids for turns in range(4)]
    data = Pairs(source(tmp_path, turned, next_symbol), symmetries=("dihedral",), val_size=8, test_size=8)
    report = check_data(data)
    assert report.clean
    assert [finding for finding in report.findings if "up to symmetry" in finding.what]
    plain = check_data(Pairs(str(tmp_path / "pairs.jsonl"), val_size=8, test_size=8))
    assert plain.clean  # without the symmetry they are different puzzles


@pytest.mark.parametrize(
    ("names", "rule", "refused"),
    [
        (("dihedral",), lambda grid: grid[::-1], "dihedral"),
        (("transpose",), lambda grid: np.tile(grid[:1], (3, 1)), "transpose"),
        (("horizontal_flip",), lambda grid: np.sort(grid, axis=1), "horizontal_flip"),
        (("rows",), lambda grid: np.roll(grid, 1, axis=0), "rows"),
        (("transpose", "columns"), lambda grid: np.roll(grid, 1, axis=0), "transpose"),
        (("symbols",), lambda grid: np.sort(grid, axis=1), "symbols"),
    ],
)
def test_a_symmetry_that_the_pairs_lack_is_refused(
    names: tuple[str, ...], rule: Callable[[Grid], Grid], refused: str, tmp_path: Path
) -> None:
    path = source(tmp_path, random_grids(400, (3, 3), 2 if "symbols" not in names else 3), rule)
    Pairs(path).prepare("fit")
    with pytest.raises(
        InputError, match=rf"data.symmetries has {refused}, which maps the question of .*jsonl, line \d+ to "
    ):
        Pairs(path, symmetries=names).prepare("fit")


def test_symbols_that_a_question_lacks_are_not_interchangeable(tmp_path: Path) -> None:
    pairs = [{"question": question, "answer": "abc"} for question in ("a..", ".b.", "ab.", "a.c")]
    path = str(write_lines(tmp_path / "pairs.jsonl", pairs))
    with pytest.raises(InputError, match=r"symbols, which maps the question of .* line 1 to itself, but its answer to"):
        Pairs(path, symmetries=("symbols",)).prepare("fit")


def test_only_symbols_of_answers_are_renamed_unless_others_are_named(tmp_path: Path) -> None:
    pairs = [{"question": f"{a}.{b}#", "answer": f"{a}{c}{b}#"} for a, b, c in itertools.permutations("123")]
    path = str(write_lines(tmp_path / "pairs.jsonl", pairs))
    data = Pairs(path, symmetries=("symbols",))
    assert (data.layout.alphabet, data.num_symbols) == ((".", "1", "2", "3", "#"), 4)
    data = Pairs(path, symmetries=("symbols",), symbols=("1", "2", "3"))
    assert (data.layout.alphabet, data.num_symbols) == (("#", ".", "1", "2", "3"), 3)
    drawn = data.draw(0, 200)
    hashes = drawn.inputs[:, 3]
    assert (hashes == 1).all()
    assert len({tuple(row) for row in drawn.inputs.tolist()}) == 6


def test_views_are_symmetries_and_their_inverse_is_known(tmp_path: Path) -> None:
    path = source(tmp_path, random_grids(30), next_symbol)
    for names, most in ((("dihedral",), 8), (("transpose",), 2), (("rows", "columns"), None)):
        data = Pairs(path, symmetries=names)
        views = data.views(most or 16)
        board = data.samples("test").inputs[:1].repeat(len(views.cells), axis=0)
        seen = views.apply(board, np.arange(len(board)))
        assert np.array_equal(seen[0], board[0])
        assert np.array_equal(views.undo(seen, np.arange(len(board))), board)
        if most:
            assert len(np.unique(views.cells, axis=0)) == most
            with pytest.raises(InputError, match=rf"views is {most + 1}, but these pairs have {most} symmetries"):
                data.views(most + 1)
    with pytest.raises(InputError, match="views is 2, but Pairs has no symmetries"):
        Pairs(path).views(2)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"symmetries": ("mirror",)}, "data.symmetries is 'mirror', but must be one of dihedral, transpose"),
        ({"symmetries": ("rows",), "answer_size": "any"}, "rows, which needs answers of the same size"),
        ({"answer_size": "free"}, "data.answer_size is 'free'; accepted are same and any"),
        ({"size": (0, 3)}, r"data.size is \[0, 3\]; accepted are rows and columns of at most 4,096"),
        ({"size": (2, 3)}, r"line 1: the question has 3x3; accepted are at most 2x3"),
        ({"alphabet": ("0", "1")}, r"the question has '2'; accepted are 0 1 \(data\.alphabet\)"),
        ({"alphabet": ("0", "0")}, "data.alphabet has '0' twice"),
        ({"alphabet": ("0", "")}, "data.alphabet has '', the outside of a grid, in another place"),
        ({"alphabet": ("0", "1", "2"), "symbols": ("9",)}, "data.symbols has '9', which is not in data.alphabet"),
        ({"train_size": 100}, r"has 30 different pairs, but the splits need at least 106 \(3 for test, 3 for val, 100"),
        ({"test_size": -1}, "data.test_size is -1, but must be at least 0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, object], sentence: str, tmp_path: Path) -> None:
    path = source(tmp_path, random_grids(30), next_symbol)
    with pytest.raises(InputError, match=sentence):
        Pairs(path, **arguments).prepare("fit")  # type: ignore[arg-type]
