"""The last and the best checkpoint: when they are written, and that any process finds them."""

import logging
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from command import FOUR
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from ranks import Guess, forked, small_module
from training import STATE, assert_same

from trm.callbacks.checkpoints import Checkpoints
from trm.callbacks.ema import StepEMA
from trm.cli.main import main
from trm.errors import InputError

pytestmark = [
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
]
QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
OFTEN = {"val_check_interval": 1, "check_val_every_n_epoch": None}
FIT = ["fit", "--config", "configs/quickstart.yaml", *FOUR]


def fit(folder: Path, *callbacks: Callback, ckpt_path: str | None = None, **arguments: Any) -> Trainer:
    trainer = Trainer(default_root_dir=folder, callbacks=list(callbacks), **{**QUIET, **OFTEN, **arguments})
    trainer.fit(small_module(), Guess(size=10, slots=4), ckpt_path=ckpt_path, weights_only=True)
    return trainer


class Scripted(Callback):
    """Logs a score of one's own at each validation."""

    def __init__(self, *scores: float) -> None:
        self.scores = list(scores)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            pl_module.log("val/score", self.scores.pop(0))


def steps(folder: Path) -> dict[str, int]:
    return {file.name: torch.load(file, weights_only=True)["global_step"] for file in sorted(folder.glob("*.ckpt"))}


def test_the_best_and_the_last_are_kept_and_found_by_another_callback(tmp_path: Path) -> None:
    kept = Checkpoints(str(tmp_path), monitor="val/score")
    fit(tmp_path, Scripted(0.1, 0.9, 0.5, 0.2), kept, max_steps=12)
    assert steps(tmp_path) == {"best.ckpt": 6, "last.ckpt": 12}
    assert kept.best_model_path == str(tmp_path / "best.ckpt")
    assert kept.last_model_path == str(tmp_path / "last.ckpt")
    assert kept.best_model_score == pytest.approx(0.9)
    trainer = Trainer(callbacks=[Checkpoints(str(tmp_path), monitor="val/score")], default_root_dir=tmp_path, **QUIET)
    (found,) = trainer.test(small_module(), Guess(size=10, slots=4), ckpt_path="best", verbose=False)
    (given,) = trainer.test(small_module(), Guess(size=10, slots=4), ckpt_path=tmp_path / "best.ckpt", verbose=False)
    assert found == given


def test_a_run_that_goes_on_compares_with_the_best_of_before(tmp_path: Path) -> None:
    fit(tmp_path, Scripted(0.1, 0.9), Checkpoints(str(tmp_path), monitor="val/score", save_top_k=2), max_steps=6)
    kept = Checkpoints(str(tmp_path), monitor="val/score", save_top_k=2)
    fit(tmp_path, Scripted(0.5, 0.4), kept, max_steps=12, ckpt_path="last")
    assert steps(tmp_path) == {"best-6.ckpt": 6, "best-9.ckpt": 9, "last.ckpt": 12}
    assert Path(kept.best_model_path).name == "best-6.ckpt"
    again = Checkpoints(str(tmp_path), monitor="val/score", save_top_k=2)
    assert Path(again.best_model_path).name == "best-6.ckpt"


def test_a_checkpoint_written_after_a_validation_goes_on_exactly_and_does_not_validate_again(tmp_path: Path) -> None:
    class Stops(Callback):
        def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
            if trainer.global_step == 9:
                raise RuntimeError("power cut")

    class Validations(Callback):
        def __init__(self) -> None:
            self.steps: list[int] = []

        def on_validation_end(self, trainer: Trainer, *_: Any) -> None:
            if not trainer.sanity_checking:
                self.steps.append(trainer.global_step)

    whole, first, second = Validations(), Validations(), Validations()
    every = {"val_check_interval": 2, "max_steps": 15}
    fit(tmp_path, whole, StepEMA(0.9), Checkpoints(str(tmp_path / "whole")), **every)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(tmp_path, first, Stops(), StepEMA(0.9), Checkpoints(str(tmp_path / "parts")), **every)
    assert steps(tmp_path / "parts")["last.ckpt"] == 6
    fit(tmp_path, second, StepEMA(0.9), Checkpoints(str(tmp_path / "parts")), ckpt_path="last", **every)
    assert first.steps + second.steps == whole.steps
    one, other = (torch.load(tmp_path / run / "last.ckpt", weights_only=True) for run in ("whole", "parts"))
    for key in STATE:
        assert_same(one[key], other[key], key)


