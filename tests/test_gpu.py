"""What only a GPU can show; skipped without one."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.strategies import DDPStrategy
from training import STATE, assert_same, quiet_trainer

from trm.batch import Batch
from trm.callbacks.checkpoints import Checkpoints
from trm.callbacks.ema import StepEMA
from trm.checkpoints.files import CheckpointFiles
from trm.checkpoints.load import load_checkpoint
from trm.data import Sudoku
from trm.module import TRMModule

ACCELERATOR = "gpu"
pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    pytest.mark.filterwarnings("ignore:It is recommended to use .self.log.*sync_dist"),  # the metrics are synced
]


class Watched(TRMModule):
    """Forbids the CPU to wait for the GPU inside a supervision step; at the end of a batch it waits for the metrics."""

    def supervision_step(self, fresh: Batch) -> None:
        torch.cuda.set_sync_debug_mode("error" if self.global_step >= self.patience else "default")
        try:
            super().supervision_step(fresh)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    patience = 10**9


def train(folder: Path, max_steps: int = 12, ckpt_path: str | None = None, **arguments: Any) -> TRMModule:
    """Train a tiny model with a puzzle embedding, in epochs of two batches of three steps."""
    trainer = {name: arguments.pop(name) for name in ("precision", "strategy", "accelerator") if name in arguments}
    patience = arguments.pop("patience", 10**9)
    torch.manual_seed(0)
    module = Watched(6, 16, 1, hidden_size=32, num_heads=2, multiple_of=8, cycles=2, latent_steps=2, puzzle_tokens=1,
                     supervision_steps=3, explore=0.5, warmup_steps=5, **arguments)  # fmt: skip
    module.patience = patience
    sizes = {"train_size": 60, "val_size": 8, "test_size": 4, "slots": 8, "steps_per_batch": 3, "workers": 0}
    fit = quiet_trainer(
        max_steps=max_steps,
        limit_train_batches=2,
        enable_checkpointing=True,
        callbacks=[StepEMA(0.9), Checkpoints(str(folder))],
        plugins=[CheckpointFiles()],
        **{"accelerator": ACCELERATOR, "devices": 1, **trainer},
    )
    data = Sudoku(4, clues=(8, 8), root=str(folder.parent), **sizes)
    fit.fit(module, data, ckpt_path=ckpt_path, weights_only=True)
    return module


def assert_near(one: TRMModule, other: TRMModule, tolerance: float) -> None:
    for (name, p), q in zip(one.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(
            p.cpu(), q.cpu(), atol=tolerance, rtol=0, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_a_gpu_takes_the_steps_of_a_cpu(tmp_path: Path) -> None:
    on_cpu = train(tmp_path / "cpu", max_steps=3, accelerator="cpu")
    assert_near(train(tmp_path / "gpu", max_steps=3), on_cpu, 1e-4)


def test_a_supervision_step_never_waits_for_the_gpu(tmp_path: Path) -> None:
    train(tmp_path / "run", patience=3, check_finite="never")


def test_bfloat16_trains_validates_and_solves(tmp_path: Path) -> None:
    train(tmp_path / "run", precision="bf16-mixed")
    module, data = load_checkpoint(tmp_path / "run" / "last.ckpt")
    samples = data.samples("test")
    answers = module.cuda().solve(
        torch.as_tensor(samples.inputs, device="cuda").int(), torch.as_tensor(samples.puzzle_ids, device="cuda").int()
    )
    assert torch.isfinite(answers.logits).all()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inductor's own
@pytest.mark.parametrize("settings", [{}, {"latents": 2}, {"network": "symmetric", "num_symbols": 4}], ids=str)
def test_compiled_is_eager(tmp_path: Path, settings: dict[str, Any]) -> None:
    eager = train(tmp_path / "eager", max_steps=3, **settings)
    assert_near(train(tmp_path / "compiled", max_steps=3, compile=True, **settings), eager, 1e-4)


def test_resume_is_exact_with_exploration_on_the_gpu(tmp_path: Path) -> None:
    train(tmp_path / "whole")
    train(tmp_path / "parts", max_steps=5)
    train(tmp_path / "parts", ckpt_path="last")
    whole, resumed = (torch.load(tmp_path / run / "last.ckpt", weights_only=True) for run in ("whole", "parts"))
    for key in STATE:
        assert_same(whole[key], resumed[key], key)


def test_nccl_on_one_gpu_is_no_ddp(tmp_path: Path) -> None:
    alone = train(tmp_path / "alone", max_steps=6)
    assert_near(train(tmp_path / "nccl", max_steps=6, strategy=DDPStrategy(process_group_backend="nccl")), alone, 1e-6)
