"""The callbacks of training: what the average follows, what training costs, how the depth grows."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from ranks import Guess, small_module
from training import quiet_trainer

from trm.callbacks.curriculum import DepthCurriculum
from trm.callbacks.ema import StepEMA
from trm.callbacks.speed import Speed
from trm.data import Sudoku
from trm.errors import InputError
from trm.module import TRMModule
from trm.nn import TRM, State
from trm.nn.flops import count_flops


def test_the_average_follows_every_optimizer_step_and_stops_with_the_last(tmp_path: Path) -> None:
    sizes = {"train_size": 9, "val_size": 4, "test_size": 4, "slots": 4, "steps_per_batch": 3, "workers": 0}
    data = Sudoku(4, clues=(8, 8), root=str(tmp_path), **sizes)
    module = TRMModule(
        6, 16, hidden_size=16, num_heads=2, multiple_of=8, cycles=1, latent_steps=1, puzzle_tokens=0, warmup_steps=0
    )
    expected = [p.detach().clone() for p in module.parameters()]
    steps = []

    class Follow(Callback):
        def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            trainer.optimizers[0].register_step_post_hook(self.follow)

        def follow(self, *_: object) -> None:
            steps.append(len(steps))
            for average, current in zip(expected, module.parameters(), strict=True):
                average.lerp_(current.detach(), 0.25)

    # the last batch would take three steps, but the run ends after one of them
    quiet_trainer(max_steps=7, callbacks=[StepEMA(0.75), Follow()]).fit(module, data)
    assert len(steps) == 7
    for average, left in zip(expected, module.parameters(), strict=True):  # StepEMA leaves the average in the model
        torch.testing.assert_close(left.detach(), average, rtol=0, atol=1e-7)


class NoteDepth(Callback):
    """Notes cycles and latent steps of every training batch and of every validation batch."""

    def __init__(self) -> None:
        self.training: list[tuple[int, int]] = []
        self.validation: set[tuple[int, int]] = set()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        self.training.append((pl_module.core.cycles, pl_module.core.latent_steps))

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        self.validation.add((pl_module.core.cycles, pl_module.core.latent_steps))


def test_depth_grows_in_three_stages_and_is_whole_in_validation(tmp_path: Path) -> None:
    data = Sudoku(4, train_size=8, val_size=2, clues=(8, 8), root=str(tmp_path), slots=2, steps_per_batch=1, workers=0)
    module = TRMModule(6, 16, hidden_size=8, num_heads=2, multiple_of=8, cycles=3, latent_steps=6, supervision_steps=2)
    depths = NoteDepth()
    trainer = quiet_trainer(max_steps=10, val_check_interval=1, callbacks=[DepthCurriculum(), depths])
    trainer.fit(module, data)
    assert depths.training == [(1, 2)] * 3 + [(2, 4)] * 3 + [(3, 6)] * 4
    assert depths.validation == {(3, 6)}
    assert (module.core.cycles, module.core.latent_steps) == (3, 6)


def test_a_depth_curriculum_is_refused_where_it_has_no_stages(tmp_path: Path) -> None:
    data = Sudoku(4, train_size=8, val_size=2, clues=(8, 8), root=str(tmp_path), slots=2, steps_per_batch=1, workers=0)
    sizes = {"hidden_size": 8, "num_heads": 2, "multiple_of": 8}
    with pytest.raises(InputError, match=r"needs trainer\.max_steps"):
        quiet_trainer(max_epochs=-1, callbacks=[DepthCurriculum()]).fit(TRMModule(6, 16, **sizes), data)
    with pytest.raises(InputError, match="network multi_scale has a latent for each"):
        quiet_trainer(max_steps=1, callbacks=[DepthCurriculum()]).fit(
            TRMModule(6, 16, **sizes, network="multi_scale"), data
        )


class Clock(Callback):
    """A process whose batches take 2 s of CPU time each, and its validations 100 s; the second batch is deeper."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("trm.callbacks.speed.time.process_time", lambda: self.now)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        self.now += 2
        pl_module.core.latent_steps = 1 + (trainer.global_step == 3)

    def on_validation_start(self, *_: object) -> None:
        self.now += 100


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch")
def test_the_cost_of_training_is_counted_over_resumes_and_depths_and_without_validations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cost = {}
    for max_steps in (3, 12):  # the first run stops in the middle of an epoch
        module, speed = small_module(), Speed()
        trainer = quiet_trainer(
            max_steps=max_steps, limit_train_batches=2, callbacks=[Clock(monkeypatch), speed], num_sanity_val_steps=1
        )
        trainer.fit(module, Guess(size=10, slots=4), ckpt_path=tmp_path / "last.ckpt" if cost else None)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        cost = torch.load(tmp_path / "last.ckpt")["callbacks"]["Speed"]
    assert trainer.callback_metrics["cost/tflop"] == pytest.approx(cost["tflop"])
    shallow, deep = (count_flops(_with_latent_steps(module, steps), 4).total for steps in (1, 2))
    assert cost["tflop"] == pytest.approx((9 * shallow + 3 * deep) / 1e12)
    assert cost["core_seconds"] == 8
    assert cost["device_seconds"] == 0


def test_counting_operations_draws_no_random_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    module = small_module()
    start = module.core.start
    monkeypatch.setattr(module.core, "start", lambda count: State(*(part + torch.randn(1) for part in start(count))))
    before = torch.get_rng_state()
    count_flops(module.core, 1)
    assert torch.equal(torch.get_rng_state(), before)


def _with_latent_steps(module: TRMModule, steps: int) -> TRM:
    module.core.latent_steps = steps
    return module.core
