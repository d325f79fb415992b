"""Thirty things that a Lightning user types first, with Lightning's own defaults; each asserts what it should give.

A script, run by ``test_plain_lightning.py`` in an empty folder: no command line, no arguments that only ``trm`` needs.
"""

import warnings

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import (
    DeviceStatsMonitor,
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    ModelSummary,
    OnExceptionCheckpoint,
    RichProgressBar,
)
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, TensorDataset

import trm
from trm import Checkpoints, PuzzleData, Solver, StepEMA, Sudoku, TRMModule, load_checkpoint
from trm.errors import InputError

warnings.filterwarnings("ignore")
done = 0


def step(what: str) -> None:
    """Count a call, and say which."""
    global done
    done += 1
    print(f"{done:>2} {what}", flush=True)  # noqa: T201 - a script


def refused(words: str, call: object) -> None:
    """Run what must be refused with a sentence that has these words."""
    try:
        call()  # type: ignore[operator]
    except InputError as error:
        assert words in str(error), error
        assert "\n" not in str(error)
    else:
        raise AssertionError(f"not refused: {words}")


def boards(**arguments: object) -> PuzzleData:
    """Return a few 4x4 boards."""
    defaults = {"size": 4, "train_size": 40, "val_size": 7, "test_size": 9, "clues": (8, 8), "slots": 4, "workers": 0}
    return Sudoku(**{**defaults, "steps_per_batch": 2, **arguments})


def network(**arguments: object) -> TRMModule:
    """Return a tiny network for them."""
    size = {"hidden_size": 16, "num_heads": 2, "multiple_of": 8, "cycles": 1, "latent_steps": 1, "puzzle_tokens": 0}
    training = {"supervision_steps": 3, "warmup_steps": 3, "lr": 1e-2}
    return TRMModule(vocab_size=6, seq_len=16, **{**size, **training, **arguments})


def loss(metrics: list[dict[str, float]]) -> float:
    """Return the loss that an evaluation logged."""
    return metrics[0]["test/answer_loss"]


seed_everything(0)
data, module = boards(), network(min_lr_ratio=0.1)
trainer = Trainer(max_epochs=2, callbacks=[StepEMA(0.9), Checkpoints()])
trainer.fit(module, data)
step("two epochs are two passes over 40 boards, eight a batch")
assert (trainer.num_training_batches, trainer.global_step, trainer.current_epoch) == (5, 20, 2)

step("the cosine ends with the epochs")
assert abs(trainer.optimizers[0].param_groups[0]["lr"] - 1e-2 * 0.1) < 5e-4

step("validate, test and predict after a fit")
assert "val/solved" in trainer.validate(module, data)[0]
averaged = loss(trainer.test(module, data))
assert sum(len(part.steps) for part in trainer.predict(module, data)) >= 9

step("a prediction keeps no logits")
assert trainer.predict(module, data)[0].logits is None

last = trainer.checkpoint_callback.last_model_path
step("the same numbers by the same trainer, by a fresh one, by last, by best, and by hand")
fresh = loss(Trainer().test(network(min_lr_ratio=0.1), boards(), ckpt_path=last))
assert loss(trainer.test(module, data, ckpt_path=last)) == fresh == averaged
assert loss(trainer.test(module, data, ckpt_path="last")) == fresh
assert "test/solved" in trainer.test(module, data, ckpt_path="best")[0]
restored, found = load_checkpoint(last)
assert loss(Trainer().test(restored, found)) == fresh

step("a run goes on from a checkpoint amid an epoch, and ends where the whole run does")
whole_module, rest_module = network(), network()
kept = ModelCheckpoint("parts", filename="{step}", every_n_train_steps=12, save_top_k=-1)
Trainer(max_epochs=3, callbacks=[StepEMA(0.9), kept]).fit(whole_module, boards())
trainer = Trainer(max_epochs=3, callbacks=[StepEMA(0.9)])
trainer.fit(rest_module, boards(), ckpt_path="parts/step=12.ckpt")
assert trainer.global_step == 30
for name, tensor in whole_module.state_dict().items():
    assert torch.equal(tensor, rest_module.state_dict()[name]), name

step("another number of slots starts them afresh")
Trainer(max_steps=16).fit(network(), boards(slots=8), ckpt_path="parts/step=12.ckpt")

step("fast_dev_run takes one step")
trainer = Trainer(fast_dev_run=True)
trainer.fit(network(), boards())
assert trainer.global_step == 1

step("overfit_batches repeats one batch")
trainer = Trainer(overfit_batches=1, max_epochs=3)
trainer.fit(network(), boards())
assert trainer.global_step == 6

