"""Parameters that depend on no size of the puzzles: a network is used, and trained further, on puzzles of another."""

import re
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from trm import Maze, Solver, Sudoku, TRMModule, load_checkpoint
from trm.checkpoints.finetune import start_from
from trm.cli.main import main
from trm.data import PuzzleData
from trm.errors import InputError

SMALL: dict[str, Any] = {"hidden_size": 24, "num_heads": 2, "multiple_of": 8, "cycles": 1, "latent_steps": 1}
SHARED: dict[str, Any] = {"network": "symmetric", "positions": "grid", **SMALL}


def module_of(data: PuzzleData, **arguments: Any) -> TRMModule:
    sizes = {name: getattr(data, name) for name in ("vocab_size", "seq_len", "num_symbols", "grid")}
    return TRMModule(**sizes, num_puzzles=0, supervision_steps=2, **arguments)


def trained(data: PuzzleData, path: Path, **arguments: Any) -> Path:
    """Write the checkpoint of a run of one batch."""
    trainer = Trainer(max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False, limit_val_batches=0)
    trainer.fit(module_of(data, **arguments), data)
    trainer.save_checkpoint(path)
    return path


@pytest.fixture(scope="module")
def of_six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("six")
    data = Sudoku(6, clues=(20, 24), train_size=8, val_size=1, test_size=1, root=str(folder), slots=4, workers=0)
    return trained(data, folder / "six.ckpt", **SHARED)


@pytest.mark.parametrize("size", [4, 6, 9])
def test_a_symmetric_network_with_attention_solves_boards_of_every_size(of_six: Path, size: int) -> None:
    solution = Solver(of_six, data=Sudoku(size)).solve("." * size**2)
    assert solution.answer.shape == (size**2,)


def test_training_goes_on_with_boards_of_another_size(of_six: Path) -> None:
    data = Sudoku(9)
    module = module_of(data, **SHARED)
    start_from(module, of_six, data)
    theirs = load_checkpoint(of_six)[0].state_dict()
    for name, parameter in module.state_dict().items():
        assert torch.equal(parameter, theirs[name]), name


def test_attention_takes_mazes_of_another_size(tmp_path: Path) -> None:
    data = Maze(5, kind="unique", train_size=8, val_size=1, test_size=1, root=str(tmp_path), slots=4, workers=0)
    path = trained(data, tmp_path / "five.ckpt", positions="grid", **SMALL)
    assert load_checkpoint(path, data=Maze(9))[0].hparams["seq_len"] == 81


@pytest.mark.parametrize(
    ("arguments", "other", "message"),
    [
        ({**SMALL, "mixer": "mlp", "network": "symmetric"}, Sudoku(9), "with seq_len 16, but trm.data.Sudoku has 81"),
        ({**SMALL, "positions": "learned"}, Sudoku(9), "with vocab_size 6, but trm.data.Sudoku has 11"),
        (SMALL, Sudoku(9), "with vocab_size 6, but trm.data.Sudoku has 11"),
        (SHARED, Maze(5), "with vocab_size - num_symbols 2, but trm.data.Maze has 6"),
    ],
)
def test_sizes_that_parameters_depend_on_are_refused(
    arguments: dict[str, Any], other: PuzzleData, message: str, tmp_path: Path
) -> None:
    data = Sudoku(4, clues=(8, 8), train_size=8, val_size=1, test_size=1, root=str(tmp_path), slots=4, workers=0)
    path = trained(data, tmp_path / "four.ckpt", **arguments)
    with pytest.raises(InputError, match=message):
        Solver(path, data=other)


# -- puzzles of another size in text ----------------------------------------------------------------------------------

FOUR = "S.#......#.....G"
FIVE = "S....####......####.G...."
SIX = "S.....#####............#####......G."
FOUR_DIGITS = ".2..4..13......4"
NINE_DIGITS = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
SPACED = "S #.\n#   \n # .\n   G"
FOUR_ROWS = "S #.\n    \n # .\n   G"


def rows(text: str, size: int) -> str:
    return "\n".join(text[first : first + size] for first in range(0, size**2, size))


def sizes(printed: str) -> list[int]:
    return [len(line.partition(" ")[0]) for line in printed.splitlines()]


