"""The threshold to abstain below: chosen in validation, kept in checkpoints, and used by ``Solver``."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from training import quiet_trainer

from trm.checkpoints.load import load_checkpoint
from trm.cli.commands.export import export
from trm.data import Maze, Sudoku
from trm.errors import InputError
from trm.module import TRMModule
from trm.solver import Solver
from trm.training.metrics import AbstentionThreshold

NETWORK: dict[str, Any] = {
    "mixer": "mlp", "positions": "none", "hidden_size": 8, "num_heads": 2, "multiple_of": 8, "cycles": 1,
    "latent_steps": 1, "puzzle_tokens": 0, "supervision_steps": 2, "num_symbols": 4, "network": "symmetric",
}  # fmt: skip


def boards(corrupt: float = 0.25, eval_batch_size: int = 8) -> Sudoku:
    sizes: dict[str, Any] = {"train_size": 20, "val_size": 18, "test_size": 4, "clues": (6, 8)}
    run: dict[str, Any] = {"slots": 4, "steps_per_batch": 2, "eval_batch_size": eval_batch_size, "workers": 0}
    return Sudoku(4, corrupt=corrupt, **sizes, **run)


def network() -> TRMModule:
    torch.manual_seed(0)
    return TRMModule(6, 16, 1, **NETWORK)


def counted(data: Sudoku, monkeypatch: pytest.MonkeyPatch) -> tuple[float, Tensor]:
    """Validate, and return the threshold and the slices that it was chosen by."""
    seen: list[Tensor] = []
    compute = AbstentionThreshold.compute

    def keep(self: AbstentionThreshold) -> dict[str, Tensor]:
        seen.append(self.slices.clone())
        return compute(self)

    monkeypatch.setattr(AbstentionThreshold, "compute", keep)
    (scores,) = quiet_trainer().validate(network(), data, verbose=False)
    return scores["val/abstain_below"], seen[0]


def test_puzzles_that_contradict_themselves_count_as_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    _, plain = counted(boards(corrupt=0), monkeypatch)
    _, both = counted(boards(), monkeypatch)
    assert (plain[:, 0].sum(), both[:, 0].sum()) == (18, 36)
    assert plain[:, 1].sum() == both[:, 1].sum()


def test_the_threshold_does_not_depend_on_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (counted(boards(eval_batch_size=size), monkeypatch)[0] for size in (18, 4))
    assert one == pytest.approx(other, abs=1e-5)


@pytest.mark.parametrize("data", [boards(), Maze(5, train_size=4, val_size=20, test_size=4, workers=0)])
def test_contradictions_depend_on_the_place_in_the_split_only(data: Sudoku | Maze) -> None:
    samples = data.samples("val")
    questions, changed = data.contradictions(samples, 0)
    part, _ = data.contradictions(samples.take(slice(5, 9)), 5)
    np.testing.assert_array_equal(part, questions[5:9])
    assert changed.all()
    assert not data.valid(questions, samples.labels).any()


def test_a_run_keeps_the_threshold_of_its_validation_for_the_solver(tmp_path: Path) -> None:
    data, module = boards(), network()
    with pytest.raises(InputError, match="abstain is auto, but the model has no threshold"):
        Solver(module, data, abstain="auto")
    trainer = quiet_trainer(max_epochs=1, limit_train_batches=1)
    trainer.fit(module, data)
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    below = float(trainer.callback_metrics["val/abstain_below"])
    assert Solver(module, data, abstain="auto").abstain == pytest.approx(below)
    export(str(tmp_path / "run.ckpt"), output=str(tmp_path / "shared.ckpt"), format="trm")
    for name in ("run.ckpt", "shared.ckpt"):
        assert Solver(tmp_path / name, abstain="auto").abstain == pytest.approx(below)
        assert load_checkpoint(tmp_path / name)[0].abstain_below == pytest.approx(below)


def test_a_run_without_validation_has_no_threshold(tmp_path: Path) -> None:
    module = network()
    trainer = quiet_trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=0)
    trainer.fit(module, boards())
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    with pytest.raises(InputError, match="abstain is auto, but the model has no threshold"):
        Solver(tmp_path / "run.ckpt", abstain="auto")
