"""``SupervisedModule``, the base of ``TRMModule``: deep supervision, with several optimizer steps per batch.

Shapes: K chunks of a batch, B puzzles or slots, L grid cells, V vocabulary.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from lightning_utilities.core.rank_zero import rank_zero_info
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from trm.batch import Batch
from trm.errors import InputError, counted
from trm.nn import TRM, State, StepOutput, continue_loss
from trm.nn.losses import HALTING_WEIGHT
from trm.training.evaluation import EvaluatedModule
from trm.training.latents import Winners, start_all
from trm.training.optim import build_optimizer, warmup_cosine
from trm.training.precision import check_finite
from trm.training.slots import Slots, add_noise, explore_halting, step_weights
from trm.training.trainer import loops_inside_batch


class BegunBatch(NamedTuple):
    """What a run needs to finish a training batch that has been begun."""

    loops: dict[str, Any]
    """State of Lightning's loops inside the batch."""
    sums: Tensor
    """Sums of the training metrics of the steps taken in it, on this rank."""


class SupervisedModule(EvaluatedModule):
    """A network in Lightning with its steps of training by deep supervision, and the slots that they advance.

    ``hparams``, which the subclass sets, must contain the arguments of ``TRMModule``.

    Args:
        core: the network.
    """

    schedule: Callable[[int], float]
    """Factor on the learning rates at each step; set with the optimizer."""

    def __init__(self, core: TRM) -> None:
        super().__init__(core)
        self.automatic_optimization = False
        self.slots: Slots | None = None
        self.chunks = 1  # optimizer steps per training batch, K
        self._begun: BegunBatch | None = None

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer and its learning-rate schedule, which the puzzle embedding also follows.

        Raises:
            InputError: if the schedule ends with the run, but the run has no end.
        """
        hparams = self.hparams
        choice = {name: hparams[name] for name in ("lr", "weight_decay", "muon_lr", "muon_weight_decay")}
        optimizer = build_optimizer(hparams["optimizer"], self.core, **choice)
        total = self.total_steps() if self.hparams["min_lr_ratio"] < 1 else 0
        if total is None:
            raise InputError(
                f"model.min_lr_ratio is {self.hparams['min_lr_ratio']}, to be reached at the end of the run, but "
                "the run has no end: pass trainer.max_steps or trainer.max_epochs"
            )
        self.schedule = warmup_cosine(self.hparams["warmup_steps"], total, self.hparams["min_lr_ratio"])
        scheduler = LambdaLR(optimizer, self.schedule)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def total_steps(self) -> int | None:
        """Return the number of optimizer steps of the run; None if it has no end.

        This is the smaller of ``trainer.max_steps`` and the steps of ``trainer.max_epochs``. A batch has
        ``steps_per_batch`` steps of the data module, or one step with plain data loaders.
        """
        trainer, data = self.trainer, self._data()
        ends = [float(trainer.max_steps)] if trainer.max_steps >= 0 else []
        if trainer.max_epochs is not None and trainer.max_epochs >= 0:
            _ = trainer.estimated_stepping_batches  # loads the data, which determines the length of an epoch
            ends.append(trainer.max_epochs * trainer.num_training_batches * (data.steps_per_batch if data else 1))
        last = min(ends, default=math.inf)
        return None if math.isinf(last) else int(last)

    def on_fit_start(self) -> None:
        """Forget the batch and the metrics of an earlier run."""
        self.stop_requested, self._begun = False, None
        self.train_metrics.reset()

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Take one optimizer step per chunk of the batch, (K, B, ...); after a resume, only the remaining ones.

        Raises:
            InputError: if the batch is malformed; see ``as_batch``.
            DivergedError: if parameters or gradients are no longer finite numbers; see ``check_finite``.
        """
        batch = self._as_batch(batch, chunked=True)
        chunks, first = len(batch.inputs), self.global_step
        self.chunks, self._begun = chunks, None
        for chunk in range(first % chunks, chunks):
            if self.stop_requested or 0 <= self.trainer.max_steps <= self.global_step:
                self._begun = BegunBatch(loops_inside_batch(self.trainer), self.train_metrics.sums)
                break
            self.supervision_step(Batch(*(field[chunk] for field in batch)))
        if self.hparams["check_finite"] == "batch":
            steps = range(first, max(first + 1, self.global_step))
            check_finite(
                "parameters", self.core.parameters(), steps, batch.puzzle_ids.shape[1] * self.trainer.world_size
            )
        if self.stop_requested and self._begun:
            return  # the run that resumes logs the batch
        self._log_means("train", self.train_metrics)
        self.log("lr", self.hparams["lr"] * self.schedule(self.global_step))

    def begun_batch(self) -> BegunBatch | None:
        """Return what a run needs to finish the batch that training is inside of; None after its last step."""
        if self._begun is None and self.global_step % self.chunks:  # an exception inside a batch
            return BegunBatch(loops_inside_batch(self.trainer), self.train_metrics.sums)
        return self._begun

    def supervision_step(self, fresh: Batch) -> None:
        """Refill the halted slots, take one supervision step and one optimizer step, and update the slots.

        Args:
            fresh: puzzles offered to the slots, (B, ...).
        """
        slots = self._refilled(fresh)
        embedding = self.core.puzzle_embedding
        vectors = None if embedding is None else embedding(slots.batch.puzzle_ids)
        if self.hparams["pass_noise"]:
            torch.manual_seed(self._generator(noise=True).initial_seed())  # a resumed run goes on with the same noise
        several = self.core.latents > 1
        winners = Winners(self.core, slots.state, slots.batch, vectors, self._nearest_loss) if several else None
        output = self.core(winners.state if winners else slots.state, slots.batch.inputs, vectors)
        labels = self.nearest_labels(output.logits, slots.batch.labels)
        losses = self._losses(output.logits, output.halt, labels)
        decay = self.hparams["step_decay"]
        total = losses.total(step_weights(slots.steps, decay, self.hparams["supervision_steps"]) if decay < 1 else None)
        if self.hparams["continue_loss"]:
            total = total + HALTING_WEIGHT * self._continue_loss(slots, output, vectors)
        optimizer = cast(LightningOptimizer, self.optimizers())
        scheduler = cast(LambdaLR, self.lr_schedulers())
        self.manual_backward(total)  # DDP averages the gradients over ranks: the mean over all slots
        if self.hparams["check_finite"] == "step":
            gradients = [p.grad for p in self.core.parameters()]
            steps = range(self.global_step, self.global_step + 1)
            check_finite("gradients", gradients, steps, len(slots.halted) * self.trainer.world_size)
        if embedding is not None:
            lr = self.hparams["puzzle_lr"] * self.schedule(self.global_step)
            embedding.update(lr, self.hparams["puzzle_weight_decay"])
        if clip := self.hparams["gradient_clip_val"]:
            self.clip_gradients(optimizer.optimizer, gradient_clip_val=clip, gradient_clip_algorithm="norm")
        least = self._least_steps(len(slots.halted))
        optimizer.step()  # the step that global_step counts
        optimizer.zero_grad()
        scheduler.step()
        self.slots = slots.advance(
            winners.keep(output) if winners else output, self.hparams["supervision_steps"], least
        )
        self.train_metrics.update(
            output.logits.argmax(-1),
            labels,
            output.halt.detach(),
            self.slots.steps,
            self.slots.halted,
            *(loss.detach() for loss in losses),
        )

    def _nearest_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each answer, (B,), against the nearest of its labels; see ``nearest_labels``."""
        return self.answer_loss(logits, self.nearest_labels(logits, labels))

    def _refilled(self, fresh: Batch) -> Slots:
        """Return the slots of this step, with the noise of training added to their states."""
        start, latent = self.hparams["start_noise"], self.hparams["step_noise"]
        state = start_all(self.core, len(fresh.inputs))
        generator = self._generator(noise=True) if start or latent else None  # a run without noise skips it
        if generator and start:
            state = State(*(add_noise(part, start, generator) for part in state))
        if self.slots is not None and len(self.slots.halted) != len(fresh.puzzle_ids):
            rank_zero_info(
                f"The batch has {counted(len(fresh.puzzle_ids), 'puzzle')} per step, but there are "
                f"{counted(len(self.slots.halted), 'slot')}: all slots take fresh puzzles."
            )
            self.slots = None
        slots = Slots.fill(fresh, state) if self.slots is None else self.slots.refill(fresh, state)
        if generator and latent:
            slots.state = State(slots.state.y, add_noise(slots.state.z, latent, generator))
        return slots

    def _continue_loss(self, slots: Slots, output: StepOutput, vectors: Tensor | None) -> Tensor:
        """Return the mean continue loss, after one more supervision step of all slots without gradient."""
        with torch.no_grad():
            later = self.core(output.state, slots.batch.inputs, vectors)
        last = slots.steps + 1 >= self.hparams["supervision_steps"]
        loss = continue_loss(output.proceed, later.halt, later.proceed, last).mean()
        self.log("train/continue_loss", loss.detach())
        return loss

    def _least_steps(self, count: int) -> Tensor:
        """Return this rank's share of the exploration, (count,); all shares together do not depend on the ranks."""
        generator = self._generator()
        world, rank = self.trainer.world_size, self.global_rank
        least = explore_halting(count * world, self.hparams["explore"], self.hparams["supervision_steps"], generator)
        return least[rank * count : (rank + 1) * count]

    def _generator(self, noise: bool = False) -> torch.Generator:
        """Return the random generator of this step, a function of seed and step; for noise, also of the rank."""
        stream = 1 + self.global_rank if noise else 0
        seed = self.hparams["explore_seed"] * 1_000_003 + self.global_step + (stream << 53)
        return torch.Generator(device=self.device).manual_seed(seed)