def notices(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "trained on" in record.getMessage()]


@pytest.fixture(scope="module")
def of_five(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("five")
    data = Maze(5, kind="unique", train_size=8, val_size=1, test_size=1, root=str(folder), slots=4, workers=0)
    return trained(data, folder / "five.ckpt", positions="grid", grid_conv=3, **SMALL)


def test_mazes_of_several_sizes_are_answered_in_order(of_five: Path, caplog: pytest.LogCaptureFixture) -> None:
    asked = [FIVE, SIX, FOUR_ROWS, FIVE, FOUR, SIX]
    with caplog.at_level("INFO"):
        solutions = Solver(of_five).solve(asked)
    assert [solution.question.size for solution in solutions] == [25, 36, 16, 25, 16, 36]
    for text, solution in zip(asked, solutions, strict=True):
        data = solution.data
        alone = Solver(of_five, data=Maze(isqrt(data.seq_len))).solve(text)
        assert np.array_equal(solution.answer, alone.answer)
        assert solution.confidence == pytest.approx(alone.confidence, rel=1e-4)
        assert solution.verdict == data.verify(data.parse(text), solution.answer)
        assert len(str(solution).splitlines()) == isqrt(data.seq_len) + 1
    assert [" ".join(notice.split()[:9]) for notice in notices(caplog)] == [
        "The model was trained on 5x5, this is 4x4,",
        "The model was trained on 5x5, this is 6x6,",
    ]


def test_the_parameters_are_those_of_the_model_in_every_size(of_five: Path) -> None:
    solver = Solver(of_five, views=4, select="verifier", abstain=0.5)
    small, large = solver.solve([FOUR, SIX])
    for other in (small.solver, large.solver):
        assert [p.data_ptr() for p in other.module.parameters()] == [p.data_ptr() for p in solver.module.parameters()]
        assert (other.select, other.views.cells.shape, other.abstain) == ("verifier", (4, other.data.seq_len), 0.5)
    assert small.solver.gflop_per_step < solver.gflop_per_step < large.solver.gflop_per_step


def test_a_batch_of_larger_puzzles_has_no_more_cells_than_one_of_the_size_of_training(of_five: Path) -> None:
    solver = Solver(of_five)
    small, large, largest = (solution.solver for solution in solver.solve([FOUR, SIX, "SG" + "." * (30**2 - 2)]))
    assert small.batch_size == solver.batch_size
    assert 0.9 < large.batch_size * 36 / (solver.batch_size * 25) <= 1
    assert largest.batch_size == max(1, solver.batch_size * 25 // 30**2)


def test_a_module_and_its_family_solve_another_size_too(of_five: Path) -> None:
    module, data = load_checkpoint(of_five)
    assert Solver((module, data)).solve(SIX).answer.shape == (36,)


@pytest.mark.parametrize("size", [4, 9])
def test_a_symmetric_network_takes_boards_of_another_size_as_they_are(of_six: Path, size: int) -> None:
    board = {
        4: FOUR_DIGITS,
        9: NINE_DIGITS,
    }
    drawn = Sudoku(size).render_board(Sudoku(size).parse(board[size]))
    solutions = Solver(of_six).solve([board[size], rows(board[size], size), drawn])
    assert [solution.data.write(solution.question) for solution in solutions] == [board[size]] * 3


def test_a_family_of_ones_own_keeps_its_arguments_in_another_size() -> None:
    data = Loose(5, slack=3).fitting(FOUR)
    assert isinstance(data, Loose)
    assert (data.size, data.slack) == (4, 3)
    assert Loose(5, min_moves=20, label_rule="up-left-right-down").resized(9).seq_len == 9  # 20 moves need 5x5


class Loose(Maze):
    def __init__(self, size: int = 5, slack: int = 0, **arguments: Any) -> None:
        super().__init__(size, **arguments)
        self.slack = slack


def test_a_file_may_hold_boards_of_several_sizes(
    of_five: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "mazes.txt"
    file.write_text("\n".join([FOUR, FIVE, rows(SIX, 6), "", SPACED, "", rows(FIVE, 5), "", "S.G", SIX]))
    with caplog.at_level("INFO"):
        assert main(["solve", str(of_five), str(file), rows(FOUR, 4)]) == 2
    printed = capsys.readouterr()
    assert sizes(printed.out) == [16, 25, 36, 16, 25, 36, 16]
    assert "line 21 of " in printed.err
    assert "the maze 'S.G' has 3 cells in line 1, but 5x5 needs 25" in printed.err
    assert len(notices(caplog)) == 2


def test_sixteen_boards_in_a_file_are_no_board_of_sixteen_rows(
    of_six: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "boards.txt"
    file.write_text("\n".join([FOUR_DIGITS] * 16))
    assert main(["solve", str(of_six), str(file)]) in (0, 1)
    assert sizes(capsys.readouterr().out) == [16] * 16
    (board,) = Sudoku(6).split_text(rows("123456789ABCDEFG" + "." * 240, 16).splitlines())
    assert Sudoku(6).fitting(board.text).seq_len == 256


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SIX.replace("G", "."), "cannot be solved: it has no goal"),
        (rows(SIX.replace("S", "."), 6), "cannot be solved: it has no start"),
        (SIX.replace("S", "?"), "has '[?]' in row 1, column 1"),
        (rows("." * 81, 9), "cannot be solved: it has no start"),  # and not nine mazes of 3x3
        (SIX[1:], "has 35 cells in line 1, but 5x5 needs 25; .*; mazes are squares of 3 to 64 cells a side"),
        (rows(SIX, 6)[:-7], "has 6 cells in line 1, but 5x5 needs .*; mazes are squares of 3 to 64 cells a side"),
        ("." * 100**2, "has 10,000 cells in line 1, .*; mazes are squares of 3 to 64 cells a side"),
    ],
)
def test_what_is_wrong_with_a_maze_of_another_size_is_said_of_its_own_size(
    of_five: Path, text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mazes.txt"
    file.write_text(f"{FIVE}\n\n{text}\n")
    for given in ([text], [str(file)]):
        assert main(["solve", str(of_five), *given]) == 2
        assert re.search(message, capsys.readouterr().err)
    with pytest.raises(InputError, match=message):
        Solver(of_five).solve(text)


def test_a_long_text_that_is_no_board_is_not_read_in_every_size() -> None:
    asked: list[int] = []

    class Counting(Maze):
        def resized(self, cells: int) -> PuzzleData:
            asked.append(cells)
            return super().resized(cells)

    data = Counting(5)
    assert data.fitting(("# " * 20 + "\n") * 20_000) is data
    assert not asked
    assert data.fitting(FOUR).seq_len == 16
    assert asked == [9, 16]


def test_a_trace_shows_a_maze_of_another_size(of_five: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", str(of_five), rows(SIX, 6), "--terminal", "--delay", "0"]) == 0
    assert [len(line) for line in capsys.readouterr().out.splitlines()[1:7]] == [6] * 6


def test_a_size_that_parameters_depend_on_is_refused_and_both_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    small, large = (
        FOUR_DIGITS,
        NINE_DIGITS,
    )
    sentence = "the puzzle is 9x9, but the model was trained on 4x4 and accepts no other size: model.mixer is mlp"
    assert main(["solve", "sudoku-4x4", large, small]) == 2
    printed = capsys.readouterr()
    assert sizes(printed.out) == [16]
    assert printed.err == f"trm: error: {sentence}\n"
    assert main(["trace", "sudoku-4x4", large, "--terminal"]) == 2
    assert capsys.readouterr().err == f"trm: error: {sentence}\n"
    with pytest.raises(InputError, match=sentence):
        Solver("sudoku-4x4").solve([small, large])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"positions": "learned"}, "model.positions is learned"),
        ({}, "model.network is trm, not symmetric"),
    ],
)
def test_the_refusal_names_what_depends_on_the_size(arguments: dict[str, Any], reason: str) -> None:
    data = Sudoku(4)
    module = module_of(data, **SMALL, **arguments).eval()
    with pytest.raises(InputError, match=f"the puzzle is 6x6, but the model was trained on 4x4 .*: {reason}"):
        Solver((module, data)).solve("." * 36)
