"""The ARC data module: what is drawn, what is asked, and that the two are kept apart."""

import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from trm.batch import IGNORE, Batch
from trm.data import PuzzleData
from trm.data.arc import ARC
from trm.data.arc.grids import SIDE, Grids, crop, encode
from trm.data.integrity import check_data
from trm.data.sampling import EvalBatches, TrainBatches
from trm.errors import InputError

Files = dict[str, dict[str, Any]]
Build = Callable[..., ARC]


def published(data: ARC, batch: Batch) -> list[tuple[str, str, str]]:
    """Undo moves and augmentations: name of the task, input and output of each row."""
    found, ids = [], batch.puzzle_ids.numpy()
    for field in (batch.inputs, batch.labels):
        tokens = field.clamp(min=0).numpy().astype(np.uint8).reshape(-1, SIDE, SIDE)
        corners = [np.argwhere(canvas >= 2).min(axis=0) for canvas in tokens]
        home = np.stack([np.roll(c, -at, axis=(0, 1)) for c, at in zip(tokens, corners, strict=True)])
        grids = data.symmetries.undo(crop(home.reshape(len(ids), -1)), ids)
        found.append([str(grids.grid(row).tolist()) for row in range(len(ids))])
    return list(zip([data.resolve(int(puzzle)).task for puzzle in ids], *found, strict=True))


def test_sizes_are_the_official_ones_without_augmentations() -> None:
    data = ARC(("training", "evaluation"), augmentations=0)
    assert data.num_puzzles == 1 + 800
    assert len(data.load("train").inputs) == 3988 - 427 - 480  # the official set has ConceptARC too
    assert data.eval_size("test") == 419
    assert (data.vocab_size, data.seq_len) == (12, 900)


def test_test_outputs_are_never_drawn(files: Files, small: Build) -> None:
    shown, withheld = set(), set()
    for subset, tasks in files.items():
        for name, task in tasks.items():
            for part in ("train", "test"):
                pairs = {(name, str(pair["input"]), str(pair["output"])) for pair in task[part]}
                (withheld if (subset, part) == ("evaluation", "test") else shown).update(pairs)
    data = small()
    drawn = set(published(data, data.draw(0, 3000)))
    assert drawn == shown
    assert not drawn & withheld


def test_nothing_that_training_sees_depends_on_test_outputs(
    files: Files, small: Build, write: Callable[[Files], Path]
) -> None:
    before = small()
    batch = before.draw(0, 200)
    for task in files["evaluation"].values():
        for pair in task["test"]:
            pair["output"] = [[9]]
    write(files)
    after = small()
    assert all(map(torch.equal, batch, after.draw(0, 200)))
    assert all(map(np.array_equal, before.symmetries, after.symmetries))
    assert after.solutions["three"][0] is not None
    assert after.solutions["three"][0].tolist() == [[9]]


def test_a_draw_is_the_same_in_whatever_run_of_draws_it_is(small: Build) -> None:
    data = small()
    whole = data.draw(0, 47)
    parts = [small().draw(first, count) for first, count in ((0, 1), (1, 30), (31, 16))]
    for field, *pieces in zip(whole, *parts, strict=True):
        assert torch.equal(field, torch.cat(pieces))
    assert not torch.equal(whole.inputs, small(seed=1).draw(0, 47).inputs)
    alone = TrainBatches(data.draw, slots=6, steps=2, ranks=1, length=5)[3]
    shared = TrainBatches(data.draw, slots=6, steps=2, ranks=2, length=5)
    ranks = [shared[6], shared[7]]
    assert torch.equal(alone.inputs, torch.cat([rank.inputs for rank in ranks], dim=1))


def test_an_epoch_visits_every_task_once_with_all_examples_of_one_augmentation(small: Build) -> None:
    data, sizes = small(), {"one": 3, "two": 2, "three": 2, "four": 3}
    orders, chosen = set(), set()
    for epoch in range(20):
        batch = data.draw(10 * epoch, 10)
        visits = list(dict.fromkeys(batch.puzzle_ids.tolist()))
        tasks = [data.resolve(puzzle).task for puzzle in visits]
        assert sorted(tasks) == sorted(sizes)
        repeated = [puzzle for puzzle, task in zip(visits, tasks, strict=True) for _ in range(sizes[task])]
        assert batch.puzzle_ids.tolist() == repeated
        assert len(set(published(data, batch))) == 10
        orders.add(tuple(tasks))
        chosen.update(visits)
    assert len(orders) > 10
    assert len(chosen) > 15  # of 24


