"""``TRMModule``: the network in Lightning, trained by deep supervision with several optimizer steps per batch."""

import math
from collections.abc import Iterable
from typing import Any, Literal, cast, get_args

import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from lightning_utilities.core.rank_zero import rank_zero_info
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics import Metric

import trm
from trm.batch import Batch, as_batch
from trm.choices import EarlyExit
from trm.classes import RecordsArguments, class_path, defaults_of
from trm.data import PuzzleData
from trm.errors import DivergedError, InputError, check_choice, check_range
from trm.inference import Answers, HaltingRule, Prediction, halting_rule, think
from trm.inference.halting import head, obeys
from trm.inference.think import check_questions
from trm.nn import (
    TRM,
    Losses,
    State,
    StepOutput,
    answer_loss,
    build_network,
    continue_loss,
    halting_loss,
    network_name,
)
from trm.nn.losses import CELL_LOSSES, HALTING_WEIGHT
from trm.training.calibration import HaltingCalibration
from trm.training.compatibility import (
    refuse_other_module,
    refuse_other_network,
    refuse_other_puzzles,
    report_differences,
)
from trm.training.compilation import compile_in_place
from trm.training.metrics import PuzzleMetrics
from trm.training.optim import AdamATan2, MuonATan2, warmup_cosine
from trm.training.precision import check_precision
from trm.training.slots import Slots, add_noise, explore_halting, step_weights
from trm.training.trainer import adapt_trainer, check_trainer

AS_IN_TRAINING = head()
"""Early exit at a halting probability of 0.5, by which slots halt in training."""


