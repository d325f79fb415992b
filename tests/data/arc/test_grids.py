"""Grids against the official numbers, and the properties that undoing an augmentation rests on."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import official
import pytest
from official import Pair

from trm.data.arc.augment import colour_sums
from trm.data.arc.grids import (
    COLOURS,
    FIRST_COLOUR,
    INVERSES,
    SIDE,
    TOKEN_WEIGHTS,
    TRANSFORMS,
    Grid,
    Grids,
    crop,
    encode,
)


def golden(name: str) -> Any:
    return json.loads((official.GOLDEN / "arc" / f"{name}.json").read_text())


def as_grid(value: list[list[int]]) -> Grid:
    return np.array(value, dtype=np.uint8).reshape(len(value), -1)


@pytest.fixture(scope="module")
def many() -> Grids:
    rng = np.random.default_rng(0)
    shapes = [(1, 1), (SIDE, SIDE), (1, SIDE), (SIDE, 1), *rng.integers(1, SIDE + 1, (36, 2))]
    return Grids.stack([rng.integers(0, COLOURS, shape).astype(np.uint8) for shape in shapes])


def transforms() -> Iterator[Pair]:
    case = golden("dihedral")
    grids = Grids.stack([as_grid(case["grid"])])
    for transform in range(TRANSFORMS):
        there, back = (grids.transformed(np.array([t])).grid(0).tolist() for t in (transform, INVERSES[transform]))
        yield Pair("transforms", there, case["transforms"][str(transform)])
        yield Pair("transforms", back, case["inverse_transforms"][str(transform)])


def augmentations() -> Iterator[Pair]:
    for case in golden("augment_names"):
        _, transform, digits = [*case["name"].split("|||"), "t0", "0123456789"][:3]
        colours, turn = np.array([[int(digit) for digit in digits]]), np.array([int(transform[1])])
        grids = Grids.stack([as_grid(case["grid"])])
        yield Pair("augmentations", grids.recoloured(colours).transformed(turn).grid(0).tolist(), case["augmented"])
        undone = grids.transformed(INVERSES[turn]).recoloured(colours.argsort(axis=1))
        yield Pair("augmentations", undone.grid(0).tolist(), case["inverse_applied_to_grid"])


def encoding() -> Iterator[Pair]:
    for case in golden("encode"):
        down, right = case["offset_row_col"]
        for part in ("input", "output"):
            grids = Grids.stack([as_grid(case[part])])
            yield Pair("encoding", encode(grids, down, right)[0].tolist(), case[f"{part}_seq"])


def cropping() -> Iterator[Pair]:
    for case in golden("crop"):
        found = crop(np.array([case["seq"]])).grid(0)
        yield Pair("cropping", found.shape, case["crop_shape"])
        if found.size:
            yield Pair("cropping", found.tolist(), case["crop"])


PARTS = (transforms, augmentations, encoding, cropping)


@pytest.mark.parametrize("part", PARTS)
def test_grids_match_official(part: Callable[[], Iterator[Pair]]) -> None:
    official.assert_match(part())


@pytest.mark.parametrize("transform", range(TRANSFORMS))
def test_transforms_are_undone_by_their_inverse(transform: int, many: Grids) -> None:
    transforms = np.full(len(many.cells), transform)
    there = many.transformed(transforms)
    again = there.transformed(INVERSES[transforms])
    assert all(np.array_equal(one, other) for one, other in zip(many, again, strict=True))


def test_each_grid_has_its_own_transform(many: Grids) -> None:
    transforms = np.arange(len(many.cells)) % TRANSFORMS
    together = many.transformed(transforms)
    for index, transform in enumerate(transforms):
        alone = many.take(np.array([index])).transformed(np.array([transform]))
        assert np.array_equal(together.grid(index), alone.grid(0))


def test_cropping_finds_what_was_encoded_at_the_top_left(many: Grids) -> None:
    found = crop(encode(many))
    assert all(np.array_equal(one, other) for one, other in zip(many, found, strict=True))


def test_a_moved_grid_keeps_its_cells_and_end_marks(many: Grids) -> None:
    rng = np.random.default_rng(1)
    down, right = rng.integers(0, SIDE + 1 - many.heights), rng.integers(0, SIDE + 1 - many.widths)
    for canvas, grid, row, column in zip(
        encode(many, down, right).reshape(-1, SIDE, SIDE),
        map(many.grid, range(len(down))),
        down,
        right,
        strict=True,
    ):
        height, width = grid.shape
        expected = np.zeros((SIDE + 1, SIDE + 1), dtype=np.uint8)
        expected[row + height, column : column + width] = 1
        expected[row : row + height, column + width] = 1
        expected[row : row + height, column : column + width] = grid + FIRST_COLOUR
        assert np.array_equal(canvas, expected[:SIDE, :SIDE])


@pytest.mark.parametrize("side", [1, 6, SIDE - 1])
def test_a_smaller_canvas_is_the_corner_of_the_official_one(many: Grids, side: int) -> None:
    fitting = many.take(np.flatnonzero(np.maximum(many.heights, many.widths) <= side))
    assert len(fitting.cells)
    whole = encode(fitting).reshape(-1, SIDE, SIDE)
    tokens = encode(fitting, side=side)
    assert np.array_equal(tokens.reshape(-1, side, side), whole[:, :side, :side])
    assert all(np.array_equal(one, other) for one, other in zip(fitting, crop(tokens), strict=True))


def test_no_grid_has_no_tokens() -> None:
    empty = Grids.stack([np.zeros((0, 0), dtype=np.uint8)])
    assert not encode(empty).any()
    assert not encode(empty.transformed(np.array([3]))).any()
    assert encode(Grids.stack([])).shape == (0, SIDE * SIDE)


def test_hashes_distinguish_shapes_and_cells() -> None:
    grids = [np.zeros(shape, dtype=np.uint8) for shape in ((1, 1), (1, 2), (2, 1), (2, 2))]
    grids += [np.array(cells, dtype=np.uint8) for cells in ([[1, 2]], [[2, 1]], [[1], [2]])]
    assert len(set(Grids.stack(grids).hashes().tolist())) == len(grids)


def test_hashes_of_images_follow_from_sums_per_colour(many: Grids) -> None:
    rng = np.random.default_rng(2)
    transforms = rng.integers(0, TRANSFORMS, len(many.cells))
    colours = np.stack([rng.permutation(COLOURS) for _ in transforms])
    sums = colour_sums(many)[np.arange(len(transforms)), transforms]  # (N, 10)
    predicted = (sums * TOKEN_WEIGHTS[colours + FIRST_COLOUR]).sum(axis=1)
    assert np.array_equal(predicted, many.recoloured(colours).transformed(transforms).hashes())


def test_computed_cases_match_official() -> None:
    """Cases that the official functions gave for grids written here, apart from the stored fixtures."""
    case = json.loads((official.GOLDEN / "formula" / "data_golden.json").read_text())
    pair = Grids.stack([as_grid([[1, 2, 3], [4, 5, 6]]), as_grid([[7]])])
    for transform, expected in case["dihedral"].items():
        assert pair.transformed(np.array([int(transform)] * 2)).grid(0).tolist() == expected

    moved = encode(pair, 12, 15).reshape(2, SIDE, SIDE)  # the offset that the official code drew
    for tokens, name in zip(moved, ("inp_nonzero", "out_nonzero"), strict=True):
        assert [[row, column, int(tokens[row, column])] for row, column in np.argwhere(tokens)] == case[
            "translate_seed0"
        ][name]

    clean = encode(pair)[:1]
    hole = clean.copy()
    hole[0, SIDE + 2] = 0  # row 1, column 2
    assert crop(clean).grid(0).tolist() == case["crop"]["clean"]
    assert crop(hole).grid(0).tolist() == case["crop"]["hole_at_1_2"]
    assert list(crop(np.full((1, SIDE * SIDE), FIRST_COLOUR)).grid(0).shape) == case["crop"]["full_shape"]
    assert [list(crop(np.ones((1, SIDE * SIDE), dtype=np.uint8)).grid(0).shape)] == case["crop"]["all_eos"]