def test_one_example_of_a_visit_stays_in_its_corner_and_the_others_move(small: Build) -> None:
    data = small()
    batch = data.draw(0, 300)
    inputs = batch.inputs.numpy().reshape(-1, SIDE, SIDE) >= 2
    places = np.stack([np.argwhere(canvas).min(axis=0) for canvas in inputs])
    labels = batch.labels.numpy().reshape(-1, SIDE, SIDE) >= 2
    assert np.array_equal(places, np.stack([np.argwhere(canvas).min(axis=0) for canvas in labels]))
    first = np.diff(batch.puzzle_ids.numpy(), prepend=-1) != 0
    assert (places[first] == 0).all()
    assert (places[~first].max(axis=0) >= 25).all()
    assert (places[~first] > 0).any(axis=1).mean() > 0.95


def test_a_smaller_canvas_leaves_out_larger_tasks_and_keeps_the_others_whole(
    files: Files, small: Build, write: Callable[[Files], Path]
) -> None:
    pairs = [{"input": [[1] * 6], "output": [[2]]}]
    files["training"]["wide"] = {"train": pairs, "test": pairs}
    write(files)
    assert [puzzle.name for puzzle in small(side=5).puzzles] == ["one", "two", "four", "three"]
    assert [puzzle.name for puzzle in small(side=6).puzzles] == ["one", "two", "wide", "four", "three"]
    data = small(side=5)
    batch, test = data.draw(0, 300), data.load("test")
    assert batch.inputs.shape[1] == batch.labels.shape[1] == test.inputs.shape[1] == data.seq_len == 25
    sizes = {puzzle.name: {int(grid.size) for pair in puzzle.train_pairs for grid in pair} for puzzle in data.puzzles}
    for field in (batch.inputs, batch.labels):
        for tokens, puzzle in zip(field, batch.puzzle_ids, strict=True):
            assert int((tokens >= 2).sum()) in sizes[data.resolve(int(puzzle)).task]
    moved = (batch.inputs.reshape(-1, 5, 5)[:, 0] < 2).all(-1)
    assert 0.1 < moved.float().mean() < 0.9


def test_the_test_asks_each_test_input_as_every_puzzle_of_its_task(files: Files, small: Build) -> None:
    data = small(eval_batch_size=7)
    assert data.eval_size("test") == 3 * 6
    batches = EvalBatches(partial(data.eval_samples, "test"), data.eval_size("test"), 7, 2)
    rows = Batch(*map(torch.cat, zip(*batches, strict=True)))
    real = rows.puzzle_ids > 0
    assert torch.equal(real, (rows.labels != IGNORE).any(-1))
    rows = Batch(*(field[real] for field in rows))
    asked = [
        (name, str(pair["input"]), str(pair["output"]))
        for name in ("four", "three")
        for pair in files["evaluation"][name]["test"]
    ]
    assert published(data, rows) == asked[:2] * 6 + asked[2:] * 6
    assert rows.puzzle_ids.tolist() == sorted(rows.puzzle_ids.tolist())
    whole = data.load("test")
    assert np.array_equal(whole.inputs, rows.inputs.numpy())
    assert len(data.eval_samples("test", 100, 5).inputs) == 0


def test_validation_asks_the_published_tasks_first(small: Build) -> None:
    def numbers(size: int) -> list[int]:
        data = small(val_size=size)
        return [data.resolve(int(puzzle)).number for puzzle in data.load("val").puzzle_ids]

    assert numbers(7) == [0, 0, 0, 1, 1, 1, 2]
    assert len(numbers(100)) == 18
    assert len(small(val_size=0).val_dataloader()) == 0


def test_unknown_outputs_are_not_labelled(files: Files, small: Build, write: Callable[[Files], Path]) -> None:
    data = small()
    for task in files["evaluation"].values():
        for pair in task["test"]:
            del pair["output"]
    write(files)
    rows = data.load("test")
    assert not rows.labels.any()
    assert rows.inputs.any(axis=1).all()


