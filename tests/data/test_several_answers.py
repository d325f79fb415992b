"""Puzzles with several right answers: all of them are generated, moved along and checked, and any of them counts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import FOUR, refused
from torch import Tensor
from training import quiet_trainer

from trm import Maze, Sudoku, TRMModule
from trm.batch import IGNORE, Batch, as_batch
from trm.cli.main import main
from trm.data import PuzzleData, Samples
from trm.data.integrity import check_data
from trm.data.maze.paths import FREE, GOAL, START, all_shortest_paths, count_shortest_paths, follow
from trm.data.samples import check_samples, matches
from trm.data.sampling import DrawGenerator
from trm.data.sudoku.generator import SOLUTIONS_4X4
from trm.data.sudoku.solver import all_solutions, is_valid_grid, solve
from trm.errors import InputError
from trm.nn import answer_loss

SIZES: dict[str, Any] = {"train_size": 60, "val_size": 10, "test_size": 10}
LOADING: dict[str, Any] = {"slots": 4, "steps_per_batch": 2, "workers": 0}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


def sudoku(root: str, **arguments: Any) -> Sudoku:
    return Sudoku(size=4, root=root, **{"solutions": (2, 12), **SIZES, **LOADING, **arguments})


def maze(root: str, **arguments: Any) -> Maze:
    return Maze(size=6, min_moves=6, root=root, **{"solutions": (2, 6), **SIZES, **LOADING, **arguments})


FAMILIES = pytest.mark.parametrize("make", [sudoku, maze])


def numbers(samples: Samples) -> list[int]:
    """Return how many different answers are given for each question."""
    return [len({bytes(answer) for answer in answers if answer.any()}) for answers in samples.answers]


def test_a_board_is_given_with_all_its_solutions(root: str) -> None:
    samples = sudoku(root).samples("train")
    assert samples.labels.shape == (60, 12, 16)
    counts = solve(samples.inputs - np.uint8(1), 4, limit=20).counts
    assert numbers(samples) == counts.tolist()
    assert counts.min() >= 2
    assert len(set(counts)) > 3
    assert is_valid_grid(samples.first - np.uint8(1), 4).all()


def test_a_maze_is_given_with_all_its_shortest_paths_that_of_the_label_rule_first(root: str) -> None:
    data = maze(root)
    samples = data.samples("train")
    mazes = samples.inputs.reshape(-1, 6, 6)
    assert numbers(samples) == count_shortest_paths(mazes).astype(int).tolist()
    assert set(numbers(samples)) <= set(range(2, 7))
    assert (samples.first.reshape(-1, 6, 6) == follow(mazes, np.arange(4))).all()
    assert data.valid_labels(samples).all()  # type: ignore[union-attr]


def test_paths_of_an_open_square_are_counted_as_combinatorics_does() -> None:
    square = np.full((1, 5, 5), FREE, dtype=np.uint8)
    square[0, 0, 0], square[0, 4, 4] = START, GOAL
    assert count_shortest_paths(square).tolist() == [70]  # 8 over 4
    assert len({bytes(path) for path in all_shortest_paths(square, np.arange(4), 70)[0]}) == 70


def test_all_numbers_of_solutions_of_4x4_boards_are_known() -> None:
    empty = np.zeros((1, 16), dtype=np.uint8)
    ((grids,), number) = all_solutions(empty, empty, 4, 300, 10_000)
    grids = grids[: int(number[0])]
    assert (len(grids), len(np.unique(grids, axis=0)), is_valid_grid(grids, 4).all()) == (288, 288, True)
    counts: set[int] = set()
    for grid in grids:
        shared = ((grids == grid) << np.arange(16)).sum(1)  # which cells another grid has in common, as a number
        solutions = np.bincount(shared, minlength=2**16)
        for bit in range(16):  # add up the grids that have at least these cells in common
            halves = solutions.reshape(-1, 2, 2**bit)
            halves[:, 0] += halves[:, 1]
        counts |= set(solutions.tolist())
    assert tuple(sorted(counts)) == SOLUTIONS_4X4


@FAMILIES
def test_generation_depends_on_the_seed_alone(make: Any, root: str, tmp_path: Path) -> None:
    one, again, other = make(root), make(str(tmp_path)), make(root, seed=1)
    for ours, theirs in zip(one.load_first("test", 4).take(slice(4)), again.load_first("test", 4), strict=True):
        assert np.array_equal(ours, theirs[:4])
    assert not np.array_equal(one.samples("test").inputs, other.samples("test").inputs)


@FAMILIES
def test_symmetries_move_every_answer_along(make: Any, root: str) -> None:
    data = make(root)
    samples = data.samples("train")
    moved = data.augment(samples, DrawGenerator(0, 0, 60))
    assert not np.array_equal(moved.inputs, samples.inputs)
    assert numbers(moved) == numbers(samples)
    assert data.valid_labels(moved).all()


def test_filled_in_cells_leave_the_answers_that_agree_with_them(root: str) -> None:
    data = sudoku(root, easier=1.0)
    samples = data.samples("train")
    easier = data.augment(samples, DrawGenerator(0, 0, 60))
    assert (easier.inputs > 1).sum() > (samples.inputs > 1).sum()
    assert numbers(easier) == solve(easier.inputs - np.uint8(1), 4, limit=20).counts.tolist()
    assert data.valid_labels(easier).all()  # type: ignore[union-attr]


def test_a_contradictory_draw_has_no_answer_at_all(root: str) -> None:
    labels = sudoku(root, corrupt=1.0).draw(0, 8).labels
    assert labels.shape == (8, 12, 16)
    assert (labels == IGNORE).all()


@FAMILIES
def test_data_with_several_answers_is_clean_and_a_missing_or_wrong_one_is_found(make: Any, root: str) -> None:
    data = make(root)
    assert check_data(data).clean
    samples = data.samples("train")
    labels = samples.labels.copy()
    labels[0, 1] = 0  # one of the solutions
    labels[1, 1] = labels[1, 0][::-1]
    data._splits["train"] = samples._replace(labels=labels)
    faults = check_data(data).faults
    assert faults["train: questions with solutions that are not given"] >= 1
    assert faults["train: answers that break the rules"] == 1


def logits_of(answers: Tensor, size: int = 8) -> Tensor:
    return 5 * torch.nn.functional.one_hot(answers.long(), size).float()


def test_an_answer_is_compared_with_the_nearest_that_is_given() -> None:
    module = TRMModule(8, 4, hidden_size=16, num_heads=2, puzzle_tokens=0)
    first, second = torch.tensor([1, 2, 3, 4]), torch.tensor([1, 2, 4, 3])
    none = torch.full((4,), IGNORE)
    labels = torch.stack(
        [torch.stack([first, second, none]), torch.stack([second, first, none]), torch.stack([none] * 3)]
    )
    nearest = module.nearest_labels(logits_of(torch.stack([second, second, second])), labels)
    assert nearest.tolist() == [second.tolist(), second.tolist(), none.tolist()]
    assert module.nearest_labels(logits_of(first[None]), second[None]).tolist() == [
        second.tolist()
    ]  # there is one label
    tied = torch.zeros(1, 4, 8)  # all losses are equal, and the most likely token is 0
    zeros = torch.tensor([[[1, 0, 0, 0], [0, 0, 0, 0]]])
    assert module.nearest_labels(tied, zeros).tolist() == [[0, 0, 0, 0]]


def test_a_training_step_follows_the_nearest_answer_and_any_of_them_is_solved() -> None:
    module = TRMModule(8, 4, hidden_size=16, num_heads=2, puzzle_tokens=0, explore=0.0)
    inputs, labels = torch.ones(6, 4, dtype=torch.int32), torch.randint(1, 8, (6, 3, 4), dtype=torch.int32)
    output = module.core(module.core.start(6), inputs)
    least = torch.stack([answer_loss(output.logits, part) for part in labels.unbind(1)]).amin(0).mean()
    loader = torch.utils.data.DataLoader([Batch(inputs, labels, torch.zeros(6, dtype=torch.int32))], batch_size=None)
    trainer = quiet_trainer(max_steps=1)
    trainer.fit(module, loader)
    assert trainer.callback_metrics["train/answer_loss"].item() == pytest.approx(least.item(), rel=1e-4)
    module.eval()
    (metrics,) = trainer.validate(module, loader, verbose=False)
    answers = module.solve(inputs, torch.zeros(6, dtype=torch.int32), None).tokens
    right = Batch(inputs, torch.stack([labels[:, 0], answers.int()], dim=1), torch.zeros(6, dtype=torch.int32))
    assert metrics["val/solved"] < 1
    (metrics,) = trainer.validate(module, torch.utils.data.DataLoader([right], batch_size=None), verbose=False)
    assert (metrics["val/solved"], metrics["val/cells"]) == (1, 1)


def test_numbers_of_answers_that_match_are_found_without_a_label_too() -> None:
    labels = np.array([[[1, 2], [2, 1], [0, 0]], [[1, 1], [0, 0], [0, 0]], [[0, 0], [0, 0], [0, 0]]], dtype=np.uint8)
    answers = np.array([[2, 1], [2, 1], [2, 1]], dtype=np.uint8)
    assert matches(answers, labels).tolist() == [True, False, True]
    assert matches(answers[0], labels[0])


@pytest.mark.parametrize("shape", [(5, 0, 4), (5, 2, 3), (4, 2, 4), (5, 1, 2, 4)])
def test_labels_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    samples = (np.ones((5, 4), int), np.ones(shape, int), np.zeros(5, int))
    with pytest.raises(InputError, match="with several right answers labels"):
        check_samples(samples, 4, 8, 1, "Mine.load returns")
    with pytest.raises(InputError, match="the data loader yields"):
        as_batch(tuple(map(torch.from_numpy, samples)), 4, 8, chunked=False)


@pytest.mark.parametrize(
    ("family", "arguments", "message"),
    [
        (
            Sudoku,
            {"size": 4, "solutions": (13, 13)},
            r"solutions is \[13, 13\], but no 4x4 board has that many solutions",
        ),
        (
            Sudoku,
            {"size": 4, "solutions": (11, 11)},
            "there are boards with 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 18, 24, 36$",
        ),
        (Sudoku, {"solutions": (0, 2)}, r"solutions is \[0, 2\], but must be two numbers in order, from 1 to 64"),
        (Sudoku, {"solutions": (5, 2)}, r"solutions is \[5, 2\]"),
        (Sudoku, {"solutions": (1, 65)}, r"solutions is \[1, 65\]"),
        (Sudoku, {"solutions": (2, 3), "source": "boards"}, "data.source is 'boards': only generated puzzles"),
        (Sudoku, {"solutions": (2, 64), "train_size": 200_000}, "at most 156,250 with up to 64 answers each"),
        (Maze, {"solutions": (2, 8), "kind": "unique"}, "data.kind is 'unique': such mazes have exactly one"),
        (Maze, {"solutions": (3, 2)}, r"solutions is \[3, 2\]"),
        (Maze, {"solutions": (2, 8), "source": "mazes"}, "data.source is 'mazes': only generated puzzles"),
    ],
)
def test_ranges_that_do_not_exist_are_refused(
    family: type[PuzzleData], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        family(**arguments)


def test_exactly_one_solution_is_the_default(root: str) -> None:
    one = sudoku(root, solutions=(1, 1)).samples("test")
    for ours, theirs in zip(one, sudoku(root, solutions=None).samples("test"), strict=True):
        assert np.array_equal(ours, theirs)
    assert one.labels.ndim == 2


def test_every_command_takes_puzzles_of_several_answers(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["--config=configs/quickstart.yaml", *FOUR, "--data.solutions=[2,6]", "--data.clues=null"]
    assert main(["data", "check", "--config=configs/quickstart.yaml", *run[-2:], "--data.train_size=40"]) == 0
    assert main(["fit", *run, "--data.corrupt=0.25"]) == 0
    assert main(["fit", *run, "--data.corrupt=0.25", "--trainer.max_steps=8"]) == 0  # goes on
    for command in ("test", "predict"):
        assert main([command, *run]) == 0
    model = "runs/quickstart/checkpoints/last.ckpt"
    capsys.readouterr()
    assert main(["solve", model, "test:0"]) in (0, 1)
    assert "the known answer" in capsys.readouterr().out
    for analysis in ("halting", "calibration", "robustness"):
        assert main(["analyze", analysis, model, "--puzzles=4", f"--output={analysis}.json"]) == 0


def test_a_family_of_one_answer_has_no_such_option(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = refused(capsys, ["fit", "--config=configs/arc-small.yaml", "--data.solutions=[2,6]"])
    assert "solutions" in told
