"""Every precision that is accepted trains, validates, continues and solves; the others are refused."""

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from paths import REPO
from ranks import Guess, small_module
from training import STATE, assert_same, quiet_trainer

from trm.callbacks.ema import StepEMA
from trm.cli.main import main
from trm.errors import InputError
from trm.training.precision import PRECISIONS, check_precision

pytestmark = [
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch"),
]
WEIGHTS = {"32-true": torch.float32, "bf16-mixed": torch.float32, "bf16-true": torch.bfloat16, "64-true": torch.float64}
STATES = WEIGHTS | {"bf16-mixed": torch.bfloat16}
OTHERS = WEIGHTS | {"bf16-true": torch.float32}
"""Of buffers, the average and halting logits."""


class Spy(Callback):
    """Keeps the dtypes of halting logits and losses."""

    def __init__(self) -> None:
        self.dtypes: set[tuple[torch.dtype, ...]] = set()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        update = pl_module.train_metrics.update

        def spied(predictions: Any, labels: Any, halt: torch.Tensor, *rest: torch.Tensor) -> None:
            answer_loss, halting_loss = rest[-2:]
            self.dtypes.add((halt.dtype, answer_loss.dtype, halting_loss.dtype))
            update(predictions, labels, halt, *rest)

        pl_module.train_metrics.update = spied


class SaveLast(StepEMA):
    """Saves while the average and the trained weights are still apart."""

    def __init__(self, path: Path) -> None:
        super().__init__(0.9)
        self.path = path

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.save_checkpoint(self.path)
        super().on_train_end(trainer, pl_module)


def train(
    path: Path, precision: str, max_steps: int, *callbacks: Callback, ckpt_path: Path | None = None, **arguments: Any
) -> Trainer:
    """Train to ``max_steps`` and save a checkpoint; a validation follows each batch of three steps."""
    trainer = quiet_trainer(
        precision=precision,
        max_steps=max_steps,
        limit_train_batches=1,
        callbacks=[*callbacks, SaveLast(path)],
        **arguments,
    )
    trainer.fit(small_module(), Guess(slots=4), ckpt_path=ckpt_path, weights_only=True)
    return trainer


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_trains_validates_and_solves(tmp_path: Path, precision: str) -> None:
    spy, path = Spy(), tmp_path / "last.ckpt"
    trainer = train(path, precision, 3, spy)
    assert trainer.global_step == 3
    assert all(torch.isfinite(value) for value in trainer.callback_metrics.values())
    assert {"train/answer_loss", "val/answer_loss"} <= trainer.callback_metrics.keys()
    assert spy.dtypes == {(OTHERS[precision], torch.float64, OTHERS[precision])}
    checkpoint = torch.load(path, weights_only=True)
    (slots,) = checkpoint["slots"]
    assert slots["y"].dtype == slots["z"].dtype == STATES[precision]
    assert len(slots["steps"].unique()) > 1  # some were refilled
    weights, average = checkpoint["current_model_state"], checkpoint["state_dict"]
    assert weights["core.tokens.weight"].dtype == WEIGHTS[precision]
    assert average["core.tokens.weight"].dtype == OTHERS[precision]
    assert {weights[f"core.{name}"].dtype for name in ("puzzle_embedding.weights", "y_init", "z_init")} == {
        OTHERS[precision]
    }
    module = trainer.lightning_module.eval()
    batch = Guess().draw(0, 4)
    assert module.solve(batch.inputs, batch.puzzle_ids).tokens.shape == batch.inputs.shape


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_resumes_exactly(tmp_path: Path, precision: str) -> None:
    train(tmp_path / "whole.ckpt", precision, 9)
    train(tmp_path / "part.ckpt", precision, 4)
    train(tmp_path / "resumed.ckpt", precision, 9, ckpt_path=tmp_path / "part.ckpt")
    whole, resumed = (torch.load(tmp_path / f"{name}.ckpt", weights_only=True) for name in ("whole", "resumed"))
    for key in STATE:
        assert_same(whole[key], resumed[key], key)


def test_the_table_and_the_average_step_by_less_than_bfloat16_can_hold(tmp_path: Path) -> None:
    train(tmp_path / "last.ckpt", "bf16-true", 9)
    average = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    for name in ("core.puzzle_embedding.weights", "core.tokens.weight"):
        assert not torch.equal(average[name], average[name].bfloat16().float()), name


def test_a_validation_changes_neither_the_weights_nor_their_average(tmp_path: Path) -> None:
    train(tmp_path / "validated.ckpt", "bf16-true", 9)
    train(tmp_path / "not.ckpt", "bf16-true", 9, limit_val_batches=0)
    validated, other = (torch.load(tmp_path / f"{name}.ckpt", weights_only=True) for name in ("validated", "not"))
    for key in STATE:
        assert_same(validated[key], other[key], key)


@pytest.mark.parametrize("precision", ["16-mixed", "16-true"])
def test_float16_is_refused(precision: str) -> None:
    with pytest.raises(InputError, match=f"trainer.precision is {precision}, but must be one of 32-true, bf16-mixed"):
        check_precision(SimpleNamespace(precision=precision))


@pytest.mark.parametrize("precision", ["16-mixed", "16-true", "16"])
def test_a_refused_precision_leaves_nothing_behind(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = REPO / "configs" / "quickstart.yaml"
    data = ["--data.train_size=4", "--data.val_size=1", "--data.test_size=1", "--data.clues=[8,8]"]
    assert main(["fit", f"--config={config}", *data, f"--trainer.precision={precision}"]) == 2
    printed = capsys.readouterr().err
    assert printed.count(f"trm: error: trainer.precision is {precision}, but must be one of 32-true, bf16-mixed") == 1
    assert "bf16-mixed instead" not in printed  # as Lightning would have it on a CPU
    assert not list(tmp_path.iterdir())


def cpu(precision: str) -> Any:
    return SimpleNamespace(precision=precision, strategy=SimpleNamespace(root_device=torch.device("cpu")))


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_a_cpu_without_bfloat16_is_told_the_remedy(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False}, raising=False)
    with pytest.warns(UserWarning, match="pass --trainer.precision 32-true"):
        check_precision(cpu(precision))


@pytest.mark.parametrize(
    ("precision", "capabilities"),
    [("32-true", {}), ("bf16-mixed", {"avx512_bf16": True}), ("bf16-mixed", {"amx_bf16": True})],
)
def test_others_are_not(monkeypatch: pytest.MonkeyPatch, precision: str, capabilities: dict[str, bool]) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    with warnings.catch_warnings(action="error"):
        check_precision(cpu(precision))