def test_ids_stand_for_the_same_puzzles_whenever_the_arguments_are_the_same(small: Build) -> None:
    data = small()
    again = PuzzleData.__new__(ARC)
    again.__init__(**data.family["init_args"])  # as a checkpoint does
    everything = [data.resolve(puzzle) for puzzle in range(1, data.num_puzzles)]
    assert [again.resolve(puzzle) for puzzle in range(1, data.num_puzzles)] == everything
    assert len({(found.task, found.number) for found in everything}) == len(everything) == 24
    for puzzle in (0, 25):
        with pytest.raises(InputError, match=f"there is no puzzle id {puzzle}; accepted are 1 to 24"):
            data.resolve(puzzle)


def test_workers_do_not_change_the_data(small: Build) -> None:
    def first_batches(workers: int) -> torch.Tensor:
        data = small(workers=workers)
        data.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
        data.prepare_data()
        assert pickle.loads(pickle.dumps(data)).num_puzzles == 25
        return torch.stack([batch.inputs for batch, _ in zip(data.train_dataloader(), range(3), strict=False)])

    assert torch.equal(first_batches(0), first_batches(1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"augmentations": -1}, "data.augmentations is -1"),
        ({"val_size": -1}, "data.val_size is -1"),
        ({"test_subset": "evaluation2"}, "must be one of data.subsets"),
        ({"side": 0}, "data.side is 0"),
        ({"side": 31}, "data.side is 31"),
        ({"side": 29, "numbering": "official"}, "data.side is 29, but must be 30 with the official numbering"),
    ],
)
def test_arguments_out_of_range_are_refused(wrong: dict[str, Any], message: str, small: Build) -> None:
    with pytest.raises(InputError, match=message):
        small(**wrong)


def test_a_grid_is_read_from_json_and_from_lines() -> None:
    data = ARC()
    grid = encode(Grids.stack([np.array([[0, 1, 2], [3, 4, 5]], dtype=np.uint8)]))[0]
    for text in ("[[0,1,2],[3,4,5]]", "[[0, 1, 2],\n [3, 4, 5]]", "012\n345", " 0 1 2 \n3 4 5\n"):
        assert np.array_equal(data.parse(text), grid)
    assert data.write(grid) == "[[0,1,2],[3,4,5]]"
    assert np.array_equal(data.parse(data.write(grid)), grid)
    for text, message in (("", "neither JSON"), ("01x", "neither JSON"), ("[[0,1", "not JSON"), ("01\n2", "rows of 1")):
        with pytest.raises(InputError, match=message):
            data.parse(text)


def test_a_grid_larger_than_the_canvas_is_refused(small: Build) -> None:
    data = small(side=3)
    assert data.write(data.parse("012\n345\n678")) == "[[0,1,2],[3,4,5],[6,7,8]]"
    with pytest.raises(InputError, match=r"the grid is 1x4, but the canvas \(data.side\) has 3x3 cells"):
        data.parse("0123")
    with pytest.raises(
        InputError, match=r"data.side is 1, but every task of evaluation has a larger grid: the smallest"
    ):
        _ = small(side=1).puzzles


def test_boards_are_drawn_side_by_side() -> None:
    data = ARC()
    question, answer = data.parse("01\n23"), data.parse("456")
    assert data.render_board(answer) == "4 5 6"
    assert data.render_board(answer, question) == "0 1    4 5 6\n2 3"
    colored = data.render_board(answer, question, color=True)
    assert colored.count("\033[48;5;") == 7
    assert colored.splitlines()[0].endswith("\033[0m")


def test_only_the_form_of_an_answer_is_verified() -> None:
    data = ARC()
    question = data.parse("01\n23")
    assert data.verify(question, question).valid
    assert "rule of a task is not known" in data.verify(question, question).reason
    scribbled = question.copy()
    scribbled[500] = 7  # padding is never learned, so it says nothing
    assert data.verify(question, scribbled).valid
    scribbled[2] = 0  # beside the first row
    assert "no end marks" in data.verify(question, scribbled).reason
    assert not data.verify(question, np.zeros(900, dtype=np.uint8)).valid


def test_no_test_pair_is_in_training(small: Build) -> None:
    report = check_data(small())
    assert report.clean
    assert report.samples == {"train": 10, "val": 0, "test": 3}