step("limits take shares and numbers of batches")
trainer = Trainer(max_epochs=1, limit_train_batches=0.5, limit_val_batches=1)
trainer.fit(network(), boards())
assert trainer.num_training_batches == 2

step("validation in mid-epoch, and every second epoch")
for cadence, epochs in (({"val_check_interval": 2}, 1), ({"check_val_every_n_epoch": 2}, 2)):
    trainer = Trainer(max_epochs=epochs, **cadence)
    trainer.fit(network(), boards())
    assert "val/solved" in trainer.callback_metrics

step("an epoch of a small set is one batch")
trainer = Trainer(max_epochs=2)
trainer.fit(network(), boards(slots=64, steps_per_batch=4))
assert (trainer.num_training_batches, trainer.global_step) == (1, 8)

step("Lightning's callbacks together")
kept = ModelCheckpoint(monitor="val/solved", mode="max", save_top_k=2)
callbacks = [
    StepEMA(0.9),
    kept,
    LearningRateMonitor(),
    EarlyStopping("val/answer_loss", patience=50),
    DeviceStatsMonitor(),
    ModelSummary(max_depth=2),
    OnExceptionCheckpoint("."),
    RichProgressBar(),
]
trainer = Trainer(max_epochs=3, callbacks=callbacks, logger=CSVLogger("."), log_every_n_steps=1)
trainer.fit(network(), boards())
assert kept.best_model_path

step("best by a ModelCheckpoint")
assert "test/solved" in trainer.test(ckpt_path="best", datamodule=boards())[0]

step("gradients are clipped by the module")
clipped = network(gradient_clip_val=1e-3)
Trainer(max_steps=2).fit(clipped, boards())
step("and the trainer's option names it")
refused("gradient_clip_val", lambda: Trainer(max_steps=2, gradient_clip_val=1.0).fit(network(), boards()))

step("accumulation is refused with what to use instead")
refused("slots", lambda: Trainer(max_steps=2, accumulate_grad_batches=2).fit(network(), boards()))

step("a cosine without an end is refused")
endless = Trainer(max_epochs=-1)
refused("min_lr_ratio", lambda: endless.fit(network(min_lr_ratio=0.1), boards()))

step("float16 on a CPU is refused")
refused("precision", lambda: Trainer(max_steps=1, accelerator="cpu", precision="16-true").fit(network(), boards()))

step("plain data loaders train and evaluate")
questions, answers = torch.randint(1, 6, (12, 16)), torch.randint(2, 6, (12, 16))
loader = DataLoader(TensorDataset(questions, answers), batch_size=4)
trainer = Trainer(max_epochs=2, callbacks=[Checkpoints("plain")])
trainer.fit(network(), loader, loader)
assert trainer.global_step == 6

step("and their checkpoint is read with the data given")
assert load_checkpoint("plain/last.ckpt", data=boards())[1].size == 4

step("a wrong batch is refused with what is expected")
wrong = DataLoader(TensorDataset(questions[:, :9], answers[:, :9]), batch_size=4)
refused("(B, 16)", lambda: Trainer(max_steps=1).fit(network(), wrong))
strange = DataLoader(TensorDataset(questions + 90, answers), batch_size=4)
refused("token 9", lambda: Trainer(max_steps=1).fit(network(), strange))

step("a module is called like any other")
logits = module.eval()(questions)
assert logits.shape == (12, 16, 6)

step("and exported by torch")
exported = torch.export.export(module, (questions,)).module()
torch.testing.assert_close(exported(questions), logits)

step("a solver takes a string, a list and a tensor")
solver = Solver(module, data)
board = "1...........2..."
tokens = torch.from_numpy(data.parse(board))
assert str(solver.solve(board)) == str(solver.solve([board])[0]) == str(solver.solve(tokens[None])[0])

step("three lines solve a puzzle")
solution = trm.load("sudoku-4x4").solve(".3...2.1...4....")
assert solution.verdict.valid
assert "obeys the rules" in str(solution)
assert "<" in solution._repr_html_()

step("a family without its methods says so")
try:
    PuzzleData()
except TypeError as error:
    assert "load" in str(error)

step("a module of one's own trains")


class Own(TRMModule):
    """A subclass."""


SIZE = ("hidden_size", "num_heads", "multiple_of", "cycles", "latent_steps", "puzzle_tokens")
Trainer(max_steps=2).fit(Own(6, 16, **{name: module.hparams[name] for name in SIZE}), boards())

step("a compiled module is refused with what to use instead")
refused("model.compile", lambda: Trainer(max_steps=1).fit(torch.compile(network()), boards()))

step("the public names")
assert issubclass(TRMModule, LightningModule)
assert {"TRMModule", "Solver", "load", "load_checkpoint", "Sudoku", "Maze", "ARC", "StepEMA"} <= set(dir(trm))
