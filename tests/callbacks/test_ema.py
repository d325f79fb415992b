"""The average of the parameters: every way of evaluating a file uses it, and training goes on without it."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from command import CHECKPOINT, FOUR, refused
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from ranks import Guess, small_module
from training import STATE, assert_same

from trm.callbacks.checkpoints import Checkpoints
from trm.callbacks.ema import StepEMA
from trm.checkpoints.load import load_checkpoint
from trm.cli.main import main

pytestmark = [
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    pytest.mark.filterwarnings("ignore:.*last.ckpt is of an earlier run"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:Be aware that when using .ckpt_path., callbacks"),
]


def trainer_of(folder: Path, *callbacks: Callback, **arguments: Any) -> Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    validation = {"val_check_interval": 1, "check_val_every_n_epoch": None}
    return Trainer(default_root_dir=folder, callbacks=list(callbacks), **{**quiet, **validation, **arguments})


def data() -> Guess:
    return Guess(size=10, slots=4)


def test_all_ways_of_evaluating_a_file_use_its_average(tmp_path: Path) -> None:
    checkpoints = Checkpoints(monitor="val/answer_loss", mode="max")  # so that the best is not the last
    trainer = trainer_of(tmp_path, StepEMA(0.5), checkpoints, max_steps=12)
    module = small_module()
    trainer.fit(module, data())
    best, last = checkpoints.best_model_path, checkpoints.last_model_path

    def loss(*args: Any, **kwargs: Any) -> float:
        tester = kwargs.pop("tester", None) or trainer_of(tmp_path)
        return float(tester.test(*args, verbose=False, **kwargs)[0]["test/answer_loss"])

    for name, file in (("best", best), ("last", last)):
        fresh = loss(small_module(), data(), ckpt_path=file)
        assert loss(small_module(), data(), ckpt_path=file, tester=trainer_of(tmp_path, StepEMA(0.5))) == fresh
        assert loss(module, data(), ckpt_path=name, tester=trainer) == fresh
        assert loss(module, data(), ckpt_path=file, tester=trainer) == fresh
        assert loss(load_checkpoint_of(file), data()) == fresh
        (validated,) = trainer.validate(module, data(), ckpt_path=file, verbose=False)
        assert validated == trainer_of(tmp_path).validate(small_module(), data(), ckpt_path=file, verbose=False)[0]
        assert_same(
            [answers.logits for answers in trainer.predict(module, data(), ckpt_path=file)],
            [answers.logits for answers in trainer_of(tmp_path).predict(load_checkpoint_of(file), data())],
        )
    assert loss(small_module(), data(), ckpt_path=best) != loss(small_module(), data(), ckpt_path=last)


def load_checkpoint_of(file: str) -> Any:
    module = small_module()
    module.load_state_dict(torch.load(file, weights_only=True)["state_dict"])
    return module


def test_a_checkpoint_saved_after_the_fit_goes_on_exactly(tmp_path: Path) -> None:
    whole = trainer_of(tmp_path / "whole", StepEMA(0.5), max_steps=12, enable_checkpointing=False)
    whole.fit(small_module(), data())
    whole.save_checkpoint(tmp_path / "whole.ckpt")
    first = trainer_of(tmp_path / "parts", StepEMA(0.5), max_steps=6, enable_checkpointing=False)
    first.fit(small_module(), data())
    first.save_checkpoint(tmp_path / "half.ckpt")
    second = trainer_of(tmp_path / "parts", StepEMA(0.5), max_steps=12, enable_checkpointing=False)
    second.fit(small_module(), data(), ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    second.save_checkpoint(tmp_path / "parts.ckpt")
    one, other = (torch.load(tmp_path / f"{run}.ckpt", weights_only=True) for run in ("whole", "parts"))
    for key in STATE:
        assert_same(one[key], other[key], key)


def test_a_second_fit_trains_the_live_parameters_on(tmp_path: Path) -> None:
    class Note(Callback):
        def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
            self.parameters = [parameter.detach().clone() for parameter in pl_module.parameters()]

    note, module = Note(), small_module()
    trainer = trainer_of(tmp_path, StepEMA(0.9), note, max_steps=6, enable_checkpointing=False)
    trainer.fit(module, data())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    live = torch.load(tmp_path / "a.ckpt", weights_only=True)["current_model_state"]
    trainer.fit_loop.epoch_loop.max_steps = 9
    trainer.fit(module, data())
    assert_same(note.parameters, [live[name] for name, _ in module.named_parameters()])


def test_files_of_parameters_alone_contain_the_average(tmp_path: Path) -> None:
    files = [
        ModelCheckpoint(tmp_path / mode, monitor="val/solved", mode=mode, save_weights_only=mode == "min")
        for mode in ("min", "max")
    ]
    trainer_of(tmp_path, StepEMA(0.5), *files, max_steps=3).fit(small_module(), data())
    alone, full = (torch.load(file.best_model_path, weights_only=True) for file in files)
    assert_same(alone["state_dict"], full["state_dict"])
    assert not torch.equal(*(full[key]["core.tokens.weight"] for key in ("state_dict", "current_model_state")))
    assert alone["averaged"]
    assert "current_model_state" not in alone


def test_leaving_the_average_out_goes_on_from_the_live_parameters_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "lightning.pytorch.utilities.rank_zero"):
        kept = Checkpoints(str(tmp_path))
        trainer_of(tmp_path, StepEMA(0.5), kept, max_steps=6).fit(small_module(), data())
        live = torch.load(kept.last_model_path, weights_only=True)["current_model_state"]
        module = small_module()
        trainer_of(tmp_path, max_steps=6, enable_checkpointing=False).fit(
            module, data(), ckpt_path=kept.last_model_path, weights_only=True
        )  # which has no steps left
        assert_same(dict(module.state_dict()), live)
        assert "this run has no StepEMA: training continues from the live parameters" in caplog.text
        trainer_of(tmp_path, Checkpoints(str(tmp_path / "b")), max_steps=3).fit(small_module(), data())
        trainer_of(tmp_path, StepEMA(0.5), Checkpoints(str(tmp_path / "b")), max_steps=9).fit(
            small_module(), data(), ckpt_path="last", weights_only=True
        )
        assert "contains no average of its parameters: StepEMA starts one from them" in caplog.text
    assert "current_model_state" in torch.load(tmp_path / "b" / "last.ckpt", weights_only=True)


def test_an_interrupted_fit_leaves_the_average_in_the_module(tmp_path: Path) -> None:
    class Fails(Callback):
        def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
            if trainer.global_step == 6:
                raise RuntimeError("enough")

    module = small_module()
    trainer = trainer_of(tmp_path, StepEMA(0.5), Fails(), max_steps=9, enable_checkpointing=False)
    with pytest.raises(RuntimeError, match="enough"):
        trainer.fit(module, data())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    saved = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert_same(dict(module.state_dict()), saved["state_dict"])
    assert not torch.equal(*(saved[key]["core.tokens.weight"] for key in ("state_dict", "current_model_state")))


def test_load_checkpoint_loads_the_average(tmp_path: Path) -> None:
    kept = Checkpoints(str(tmp_path))
    trainer_of(tmp_path, StepEMA(0.5), kept, max_steps=6).fit(small_module(), data())
    module, _ = load_checkpoint(kept.last_model_path, "ranks.Guess")
    assert_same(dict(module.state_dict()), torch.load(kept.last_model_path, weights_only=True)["state_dict"])


def test_the_decay_has_an_option_of_its_own(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["fit", "--config", "configs/quickstart.yaml", *FOUR, "--ema_decay=0.5"]
    assert main(run) == 0
    record = torch.load(CHECKPOINT, weights_only=True)
    assert record["settings"]["StepEMA.decay"] == 0.5
    none = refused(capsys, [*run, "--trainer.callbacks=null"])
    assert "--ema_decay is 0.5, but trainer.callbacks has no StepEMA" in none