class TRMModule(RecordsArguments, LightningModule):
    """A Tiny Recursive Model and how it is trained. The defaults are those of the official ARC recipe.

    A batch holds K chunks of B puzzles. Each chunk is offered to the slots that have halted; then all slots take one
    supervision step, followed by one optimizer step. So ``trainer.global_step`` counts supervision steps, and all
    else that progresses (data position, learning rate, exploration) is a function of it.

    Two things can be replaced without touching this package: the network, by ``network``, and the loss of the answer,
    by a subclass that overrides ``answer_loss``. ``hparams`` holds all arguments, those of the network among them;
    ``init_args`` those that the very class was given.

    Args:
        vocab_size: number of tokens, from the data.
        seq_len: number of grid cells, from the data.
        num_puzzles: puzzle ids, from the data.
        network: trm, the Tiny Recursive Model, or what it is compared with: single_z, multi_scale, two_networks, hrm,
            direct (see ``trm/nn/variants.py``); or a subclass of ``trm.nn.TRM`` of your own, such as my_nets.Gated.
        network_args: arguments of a network of your own beyond those of ``TRM``.
        loss: what turns logits into probabilities in the loss of the answer.
        supervision_steps: most supervision steps per puzzle (N_sup).
        explore: probability that a slot must think for a random number of steps before it may halt.
        explore_seed: seed of that exploration, and of noise in training.
        optimizer: AdamATan2, or Muon for the matrices of the blocks and AdamATan2 for the rest.
        lr: learning rate of the optimizer.
        weight_decay: weight decay of the optimizer.
        puzzle_lr: learning rate of the puzzle embedding.
        puzzle_weight_decay: weight decay of the puzzle embedding.
        warmup_steps: steps over which both learning rates rise linearly.
        min_lr_ratio: share of the learning rate that a cosine leaves at ``max_steps``; 1 keeps it constant.
        gradient_clip_val: greatest norm of the gradients of all parameters before an optimizer step; larger ones are
            scaled down to it. None for no clipping, as in the official code.
        check_finite: how often to look for parameters that are no longer finite numbers, which ends the run: after
            every batch, or before every step, which costs a GPU a synchronisation but saves the state that leads there.
        compile: compile the network with ``torch.compile``, where there is a compiler.
        halt: early-exit rule in evaluation: never (as the official code), head (halting probability above a threshold),
            stable (answer unchanged by a step) or rules (answer is valid). auto is never in validate and test, and
            head in predict.
        halt_threshold: halting probability above which the rule head exits; 0.5 as in training.
        step_decay: factor on the loss of each further supervision step about a puzzle (CGAR, arXiv 2511.08653: 0.7).
        start_noise: standard deviation of what is added, in training, to the state that a puzzle starts from (EqR,
            arXiv 2605.21488: random initial states).
        noise: that of what is added, in training, to the latent before every supervision step (EqR: path noise).
        architecture: arguments of ``trm.nn.TRM``.
    """

    predict_logits = False
    """Whether ``predict_step`` returns logits too; (B, L, V) of every batch soon fill the memory."""

    def __init__(
        self,
        vocab_size: int,
        seq_len: int,
        num_puzzles: int = 0,
        network: str | type[TRM] = "trm",
        network_args: dict[str, Any] | None = None,
        loss: Literal["stablemax", "softmax"] = "stablemax",
        supervision_steps: int = 16,
        explore: float = 0.1,
        explore_seed: int = 0,
        optimizer: Literal["adam_atan2", "muon"] = "adam_atan2",
        lr: float = 1e-4,
        weight_decay: float = 0.1,
        puzzle_lr: float = 1e-2,
        puzzle_weight_decay: float = 0.1,
        warmup_steps: int = 2000,
        min_lr_ratio: float = 1.0,
        gradient_clip_val: float | None = None,
        check_finite: Literal["batch", "step", "never"] = "batch",
        compile: bool = False,
        halt: EarlyExit = "auto",
        halt_threshold: float = 0.5,
        step_decay: float = 1.0,
        start_noise: float = 0.0,
        noise: float = 0.0,
        **architecture: Any,
    ) -> None:
        settings = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        settings |= defaults_of(TRM) | settings.pop("architecture") | {"num_puzzles": num_puzzles}
        super().__init__()
        check_range("model", 1, supervision_steps=supervision_steps)
        check_range("model", 0, 1, explore=explore, min_lr_ratio=min_lr_ratio)
        check_range("model", 0, lr=lr, weight_decay=weight_decay, puzzle_lr=puzzle_lr, warmup_steps=warmup_steps)
        check_range("model", 0, puzzle_weight_decay=puzzle_weight_decay, noise=noise, start_noise=start_noise)
        check_range("model", 0, 1, step_decay=step_decay)
        check_choice("model", ("adam_atan2", "muon"), optimizer=optimizer)
        check_range("model", 0, 2**32 - 1, explore_seed=explore_seed)
        check_choice("model", CELL_LOSSES, loss=loss)
        check_choice("model", get_args(EarlyExit), halt=halt)
        check_range("model", 0, gradient_clip_val=gradient_clip_val or 0)
        head(halt_threshold)  # refuses nonsense
        self.automatic_optimization = False
        self.core = build_network(
            network,
            network_args or {},
            vocab_size=vocab_size,
            seq_len=seq_len,
            num_puzzles=num_puzzles,
            **architecture,
        )
        settings |= {"network": network_name(type(self.core)), "network_args": network_args or {}}
        self.save_hyperparameters(self.init_args | settings)
        if not compile:  # a summary that calls the network with one puzzle would have it compiled for one
            self.example_input_array = torch.ones(1, seq_len, dtype=torch.int32)
        self.train_metrics, self.val_metrics, self.test_metrics = PuzzleMetrics(), PuzzleMetrics(), PuzzleMetrics()
        self.calibration = HaltingCalibration()  # of the split that is evaluated
        self.scorer: Metric | None = None  # the family's own, for the split that a stage evaluates
        self.slots: Slots | None = None
        self.stopping = False  # asks the loops to end after the step at hand
        self.seed: int | None = (
            None  # of the initial parameters, set by whoever has seeded right before they were drawn
        )
        self.taken_steps: int | None = None  # optimizer steps behind the parameters, if not those of this trainer
        self.started_from: dict[str, Any] = {}  # what trm.checkpoints.finetune knows of weights that were not random
        self._saved_slots: list[dict[str, Tensor]] = []
        # The table is the same on all ranks by its own update: DDP need not send it at every step.
        self._ddp_params_and_buffers_to_ignore = ["core.puzzle_embedding.weights"]

    def forward(self, inputs: Tensor, puzzle_ids: Tensor | None = None) -> Tensor:
        """Return the answer's logits after all supervision steps, without gradient.

        Args:
            inputs: tokens of the questions, (B, L) integers.
            puzzle_ids: puzzle ids, (B,); zeros by default.

        Returns:
            Logits, (B, L, V).
        """
        if puzzle_ids is None:
            puzzle_ids = inputs.new_zeros(inputs.shape[0])
        return think(self.core, inputs, puzzle_ids, self.hparams["supervision_steps"]).logits

    def answer_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each answer; a loss of one's own overrides this.

        Args:
            logits: answer logits, (B, L, V).
            labels: tokens of the answers, ``trm.batch.IGNORE`` where there is none, (B, L).

        Returns:
            One value per row, (B,); zero for a row without labels.
        """
        return answer_loss(logits, labels, self.hparams["loss"])

    def _losses(self, logits: Tensor, halt: Tensor, labels: Tensor) -> Losses:
        return Losses(self.answer_loss(logits, labels), halting_loss(halt, logits, labels))

    # -- training -----------------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer and its schedule; the puzzle embedding follows the same schedule by itself."""
        optimizer = self._optimizer(self.hparams["lr"], self.hparams["weight_decay"])
        total = self.total_steps() if self.hparams["min_lr_ratio"] < 1 else 0
        if total is None:
            raise InputError(
                f"model.min_lr_ratio is {self.hparams['min_lr_ratio']}, which the end of the run reaches, but it has "
                "none: pass trainer.max_steps or trainer.max_epochs"
            )
        self.schedule = warmup_cosine(self.hparams["warmup_steps"], total, self.hparams["min_lr_ratio"])
        scheduler = LambdaLR(optimizer, self.schedule)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def total_steps(self) -> int | None:
        """Return the number of optimizer steps after which the run ends by itself; None if it does not.

        That is ``trainer.max_steps`` or the steps of ``trainer.max_epochs``, whichever comes first: an epoch's batches,
        each of as many steps as the data module says, or of one with plain data loaders.
        """
        trainer, data = self.trainer, self._data()
        ends = [float(trainer.max_steps)] if trainer.max_steps >= 0 else []
        if trainer.max_epochs is not None and trainer.max_epochs >= 0:
            _ = trainer.estimated_stepping_batches  # has the data read, which alone tell how long an epoch is
            ends.append(trainer.max_epochs * trainer.num_training_batches * (data.steps_per_batch if data else 1))
        last = min(ends, default=math.inf)
        return None if math.isinf(last) else int(last)

    def _optimizer(self, lr: float, weight_decay: float) -> AdamATan2:
        if self.hparams["optimizer"] == "adam_atan2":
            return AdamATan2(self.core.parameters(), lr=lr, weight_decay=weight_decay)
        named = dict(self.core.named_parameters())
        matrices = {name: weight for name, weight in named.items() if "blocks." in name and weight.dim() == 2}
        others = [weight for name, weight in named.items() if name not in matrices]
        return MuonATan2(matrices.values(), others, lr, weight_decay)

    def configure_callbacks(self) -> list[Callback]:
        """Return what the trainer needs; this hook is the first of all, so a refusal here leaves nothing behind."""
        check_trainer(self)
        check_precision(self.trainer)
        self._halting("never")
        return adapt_trainer(self.trainer)

    def setup(self, stage: str) -> None:
        """Get the family's scorer, and compile the network in place, so that the keys of its state stay as they are."""
        data, split = self._data(), {"fit": "val", "validate": "val", "test": "test"}.get(stage)
        self.scorer = data.scorer(split) if data and split else None
        if self.trainer.precision == "64-true":
            self.double()  # Lightning would do it only after it has read a checkpoint, and round what is read
        if self.hparams["compile"]:
            compile_in_place(self.core, self.trainer.strategy.root_device)

    def on_train_start(self) -> None:
        """Tell from which step and parameters training starts."""
        if self.global_step:
            from_file = f" of {self.trainer.ckpt_path}" if self.trainer.ckpt_path else ""
            rank_zero_info(f"Training goes on from step {self.global_step}{from_file}.")
        elif self.started_from:
            rank_zero_info(f"Training starts from the weights of {self.started_from['checkpoint']}.")
        else:
            rank_zero_info("Training starts at step 0.")

    def on_train_end(self) -> None:
        """Note how many steps the parameters have taken, for evaluations by other trainers."""
        self.taken_steps = self.global_step

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Take one optimizer step per chunk of the batch, (K, B, ...); after a resume, those still to be taken.

        Raises:
            InputError: if the data loader yields no such batch; see ``as_batch``.
        """
        batch = self._as_batch(batch, chunked=True)
        chunks, first = len(batch.inputs), self.global_step
        for chunk in range(first % chunks, chunks):
            if self.stopping or 0 <= self.trainer.max_steps <= self.global_step:
                break
            self.supervision_step(Batch(*(field[chunk] for field in batch)))
        if self.hparams["check_finite"] == "batch":
            self._need_finite("weights", self.core.parameters(), first, batch.puzzle_ids.shape[1])
        self._log_means("train", self.train_metrics)
        self.log("lr", self.hparams["lr"] * self.schedule(self.global_step))

    def supervision_step(self, fresh: Batch) -> None:
        """Refill the halted slots, think once, take one optimizer step, and carry the slots on."""
        slots = self._refilled(fresh)
        rows = None if self.core.puzzle_embedding is None else self.core.puzzle_embedding(slots.batch.puzzle_ids)
        output = self.core(slots.state, slots.batch.inputs, rows)
        losses = self._losses(output.logits, output.halt, slots.batch.labels)
        decay = self.hparams["step_decay"]
        total = losses.total(step_weights(slots.steps, decay, self.hparams["supervision_steps"]) if decay < 1 else None)
        if self.hparams["continue_loss"]:
            total = total + HALTING_WEIGHT * self._continue_loss(slots, output, rows)
        optimizer = cast(LightningOptimizer, self.optimizers())
        scheduler = cast(LambdaLR, self.lr_schedulers())
        self.manual_backward(total)  # averaged over ranks by DDP: the mean over all their slots
        if self.hparams["check_finite"] == "step":
            gradients = [p.grad for p in self.core.parameters()]
            self._need_finite("gradients", gradients, self.global_step, len(slots.halted))
        if self.core.puzzle_embedding is not None:
            lr = self.hparams["puzzle_lr"] * self.schedule(self.global_step)
            self.core.puzzle_embedding.update(lr, self.hparams["puzzle_weight_decay"])
        if clip := self.hparams["gradient_clip_val"]:
            self.clip_gradients(optimizer.optimizer, gradient_clip_val=clip, gradient_clip_algorithm="norm")
        least = self._least_steps(len(slots.halted))
        optimizer.step()  # the one step that global_step counts
        optimizer.zero_grad()
        scheduler.step()
        self.slots = slots.advance(output, self.hparams["supervision_steps"], least)
        self.train_metrics.update(
            output.logits.argmax(-1),
            slots.batch.labels,
            output.halt.detach(),
            self.slots.steps,
            self.slots.halted,
            *(loss.detach() for loss in losses),
        )

    def _need_finite(self, what: str, tensors: Iterable[Tensor | None], first: int, slots: int) -> None:
        """Raise a ``DivergedError`` unless all numbers are finite; if they are not, they are not on any rank."""
        norms = torch._foreach_norm([tensor for tensor in tensors if tensor is not None], ord=float("inf"))
        if bool(torch.stack(norms).isfinite().all()):
            return
        last, before = max(first, self.global_step - 1), what == "gradients"
        offered = slots * self.trainer.world_size
        raise DivergedError(
            f"the {what} are no longer finite numbers in supervision steps {first} to {last}, which were offered the "
            f"draws {first * offered} to {(last + 1) * offered - 1}"
            + (
                "" if before else "; continue from the last checkpoint with --model.check_finite step to find out where"
            ),
            before,
        )

    def _refilled(self, fresh: Batch) -> Slots:
        start, latent = self.hparams["start_noise"], self.hparams["noise"]
        state = self.core.start(len(fresh.inputs))
        generator = self._generator(noise=True) if start or latent else None  # none in a plain run's steps
        if generator and start:
            state = State(*(add_noise(part, start, generator) for part in state))
        if self.slots is not None and len(self.slots.halted) != len(fresh.puzzle_ids):
            rank_zero_info(
                f"The batch has {len(fresh.puzzle_ids)} puzzles a step, the slots are {len(self.slots.halted)}: "
                "all slots take fresh puzzles."
            )
            self.slots = None
        slots = Slots.fill(fresh, state) if self.slots is None else self.slots.refill(fresh, state)
        if generator and latent:
            slots.state = State(slots.state.y, add_noise(slots.state.z, latent, generator))
        return slots

    def _continue_loss(self, slots: Slots, output: StepOutput, rows: Tensor | None) -> Tensor:
        """Look one supervision step ahead, also where slots halt now; return the mean loss of going on."""
        with torch.no_grad():
            later = self.core(output.state, slots.batch.inputs, rows)
        last = slots.steps + 1 >= self.hparams["supervision_steps"]
        loss = continue_loss(output.proceed, later.halt, later.proceed, last).mean()
        self.log("train/continue_loss", loss.detach())
        return loss

    def _least_steps(self, count: int) -> Tensor:
        """Draw this rank's share of the exploration, which is the same for all its slots on any number of ranks."""
        generator = self._generator()
        world, rank = self.trainer.world_size, self.global_rank
        everyone = explore_halting(count * world, self.hparams["explore"], self.hparams["supervision_steps"], generator)
        return everyone[rank * count : (rank + 1) * count]

    def _generator(self, noise: bool = False) -> torch.Generator:
        """Return a generator for this step, from which a resumed run draws the same; for noise, each rank its own."""
        stream = 1 + self.global_rank if noise else 0
        seed = self.hparams["explore_seed"] * 1_000_003 + self.global_step + (stream << 53)
        return torch.Generator(device=self.device).manual_seed(seed)

    # -- evaluation ---------------------------------------------------------------------------------------------------

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Think for all supervision steps, or as ``halt`` says, and count what the last one answers."""
        if not self.stopping:
            self._evaluate(self.val_metrics, batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Think for all supervision steps, or as ``halt`` says, and count what the last one answers."""
        self._evaluate(self.test_metrics, batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> Prediction:
        """Think about each puzzle until its halting head says so, or as ``halt`` says.

        Returns:
            Tokens, halting logits and steps; the answer's logits too where ``predict_logits`` is true.
        """
        batch = self._as_batch(batch)
        answers = self.solve(batch.inputs, batch.puzzle_ids, self._halting("head"))
        tokens = answers.tokens.to(batch.inputs.dtype)
        return Prediction(tokens, answers.halt, answers.steps, answers.logits if self.predict_logits else None)

    def solve(self, inputs: Tensor, puzzles: Tensor, halting: HaltingRule | None = AS_IN_TRAINING) -> Answers:
        """Solve puzzles with at most ``supervision_steps`` steps each; see ``trm.inference.think``.

        Raises:
            InputError: if a question has another length than those of training, or tokens outside the vocabulary.
        """
        check_questions(inputs, self.hparams["seq_len"], self.hparams["vocab_size"])
        return think(self.core, inputs, puzzles, self.hparams["supervision_steps"], halting)

    def _halting(self, auto: EarlyExit) -> HaltingRule | None:
        """Return the configured early-exit rule; ``auto`` is the rule that the name auto stands for in this stage."""
        return halting_rule(self.hparams["halt"], self.hparams["halt_threshold"], self._data(), auto)

    def _as_batch(self, given: Any, chunked: bool = False) -> Batch:
        return as_batch(given, self.hparams["seq_len"], self.hparams["vocab_size"], chunked)

    def _data(self) -> PuzzleData | None:
        data = getattr(self._trainer, "datamodule", None)
        return data if isinstance(data, PuzzleData) else None

    def on_validation_epoch_end(self) -> None:
        """Log the means over the validation split, unless it was cut short."""
        if not self.stopping:
            self._log_means("val", self.val_metrics, self.calibration, self.scorer)

    def on_test_epoch_end(self) -> None:
        """Log the means over the test split."""
        self._log_means("test", self.test_metrics, self.calibration, self.scorer)

    def _evaluate(self, metrics: PuzzleMetrics, batch: Batch) -> None:
        batch = self._as_batch(batch)
        answers = self.solve(batch.inputs, batch.puzzle_ids, self._halting("never"))
        losses = self._losses(answers.logits, answers.halt, batch.labels)
        everyone = torch.ones_like(answers.halt, dtype=torch.bool)
        data = self._data()
        valid = obeys(data, batch.inputs, answers.tokens) if data else None
        metrics.update(answers.tokens, batch.labels, answers.halt, answers.steps, everyone, *losses, valid=valid)
        self.calibration.update(answers.halt, answers.tokens, batch.labels)
        if self.scorer is not None:
            self.scorer.update(answers.tokens, answers.halt, batch)

    def _log_means(self, split: str, *metrics: Metric | None) -> None:
        """Log means against optimizer steps; the progress bar shows solved and the loss of the answer."""
        synced = split != "train" and self.trainer.world_size > 1  # all ranks have the same means, but Lightning asks
        for metric in filter(None, metrics):
            for name, value in metric.compute().items():
                self.log(f"{split}/{name}", value, prog_bar=name in ("solved", "answer_loss"), sync_dist=synced)
            metric.reset()
        if self.trainer.state.fn == "fit":
            self.log("step", float(self.global_step), sync_dist=synced)  # the x axis of the loggers
        else:  # an evaluation's results shall not contain it, so the axis is set where Lightning looks for a default
            steps = self.global_step if self.taken_steps is None else self.taken_steps
            loop = self.trainer.fit_loop.epoch_loop
            self._batches, loop._batches_that_stepped = loop._batches_that_stepped, steps

    def on_test_end(self) -> None:
        """Give the trainer its count of batches back."""
        self.trainer.fit_loop.epoch_loop._batches_that_stepped = self._batches

    def on_validation_end(self) -> None:
        """Likewise, after a validation outside of training."""
        if self.trainer.state.fn != "fit":
            self.on_test_end()

    # -- checkpoints --------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the family of puzzles, the latest metrics and the slots of all ranks.

        After a crash under DDP the ranks are not in step, so nothing can be gathered; the slots then start afresh.
        """
        checkpoint["trm_version"] = trm.__version__
        if type(self) is not TRMModule:
            checkpoint["module"] = {"class_path": class_path(type(self)), "init_args": self.init_args}
        checkpoint["metrics"] = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        if data := self._data():
            checkpoint["family"] = data.family
            checkpoint["training_puzzles"] = data.training_puzzles
            if data.table_hash:
                checkpoint["table_hash"] = data.table_hash
        if "optimizer_states" not in checkpoint:
            self._save_average(checkpoint)
        if self.seed is not None:
            checkpoint["seed"] = self.seed
        if self.started_from:
            checkpoint["started_from"] = self.started_from
        if self.slots is not None and not (self.trainer.interrupted and self.trainer.world_size > 1):
            mine = self.slots.state_dict()
            everyone = [mine] * self.trainer.world_size
            if self.trainer.world_size > 1:
                dist.all_gather_object(everyone, mine)
            checkpoint["slots"] = everyone

    def _save_average(self, checkpoint: dict[str, Any]) -> None:
        """Put the average into a file of parameters alone, for which Lightning does not ask the callbacks."""
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, WeightAveraging):
                callback.on_save_checkpoint(self.trainer, self, checkpoint)
                checkpoint["averaged"] = checkpoint.pop("current_model_state", None) is not None
                checkpoint.pop("averaging_state", None)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse weights of another network, family or origin, and keep the slots until training starts.

        Raises:
            InputError: if the checkpoint does not fit.
        """
        refuse_other_module(self, checkpoint, TRMModule)
        refuse_other_network(self, checkpoint.get("hyper_parameters", {}))
        report_differences(self, checkpoint.get("hyper_parameters", {}))
        if data := self._data():
            refuse_other_puzzles(data, checkpoint)
        started_from = checkpoint.get("started_from", {})
        if self.started_from and self.started_from["weights"] != started_from.get("weights"):
            theirs, ours = (
                f"{start['checkpoint']} (weights {start['weights']})" if start else "random weights"
                for start in (started_from, self.started_from)
            )
            raise InputError(
                f"the run to go on with started from {theirs}, not from {ours}: choose another folder, or leave "
                "--weights out"
            )
        self.started_from, self.seed = started_from, checkpoint.get("seed")
        self.taken_steps = checkpoint.get("global_step")
        if "current_model_state" in checkpoint and self._trains_without_average():
            rank_zero_info(
                "The checkpoint contains an average of the parameters, but this run has no StepEMA: training goes on "
                "from the live parameters, and the average ends here."
            )
            checkpoint["state_dict"] = checkpoint["current_model_state"]
        self._saved_slots = checkpoint.get("slots", [])

    def _trains_without_average(self) -> bool:
        """Return whether this is a run of training that no callback averages the parameters of."""
        trainer = self._trainer
        if trainer is None or trainer.state.fn != "fit":
            return False
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        return not any(isinstance(callback, WeightAveraging) for callback in callbacks)

    def on_fit_start(self) -> None:
        """Begin with the slots of the checkpoint, or with empty ones."""
        self.stopping, self.taken_steps = False, None
        saved, self._saved_slots, self.slots = self._saved_slots, [], None
        if not saved:
            return
        together = {name: torch.cat([of_rank[name] for of_rank in saved]) for name in saved[0]}  # as of one device
        held, data, world = len(together["steps"]), self._data(), self.trainer.world_size
        wanted = data.slots if data else held
        if held == wanted and held % world == 0:
            share = slice(self.global_rank * held // world, (self.global_rank + 1) * held // world)
            mine = {name: tensor[share] for name, tensor in together.items()}
            self.slots = Slots.from_state_dict(mine, self.device)
        else:
            rank_zero_info(f"The checkpoint holds {held} slots, this run has {wanted}: all slots take fresh puzzles.")
