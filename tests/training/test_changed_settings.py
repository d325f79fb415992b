"""A run that resumes with other settings names each of them, and a run says from which parameters it starts."""

import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from command import FOUR
from lightning.pytorch import Trainer
from ranks import Guess, small_module

from trm.cli.main import main

FIT = ["fit", "--config", "configs/quickstart.yaml", *FOUR]
LAST = Path("runs/quickstart/checkpoints/last.ckpt")
CHANGES = {
    "--data.train_size=25": "data.train_size 40, now 25",
    "--data.clues=[7,8]": "data.clues (8, 8), now (7, 8)",
    "--data.seed=3": "data.seed 0, now 3",
    "--data.steps_per_batch=3": "data.steps_per_batch 2, now 3",
    "--model.lr=0.001": "model.lr 0.01, now 0.001",
    "--model.explore=0.3": "model.explore 0.1, now 0.3",
    "--trainer.precision=bf16-mixed": "trainer.precision 32-true, now bf16-mixed",
    "--trainer.limit_train_batches=1": "trainer.limit_train_batches 1.0, now 1",
    "--seed_everything=7": "seed_everything 0, now 7, which has no effect on a run that has begun",
    "--trainer.callbacks+=DepthCurriculum": "DepthCurriculum absent, now present",
}


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "lightning.pytorch.utilities.rank_zero")
    return caplog


@pytest.mark.filterwarnings("ignore:This CPU has no instructions for bfloat16")
def test_every_setting_that_differs_is_named_with_both_values(here: Path) -> None:
    assert main(FIT) == 0
    config = Path("configs/quickstart.yaml")
    config.write_text(config.read_text().replace("decay: 0.99,", "decay: 0.9,"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert main([*FIT, "--trainer.max_steps=8", *CHANGES]) == 0
    (message,) = [str(each.message) for each in caught if "other settings" in str(each.message)]
    assert f"other settings than those of {LAST}: " in message
    named = message.partition(": ")[2].split("; ")
    lengths = {"trainer.max_steps 6, now 8"}  # the curriculum's stages are shares of the run
    assert set(named) == {*CHANGES.values(), "StepEMA.decay 0.99, now 0.9", *lengths}


def test_a_run_that_only_goes_on_longer_warns_of_nothing(
    here: Path, told: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    assert main(FIT) == 0
    assert told.messages.count("Training starts from random parameters (seed_everything 0).") == 1
    assert main([*FIT, "--trainer.max_steps=8", "--data.workers=0", "--data.eval_batch_size=2"]) == 0
    assert f"Training continues {LAST} at step 6." in told.messages
    assert not [each for each in recwarn if "other settings" in str(each.message)]


def test_changed_training_puzzles_are_added_up(here: Path) -> None:
    def puzzles() -> int:
        return int(torch.load(LAST, weights_only=True)["training_puzzles"])

    assert main(FIT) == 0
    first = puzzles()
    with pytest.warns(UserWarning, match="data.seed 0, now 3; data.train_size|data.train_size 40, now 25"):
        assert main([*FIT, "--trainer.max_steps=8", "--data.train_size=25"]) == 0
    both = puzzles()
    assert first < both <= first + 25
    assert main([*FIT, "--trainer.max_steps=10", "--data.train_size=25"]) == 0
    assert puzzles() == both


@pytest.mark.filterwarnings("ignore:This run continues with other settings")
def test_a_changed_learning_rate_takes_effect(here: Path) -> None:
    assert main([*FIT, "--model.warmup_steps=0"]) == 0
    assert (
        main([*FIT, "--model.warmup_steps=0", "--model.lr=0.5", "--model.weight_decay=0", "--trainer.max_steps=8"]) == 0
    )
    (group,) = torch.load(LAST, weights_only=True)["optimizer_states"][0]["param_groups"]
    assert (group["lr"], group["initial_lr"], group["weight_decay"]) == (0.5, 0.5, 0)


@pytest.mark.filterwarnings("ignore:This run continues with other settings")
def test_a_changed_learning_rate_of_muon_takes_effect_on_its_matrices_alone(here: Path) -> None:
    muon = [*FIT, "--model.warmup_steps=0", "--model.optimizer=muon"]
    assert main([*muon, "--model.muon_weight_decay=0.2"]) == 0
    assert main([*muon, "--model.lr=0.5", "--model.muon_lr=0.02", "--trainer.max_steps=8"]) == 0
    others, matrices = torch.load(LAST, weights_only=True)["optimizer_states"][0]["param_groups"]
    assert (others["lr"], matrices["lr"]) == (0.5, 0.02)
    assert matrices["weight_decay"] == others["weight_decay"]  # of its own no more
    assert matrices["adjust_lr_fn"] == "original"  # the scale of a learning rate of its own


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_a_run_says_from_which_parameters_it_starts(here: Path, told: pytest.LogCaptureFixture) -> None:
    options: Any = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    module, data = small_module(), Guess(slots=4)
    trainer = Trainer(max_steps=3, enable_model_summary=False, **options)
    trainer.fit(module, data)
    assert told.messages.count("Training starts from random parameters.") == 1
    trainer.fit_loop.epoch_loop.max_steps = 6
    trainer.fit(module, data)
    assert "Training continues at step 3." in told.messages
    Trainer(max_steps=3, enable_model_summary=False, **options).fit(module, data)
    assert "Training starts from the parameters that the module has after 6 steps." in told.messages
