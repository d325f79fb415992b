"""A run that stops and continues ends up where one that never stopped does, bit for bit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from tasks import random_tasks, write_tasks
from training import STATE, assert_same, quiet_trainer

from trm.callbacks.checkpoints import Checkpoints
from trm.callbacks.curriculum import DepthCurriculum
from trm.callbacks.ema import StepEMA
from trm.callbacks.speed import Speed
from trm.checkpoints.load import load_checkpoint
from trm.cli.main import main
from trm.data import ARC, Maze, PuzzleData, Sudoku
from trm.errors import InputError
from trm.module import TRMModule

pytestmark = [
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
]


def sudoku(root: Path, workers: int = 0) -> PuzzleData:
    return Sudoku(
        4,
        train_size=30,
        val_size=4,
        test_size=4,
        clues=(8, 8),
        root=str(root),
        slots=4,
        steps_per_batch=3,
        workers=workers,
    )


def maze(root: Path, workers: int = 0) -> PuzzleData:
    return Maze(
        5,
        train_size=30,
        val_size=4,
        test_size=4,
        kind="unique",
        min_moves=4,
        root=str(root),
        slots=4,
        steps_per_batch=3,
        workers=workers,
    )


def arc(root: Path, workers: int = 0) -> PuzzleData:
    return ARC(
        subsets=("training", "evaluation"),
        source=str(write_tasks(random_tasks(), root / "tasks")),
        augmentations=5,
        side=6,
        val_size=4,
        slots=4,
        steps_per_batch=3,
        workers=workers,
    )


SMALL = {"hidden_size": 16, "num_heads": 2, "multiple_of": 8, "cycles": 2, "latent_steps": 1, "puzzle_tokens": 1}


class StopAfter(Callback):
    """Ends training after a number of steps, wherever that is in a batch."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        def count(*_: Any) -> None:
            self.steps -= 1
            if not self.steps:
                pl_module.stop_requested = trainer.should_stop = True

        trainer.optimizers[0].register_step_post_hook(count)


def train(
    folder: Path,
    data: PuzzleData,
    max_steps: int,
    ckpt_path: str | Path | None = None,
    extra: Sequence[Callback] = (),
    **arguments: Any,
) -> dict[str, Any]:
    """Train to ``max_steps``, in epochs of two batches of three steps, and return the last checkpoint."""
    torch.manual_seed(0)
    sizes = (data.vocab_size, data.seq_len, data.num_puzzles)
    module = TRMModule(*sizes, **{**SMALL, **arguments}, supervision_steps=3, explore=0.5, warmup_steps=5)
    with torch.no_grad():
        module.core.halting_head.bias.fill_(0.5)  # so that slots halt at different steps
    checkpoint = Checkpoints(str(folder))
    trainer = quiet_trainer(
        max_steps=max_steps,
        limit_train_batches=2,
        enable_checkpointing=True,
        callbacks=[StepEMA(0.9, warmup=True), Speed(), checkpoint, *extra],
    )
    trainer.fit(module, data, ckpt_path=ckpt_path, weights_only=True)
    return torch.load(folder / "last.ckpt", weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [3, 4, 6, 7], ids=["batch end", "mid-batch", "epoch end", "mid-batch later"])
@pytest.mark.parametrize("make", [sudoku, maze, arc])
def test_resume_is_exact(tmp_path: Path, stop: int, make: Any) -> None:
    whole = train(tmp_path / "whole", make(tmp_path), 11)
    train(tmp_path / "parts", make(tmp_path), stop)
    resumed = train(tmp_path / "parts", make(tmp_path), 11, "last")
    costs = [checkpoint["callbacks"]["Speed"]["tflop"] for checkpoint in (whole, resumed)]
    assert costs[0] == pytest.approx(costs[1])
    halted = whole["slots"][0]["steps"]
    assert len(halted.unique()) > 1  # the test would see a slot that is out of step
    for key in STATE:
        assert_same(whole[key], resumed[key], key)


