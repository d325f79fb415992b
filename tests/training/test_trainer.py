"""The callbacks, loggers and settings of Lightning's that a team brings along work, or are refused with a sentence."""

import csv
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import (
    DeviceStatsMonitor,
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateMonitor,
    ModelCheckpoint,
    ModelSummary,
    OnExceptionCheckpoint,
    RichProgressBar,
)
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from ranks import Guess, forked, small_module
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from trm.callbacks.checkpoints import Checkpoints
from trm.callbacks.curriculum import DepthCurriculum
from trm.callbacks.ema import StepEMA
from trm.callbacks.speed import Speed
from trm.callbacks.writers import Pictures, PredictionWriter, SubmissionWriter
from trm.errors import InputError

pytestmark = [
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:Be aware that when using .ckpt_path., callbacks"),
]


def data() -> Guess:
    return Guess(size=10, slots=4)


def trainer_of(folder: Path, *callbacks: Any, **arguments: Any) -> Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    often = {"val_check_interval": 1, "check_val_every_n_epoch": None, "log_every_n_steps": 1}
    return Trainer(default_root_dir=folder, callbacks=list(callbacks), **{**quiet, **often, **arguments})


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.filterwarnings("ignore:.*was called without a model")
@pytest.mark.filterwarnings("ignore:.*with multiple .ModelCheckpoint. callbacks")
@pytest.mark.filterwarnings("ignore:.*there is no last checkpoint available")
def test_lightnings_callbacks_and_loggers_work_together_with_those_of_trm(tmp_path: Path) -> None:
    best = ModelCheckpoint(tmp_path / "best", monitor="val/solved", mode="max", save_top_k=2)
    rates = LearningRateMonitor()
    callbacks = [rates, StepEMA(0.9), Speed(), Checkpoints(), best, DeviceStatsMonitor(cpu_stats=False), ModelSummary(),
                 EarlyStopping("val/solved", mode="max", patience=50), OnExceptionCheckpoint(tmp_path / "crash"),
                 RichProgressBar()]  # fmt: skip
    loggers = [CSVLogger(tmp_path, name="csv", version=0), TensorBoardLogger(tmp_path, name="tb", version=0)]
    trainer = trainer_of(tmp_path, *callbacks, logger=loggers, enable_progress_bar=True, enable_model_summary=True,
                         max_steps=12)  # fmt: skip
    module = small_module()
    trainer.fit(module, data())
    logged = {int(row["step"]): row for row in rows(tmp_path / "csv" / "version_0") if row.get("lr")}
    monitored = {int(row["step"]): row for row in rows(tmp_path / "csv" / "version_0") if row.get("lr-AdamATan2")}
    assert sorted(monitored) == [0, 3, 6, 9]
    assert sorted(logged) == [3, 6, 9, 12]
    for step in (3, 6, 9):
        assert float(monitored[step]["lr-AdamATan2"]) == pytest.approx(float(logged[step]["lr"]))
    assert len(best.best_k_models) == 2
    assert trainer.checkpoint_callback.best_model_path
    (results,) = trainer.test(module, data(), ckpt_path="best", verbose=False)
    assert "step" not in results
    best_step = torch.load(trainer.checkpoint_callback.best_model_path, weights_only=True)["global_step"]
    events = EventAccumulator(str(tmp_path / "tb" / "version_0"))
    events.Reload()
    tags = events.Tags()["scalars"]
    assert "hp_metric" not in tags
    assert [event.step for event in events.Scalars("test/solved")] == [best_step]
    assert [event.step for event in events.Scalars("val/solved")] == [3, 6, 9, 12]


def test_an_evaluation_is_logged_at_the_step_of_its_checkpoint(tmp_path: Path) -> None:
    kept = Checkpoints(str(tmp_path))
    trainer_of(tmp_path, kept, max_steps=6).fit(small_module(), data())
    for stage in ("test", "validate"):
        logger = CSVLogger(tmp_path, name=stage, version=0)
        getattr(trainer_of(tmp_path, logger=logger), stage)(
            small_module(), data(), ckpt_path=kept.last_model_path, verbose=False
        )
        assert [row["step"] for row in rows(tmp_path / stage / "version_0")] == ["6"]


def test_the_rows_of_a_csv_logger_survive_a_resume_and_an_evaluation(tmp_path: Path) -> None:
    def logger() -> CSVLogger:
        return CSVLogger(tmp_path, name=None, version="")

    trainer_of(tmp_path, Checkpoints(), logger=logger(), max_steps=6).fit(small_module(), data())
    before = rows(tmp_path)
    trainer_of(tmp_path, Speed(), Checkpoints(), logger=logger(), max_steps=9).fit(
        small_module(), data(), ckpt_path="last", weights_only=True
    )
    trainer_of(tmp_path, Checkpoints(), logger=logger()).test(small_module(), data(), ckpt_path="last", verbose=False)
    after = rows(tmp_path)
    assert [{key: value for key, value in row.items() if value} for row in after[: len(before)]] == [
        {key: value for key, value in row.items() if value} for row in before
    ]
    assert {int(row["step"]) for row in after if row["val/solved"]} == {3, 6, 9}
    assert after[-1]["test/solved"]
    assert not (tmp_path / "metrics.csv.kept").exists()


