"""Parameters that depend on no size of the puzzles: a network is used, and trained further, on puzzles of another."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from trm import Maze, Solver, Sudoku, TRMModule, load_checkpoint
from trm.checkpoints.finetune import start_from
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
