"""Training through ``TRMModule`` takes the steps of the official code: losses, halting, refills, weights."""

from collections.abc import Iterator
from typing import Any

import official
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from official import SCALARS, WEIGHTS, Pair
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import DataLoader
from training import quiet_trainer

from trm.batch import Batch
from trm.callbacks.ema import StepEMA
from trm.module import TRMModule


class Recorder(Callback):
    """Keeps what every supervision step left behind."""

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self.halts: list[Tensor] = []
        self.slots: list[Any] = []
        self.weights: list[dict[str, Tensor]] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        step = pl_module.supervision_step

        def recorded(fresh: Batch) -> None:
            update = pl_module.train_metrics.update

            def keep(predictions: Tensor, labels: Tensor, halt: Tensor, *rest: Tensor) -> None:
                self.halts.append(halt)
                self.losses.append(torch.stack(rest[-2:]).sum(-1))
                update(predictions, labels, halt, *rest)

            pl_module.train_metrics.update = keep
            step(fresh)
            pl_module.train_metrics.update = update
            self.slots.append(pl_module.slots)
            self.weights.append({key: value.clone() for key, value in pl_module.core.state_dict().items()})

        pl_module.supervision_step = recorded


def training_steps(name: str, steps_per_batch: int) -> Iterator[Pair]:
    config = official.config(name)
    optim = config["optim"]
    module = TRMModule(
        **official.hyper_parameters(config["model"]),
        supervision_steps=config["model"]["halt_max_steps"],
        explore=0.0,
        lr=optim["lr"],
        weight_decay=optim["weight_decay"],
        puzzle_lr=optim["puzzle_emb_lr"],
        puzzle_weight_decay=optim["puzzle_emb_weight_decay"],
        warmup_steps=0,
    )
    module.core.load_state_dict(official.weights(name))
    chunks = [official.batch(name, number) for number in (1, 2, 3)]
    batches = [
        Batch(*map(torch.stack, zip(*chunks[first : first + steps_per_batch], strict=True)))
        for first in range(0, 3, steps_per_batch)
    ]
    recorder, ema = Recorder(), StepEMA(decay=optim["ema_mu"])
    trainer = quiet_trainer(max_steps=3, max_epochs=1, callbacks=[recorder, ema])
    trainer.fit(module, DataLoader(batches, batch_size=None))

    assert trainer.global_step == 3
    stored = load_file(official.GOLDEN / name / "train_losses.safetensors")
    for t in (1, 2, 3):
        slots, (answer, halting) = recorder.slots[t - 1], recorder.losses[t - 1]
        step = {key.removeprefix(f"step{t}."): value for key, value in stored.items() if key.startswith(f"step{t}.")}
        yield Pair("losses", answer, step["metric.lm_loss"], **SCALARS)
        yield Pair("losses", halting.float(), step["metric.q_halt_loss"], **SCALARS)
        yield Pair("halting logits", recorder.halts[t - 1], step["q_halt_logits"], **SCALARS)
        yield Pair("halting decisions", slots.halted, step["halted"])
        yield Pair("steps of each slot", slots.steps.int(), step["steps"])
        yield Pair("slots' inputs", slots.batch.inputs, step["used_inputs"])
        yield Pair("slots' puzzles", slots.batch.puzzle_ids, step["used_puzzle_identifiers"])
    params = load_file(official.GOLDEN / name / "train_params.safetensors")
    for t in (1, 3):
        table = params.pop(f"after{t}.model.inner.puzzle_emb.weights", None)
        if table is not None:
            yield Pair(
                f"puzzle embedding after step {t}",
                recorder.weights[t - 1]["puzzle_embedding.weights"],
                table,
                **WEIGHTS,
            )
        weights = recorder.weights[t - 1]
        yield from official.stored_pairs(f"weights after step {t}", params, f"after{t}.", weights, **WEIGHTS)
    averaged = module.core.state_dict()  # StepEMA leaves the average in the model
    yield from official.stored_pairs("moving average after step 3", params, "ema_after3.", averaged, **WEIGHTS)


def moving_average() -> Iterator[Pair]:
    golden = load_file(official.GOLDEN / "optim" / "optim.safetensors")
    values = [golden[f"ema_p{i}"] for i in (1, 2, 3)]

    class Follows(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.p = torch.nn.Parameter(golden["ema_p0"].clone())

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.0)

        def training_step(self, batch: Tensor, batch_idx: int) -> None:
            for value in batch:  # several optimizer steps in one batch
                self.p.data.copy_(value)
                self.optimizers().step()

    module = Follows()
    trainer = quiet_trainer(max_epochs=1, callbacks=[StepEMA(decay=0.999)])
    trainer.fit(module, DataLoader(torch.stack(values)[None], batch_size=None))
    yield Pair("moving average", module.p, golden["ema_s3"], atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("steps_per_batch", [1, 3])
@pytest.mark.parametrize("name", official.MODELS)
def test_training_steps_match_official(name: str, steps_per_batch: int) -> None:
    official.assert_match(training_steps(name, steps_per_batch))


def test_moving_average_matches_official() -> None:
    official.assert_match(moving_average())