def test_zero_logs_nothing_of_the_steps(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name=None, version="")
    trainer_of(tmp_path, Speed(), logger=logger, log_every_n_steps=0, max_steps=6).fit(small_module(), data())
    assert not any(row.get("speed/steps_per_second") or row.get("train/solved") for row in rows(tmp_path))


def test_what_manual_optimization_has_no_use_for_is_refused_with_what_to_use_instead(tmp_path: Path) -> None:
    for arguments, message in (
        ({"gradient_clip_val": 1.0}, r"gradient_clip_val is 1\.0, .* use model\.gradient_clip_val 1\.0"),
        ({"accumulate_grad_batches": 2}, r"accumulate_grad_batches is 2, .* use a larger data\.slots"),
        ({"callbacks": [GradientAccumulationScheduler({0: 2})]}, r"use a larger data\.slots"),
    ):
        trainer = Trainer(default_root_dir=tmp_path, accelerator="cpu", logger=False, max_steps=3, **arguments)
        with pytest.raises(InputError, match=message):
            trainer.fit(small_module(), data())
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")  # by torch itself
def test_a_compiled_lightning_module_is_refused_and_works_as_before_afterwards(tmp_path: Path) -> None:
    module = small_module()
    with pytest.raises(InputError, match=r"use TRMModule\(compile=True\)"):
        trainer_of(tmp_path, max_steps=3).fit(torch.compile(module), data())
    trainer_of(tmp_path, max_steps=3).fit(module, data())


@pytest.mark.parametrize("optimizer", ["adam_atan2", "muon"])
def test_gradients_are_clipped_to_the_norm_that_is_asked_for(tmp_path: Path, optimizer: str) -> None:
    norms: dict[float | None, list[float]] = {}
    for clip in (None, 0.01):
        module = small_module(gradient_clip_val=clip, optimizer=optimizer)
        trainer = trainer_of(tmp_path, max_steps=6, enable_checkpointing=False)
        seen = norms[clip] = []

        def note(*_: Any, module: Any = module, seen: list[float] = seen) -> None:
            gradients = [p.grad for p in module.parameters() if p.grad is not None]
            seen.append(float(torch.nn.utils.get_total_norm(gradients)))

        module.on_train_start = lambda trainer=trainer, note=note: trainer.optimizers[0].register_step_pre_hook(note)
        trainer.fit(module, data())
    assert len(norms[0.01]) == 6
    assert max(norms[0.01]) <= 0.01 * 1.001 < min(norms[None])


@pytest.mark.parametrize("callback", [Speed(), Checkpoints(), Pictures(), DepthCurriculum(), SubmissionWriter()])
def test_callbacks_refuse_another_module_or_data_with_a_sentence(callback: Any, tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, callback, max_steps=1, limit_val_batches=0)
    name = type(callback).__name__
    with pytest.raises(InputError, match=name):
        if isinstance(callback, SubmissionWriter):
            trainer.test(BoringModel())
        else:
            trainer.fit(BoringModel())


def test_predictions_of_plain_data_loaders_are_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"PredictionWriter needs a PuzzleData, .*, not data loaders"):
        trainer_of(tmp_path, PredictionWriter()).predict(small_module(), data().predict_dataloader())


def test_two_ranks_train_without_a_warning_about_metrics(tmp_path: Path) -> None:
    with forked(2) as where, warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*does not have many workers")
        warnings.filterwarnings("ignore", ".*LeafSpec")
        trainer_of(tmp_path, StepEMA(0.9), Speed(), Checkpoints(str(tmp_path)), max_steps=6, **where).fit(
            small_module(), data()
        )


def test_a_seed_that_was_set_elsewhere_is_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")
    kept = Checkpoints(str(tmp_path))
    trainer_of(tmp_path, kept, max_steps=3).fit(small_module(), data())
    assert "seed" not in torch.load(kept.last_model_path, weights_only=True)


@pytest.mark.parametrize("labelled", [0, 3])
def test_what_puzzles_without_a_label_cannot_be_measured_by_is_left_out(
    labelled: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    family = data()
    samples = family.samples("test")
    labels = samples.labels.copy()
    labels[labelled:] = 0
    family._splits["test"] = samples._replace(labels=labels)
    with caplog.at_level("INFO"):
        (results,) = trainer_of(tmp_path).test(small_module(), family)
    assert "test/supervision_steps" in results
    missing = {"test/solved", "test/cells", "test/halting_accuracy", "test/answer_loss", "test/halting_loss"}
    assert missing & results.keys() == (missing if labelled else set())
    of = "means over the other 3" if labelled else "left out"
    count = len(labels)
    told = f"{count - labelled} of {count} puzzles of the test split have no label: accuracy and losses are {of}."
    assert told in caplog.messages