@pytest.mark.slow
@pytest.mark.parametrize("make", [sudoku, maze, arc])
def test_resume_is_exact_with_workers(make: Any, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", make(tmp_path), 11)
    train(tmp_path / "parts", make(tmp_path, workers=2), 4)
    resumed = train(tmp_path / "parts", make(tmp_path, workers=2), 11, "last")
    for key in STATE:
        assert_same(whole[key], resumed[key], key)


def test_checkpoints_hold_the_average_as_their_state(tmp_path: Path) -> None:
    checkpoint = train(tmp_path, sudoku(tmp_path), 6)
    name = "core.blocks.0.mlp.down.weight"
    assert not torch.equal(checkpoint["state_dict"][name], checkpoint["current_model_state"][name])
    table = "core.puzzle_embedding.weights"
    assert checkpoint["state_dict"][table].data_ptr() == checkpoint["current_model_state"][table].data_ptr()
    assert checkpoint["state_dict"][table].any()


RECIPES: list[dict[str, Any]] = [
    {"step_noise": 0.1, "start_noise": 1.0, "pass_noise": 0.01, "step_decay": 0.7, "halt_bias": -3.0},
    {"optimizer": "muon", "conv": 2},
    {"latents": 3, "start_noise": 1.0, "pass_noise": 0.01},
    {"latent_steps": 3, "gradient_steps": 1},
]


@pytest.mark.parametrize("recipe", RECIPES, ids=["noise", "muon", "latents", "curriculum"])
def test_resume_is_exact_with_every_recipe(tmp_path: Path, recipe: dict[str, Any]) -> None:
    data = {"train_size": 30, "val_size": 4, "test_size": 4, "clues": (8, 8), "root": str(tmp_path)}
    loading = {"slots": 4, "steps_per_batch": 3, "workers": 0}

    def run(folder: str, *rest: Any, extra: Any = (), **arguments: Any) -> dict[str, Any]:
        extra = (DepthCurriculum(), *extra) if "gradient_steps" in recipe else extra
        return train(tmp_path / folder, Sudoku(4, **data, **loading, easier=0.5), 11, *rest, extra=extra, **arguments)

    whole = run("whole", **recipe)
    stopped = run("parts", extra=[StopAfter(5)], **recipe)
    assert stopped["global_step"] == 5
    resumed = run("parts", "last", **recipe)
    for key in STATE:
        assert_same(whole[key], resumed[key], key)


VARIANTS: dict[str, dict[str, Any]] = {
    "single_z": {},
    "multi_scale": {"latent_steps": 2},
    "two_networks": {},
    "hrm": {"latent_steps": 2, "continue_loss": True},
    "direct": {"cycles": 1},
}


@pytest.mark.parametrize("network", VARIANTS)
def test_every_network_resumes_exactly_is_tested_and_solves(tmp_path: Path, network: str) -> None:
    arguments = {"network": network, **VARIANTS[network]}
    whole = train(tmp_path / "whole", sudoku(tmp_path), 7, **arguments)
    train(tmp_path / "parts", sudoku(tmp_path), 3, **arguments)
    resumed = train(tmp_path / "parts", sudoku(tmp_path), 7, "last", **arguments)
    for key in STATE:
        assert_same(whole[key], resumed[key], key)
    checkpoint = tmp_path / "parts" / "last.ckpt"
    module, data = load_checkpoint(checkpoint)
    (metrics,) = quiet_trainer().test(module, data, verbose=False)
    assert metrics["test/supervision_steps"] == 3
    (answers,) = quiet_trainer().predict(module, data)
    assert answers.tokens.shape == (4, 16)
    assert main(["solve", str(checkpoint), ".3...2.1...4...."]) in (0, 1)


def test_a_checkpoint_from_before_an_argument_existed_has_its_default(tmp_path: Path) -> None:
    checkpoint = train(tmp_path, sudoku(tmp_path), 3)
    for name in ("network", "loss", "continue_loss"):
        del checkpoint["hyper_parameters"][name]
    older = tmp_path / "older.ckpt"
    torch.save(checkpoint, older)
    assert load_checkpoint(older)[0].hparams["network"] == "trm"
    assert train(tmp_path, sudoku(tmp_path), 6, older)["global_step"] == 6
    with pytest.raises(InputError, match="trained with network 'trm', but the configuration has 'two_networks'"):
        train(tmp_path, sudoku(tmp_path), 6, older, network="two_networks")


def test_a_checkpoint_of_another_number_of_latents_is_refused(tmp_path: Path) -> None:
    train(tmp_path, sudoku(tmp_path), 3, network="multi_scale", latent_steps=2)
    with pytest.raises(InputError, match="trained with latent_steps 2, but the configuration has 3"):
        train(tmp_path, sudoku(tmp_path), 6, "last", network="multi_scale", latent_steps=3)