def test_without_validations_the_last_is_kept_every_thousand_steps_and_it_is_said_that_none_is_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Steps(Checkpoints):
        saved: list[int] = []  # noqa: RUF012

        def _save(self, trainer: Trainer, signum: int) -> None:
            self.saved.append(trainer.global_step)
            super()._save(trainer, signum)

    monkeypatch.setattr("trm.callbacks.checkpoints.LONGEST", 6)
    with caplog.at_level(logging.INFO, "lightning.pytorch.utilities.rank_zero"):
        fit(tmp_path, kept := Steps(str(tmp_path)), max_steps=20, limit_val_batches=0)
    assert kept.saved == [6, 12, 18, 20]
    assert "No best checkpoint was kept, since val/solved was never logged by a validation" in caplog.text
    with pytest.raises(ValueError, match="not configured to save the best model"):
        Trainer(callbacks=[kept], **QUIET).test(small_module(), Guess(size=10), ckpt_path="best")


def test_a_metric_that_is_not_logged_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"monitor is 'val/solve', which was not logged; .* val/solved"):
        fit(tmp_path, Checkpoints(str(tmp_path), monitor="val/solve"), max_steps=3)
    assert steps(tmp_path) == {"last.ckpt": 3}
    with pytest.raises(InputError, match=r"Checkpoints\.mode is 'most', but must be one of max, min"):
        Checkpoints(mode="most")  # type: ignore[arg-type]


def test_a_fresh_run_that_overwrites_another_says_so_and_a_complete_one_how_to_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fit(tmp_path, Checkpoints(str(tmp_path)), max_steps=3)
    with pytest.warns(UserWarning, match=r"last\.ckpt is of an earlier run, and this one will overwrite it"):
        fit(tmp_path, Checkpoints(str(tmp_path)), max_steps=3)
    with caplog.at_level(logging.INFO, "lightning.pytorch.utilities.rank_zero"):
        fit(tmp_path, complete := Checkpoints(str(tmp_path)), max_steps=3, ckpt_path="last")
    assert complete.best_model_path == str(tmp_path / "best.ckpt")
    assert "is complete: it has taken all of its 3 steps. To continue, pass a larger trainer.max_steps" in caplog.text


def test_a_logger_with_a_new_version_for_every_run_is_told_where_the_earlier_one_lies(here: Path) -> None:
    logger = "--trainer.logger={class_path: CSVLogger, init_args: {save_dir: runs/own, name: ours, version: null}}"
    assert main([*FIT, logger]) == 0
    with pytest.warns(UserWarning, match=r"anew in runs/own/ours/version_1/.*version_0/checkpoints/last"):
        assert main([*FIT, logger]) == 0


@pytest.mark.parametrize("every", [2, 4, 10])
def test_lightnings_own_checkpoints_are_saved_at_the_end_of_the_batch_that_passes_a_multiple(
    tmp_path: Path, every: int
) -> None:
    plain = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=every, save_top_k=-1)
    fit(tmp_path, plain, max_steps=21)
    expected = {2: [3, 6, 9, 12, 15, 18, 21], 4: [6, 9, 12, 18, 21], 10: [12, 21]}[every]
    assert sorted(steps(tmp_path).values()) == expected


@pytest.mark.filterwarnings("ignore:It is recommended")
def test_two_ranks_keep_the_same_best(tmp_path: Path) -> None:
    with forked(2) as where:
        fit(tmp_path, Scripted(0.1, 0.9, 0.5), Checkpoints(str(tmp_path), monitor="val/score"), max_steps=9, **where)
    assert steps(tmp_path) == {"best.ckpt": 6, "last.ckpt": 9}
    with forked(2) as where:
        kept = Checkpoints(str(tmp_path), monitor="val/score")
        fit(tmp_path, Scripted(0.7, 0.95), kept, max_steps=15, ckpt_path="last", **where)
    assert steps(tmp_path) == {"best.ckpt": 15, "last.ckpt": 15}


def test_a_new_process_tests_the_best_and_the_command_for_it_is_told(
    here: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    test = ["test", "--config", "configs/quickstart.yaml", *FOUR]
    assert main([*test, "--ckpt_path", "best"]) == 2
    assert "there is no best checkpoint in " in capsys.readouterr().err
    with caplog.at_level(logging.INFO, "lightning.pytorch.utilities.rank_zero"):
        assert main(FIT) == 0
    told = next(record.message for record in caplog.records if "Next: " in record.message)
    assert told.startswith("Checkpoints are in runs/quickstart/checkpoints: last.ckpt (step 6), best.ckpt (val/solved ")
    assert told.endswith(" --ckpt_path best")
    assert main(shlex.split(told.partition("Next: trm ")[2])) == 0
    assert torch.load("runs/quickstart/checkpoints/best.ckpt", weights_only=True)["seed"] == 0
