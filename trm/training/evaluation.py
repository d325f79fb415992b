"""``EvaluatedModule``, the base of ``TRMModule``: a network in Lightning, its inference and its evaluation.

Shapes: B puzzles, L grid cells, V vocabulary.
"""

import math
from typing import Any, NoReturn

import torch
from lightning.pytorch import LightningModule
from lightning_utilities.core.rank_zero import rank_zero_info
from torch import Tensor
from torchmetrics import Metric

from trm.arguments import EarlyExit
from trm.batch import IGNORE, Batch, as_batch, exact_match, labelled
from trm.data import PuzzleData
from trm.data.samples import from_batch
from trm.errors import InputError
from trm.inference import Answers, HaltingRule, Prediction, halting_rule, think
from trm.inference.choice import InferenceChoice
from trm.inference.halting import head, obeys
from trm.inference.think import check_questions
from trm.nn import TRM, Losses, answer_loss, halting_loss
from trm.training.metrics import AbstentionThreshold, HaltingCalibration, PuzzleMetrics

TRAINING_RULE = head()
"""The rule by which slots halt in training: a halting probability above 0.5."""


class EvaluatedModule(LightningModule):
    """A network in Lightning with its steps of validation, test and prediction, and the metrics that they log.

    ``hparams``, which the subclass sets, must contain ``seq_len``, ``vocab_size``, ``supervision_steps``, ``loss``,
    ``halt`` and ``halt_threshold``.

    Args:
        core: the network.
    """

    predict_logits = False
    """Whether ``predict_step`` also returns logits, (B, L, V), which take much memory for a whole split."""

    def __init__(self, core: TRM) -> None:
        super().__init__()
        self.core = core
        self.train_metrics, self.val_metrics, self.test_metrics = PuzzleMetrics(), PuzzleMetrics(), PuzzleMetrics()
        self.calibration, self.abstention = HaltingCalibration(), AbstentionThreshold()
        self.abstain_below: float | None = None  # threshold of the latest validation, of this trainer or another
        self.inference_choice: InferenceChoice | None = None  # early exit and views for these parameters, by trm tune
        self.scorer: Metric | None = None  # the family's metric for the evaluated split
        self.stop_requested = False  # whether training and validation end after the current step
        self.trained_steps: int | None = None  # optimizer steps of the parameters, if trained by another trainer

    def forward(self, inputs: Tensor, puzzle_ids: Tensor | None = None) -> Tensor:
        """Return the logits of the answers after all supervision steps, without gradient.

        Args:
            inputs: tokens of the questions, (B, L) integers.
            puzzle_ids: puzzle ids, (B,); zeros by default.

        Returns:
            Logits, (B, L, V).
        """
        if puzzle_ids is None:
            puzzle_ids = inputs.new_zeros(inputs.shape[0])
        return think(self.core, inputs, puzzle_ids, self.hparams["supervision_steps"]).logits

    def to_onnx(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse Lightning's export, which would unroll all supervision steps.

        Raises:
            InputError: always; ``trm export`` writes one step for any batch, with the loop outside.
        """
        self._refuse_export("to_onnx", "onnx")

    def to_torchscript(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse Lightning's export, as ``to_onnx``."""
        self._refuse_export("to_torchscript", "pt2")

    def to_tensorrt(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse Lightning's export, as ``to_onnx``."""
        self._refuse_export("to_tensorrt", "pt2")

    def answer_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each answer; a subclass may override this.

        Args:
            logits: answer logits, (B, L, V).
            labels: tokens of the answers, ``trm.batch.IGNORE`` for cells without one, (B, L).

        Returns:
            One value per sample, (B,); zero for a sample without labels.
        """
        smoothing = self.hparams.get("label_smoothing", 0.0) if self.training else 0.0
        return answer_loss(logits, labels, self.hparams["loss"], smoothing)

    def nearest_labels(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the label to compare each answer with: of several right answers the one with the least loss.

        If the most likely tokens are one of the right answers, it is that one, also where two losses are equal.

        Args:
            logits: answer logits, (B, L, V).
            labels: one right answer to each puzzle, (B, L), which is returned, or up to A, (B, A, L).
        """
        if labels.dim() == 2:
            return labels
        with torch.no_grad():
            losses = torch.stack([self.answer_loss(logits, answers) for answers in labels.unbind(1)], dim=1)  # (B, A)
        given = labelled(labels).any(-1)
        right = given & exact_match(logits.argmax(-1).unsqueeze(1), labels)
        losses = losses.masked_fill(right, -math.inf).masked_fill(~given, math.inf)
        return labels[torch.arange(len(labels), device=labels.device), losses.argmin(1)]

    def solve(self, inputs: Tensor, puzzle_ids: Tensor, halting: HaltingRule | None = TRAINING_RULE) -> Answers:
        """Return the answers to puzzles after at most ``supervision_steps`` steps each; see ``trm.inference.think``.

        Args:
            inputs: tokens of the questions, (B, L).
            puzzle_ids: puzzle ids, (B,).
            halting: early-exit rule; None for all supervision steps.

        Raises:
            InputError: if the questions have a wrong length or tokens outside the vocabulary.
        """
        check_questions(inputs, self.hparams["seq_len"], self.hparams["vocab_size"])
        return think(self.core, inputs, puzzle_ids, self.hparams["supervision_steps"], halting)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Answer a batch with the early-exit rule ``halt``, and update the metrics; auto is never.

        Where a share of the training questions contradict themselves, the questions of the batch are also made to, for
        the threshold to abstain below: no answer to them is right.
        """
        if self.stop_requested:
            return
        batch = self._as_batch(batch)
        answers = self._evaluate(self.val_metrics, batch)
        labels = self.nearest_labels(answers.logits, batch.labels)
        self.abstention.update(answers.halt, answers.tokens, labels)
        if (data := self._data()) and data.corrupt:
            first = (batch_idx * self.trainer.world_size + self.global_rank) * len(batch.inputs)
            questions, changed = data.contradictions(from_batch(batch), first)
            inputs, counted = (torch.from_numpy(part).to(self.device) for part in (questions, changed))
            answers = self.solve(inputs.int(), batch.puzzle_ids, self._halting("never"))
            wrong = torch.full_like(answers.tokens, IGNORE)
            self.abstention.update(answers.halt, wrong, labels.where(counted[:, None], IGNORE))

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Answer a batch with the early-exit rule ``halt``, and update the metrics; auto is never."""
        self._evaluate(self.test_metrics, self._as_batch(batch))

    def predict_step(self, batch: Batch, batch_idx: int) -> Prediction:
        """Answer a batch with the early-exit rule ``halt``; auto is head.

        Returns:
            Tokens, halting logits and steps; also the logits of the answers if ``predict_logits`` is true.
        """
        batch = self._as_batch(batch)
        answers = self.solve(batch.inputs, batch.puzzle_ids, self._halting("head"))
        tokens = answers.tokens.to(batch.inputs.dtype)
        return Prediction(tokens, answers.halt, answers.steps, answers.logits if self.predict_logits else None)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the validation split, unless validation was cut short."""
        if not self.stop_requested:
            if not self.trainer.sanity_checking and (threshold := self.abstention.compute()):
                self.abstain_below = float(threshold["abstain_below"])
            self._log_means("val", self.val_metrics, self.calibration, self.abstention, self.scorer)

    def on_test_epoch_end(self) -> None:
        """Log the metrics of the test split."""
        self._log_means("test", self.test_metrics, self.calibration, self.scorer)

    def on_validation_end(self) -> None:
        """Restore the batch count of the trainer after a validation outside of training."""
        if self.trainer.state.fn != "fit":
            self.on_test_end()

    def on_test_end(self) -> None:
        """Restore the batch count of the trainer, which ``_log_means`` replaced."""
        self.trainer.fit_loop.epoch_loop._batches_that_stepped = self._stepped_batches

    def _refuse_export(self, name: str, format: str) -> NoReturn:
        raise InputError(
            f"{name} of a {type(self).__name__} would unroll all supervision steps: save a checkpoint, and use "
            f"trm export CHECKPOINT --format {format} -o FILE"
        )

    def _evaluate(self, metrics: PuzzleMetrics, batch: Batch) -> Answers:
        answers = self.solve(batch.inputs, batch.puzzle_ids, self._halting("never"))
        labels = self.nearest_labels(answers.logits, batch.labels)
        losses = self._losses(answers.logits, answers.halt, labels)
        finished = torch.ones_like(answers.halt, dtype=torch.bool)
        data = self._data()
        valid = obeys(data, batch.inputs, answers.tokens) if data else None
        real = batch.inputs.any(-1)
        metrics.update(answers.tokens, labels, answers.halt, answers.steps, finished, *losses, valid, real)
        self.calibration.update(answers.halt, answers.tokens, labels)
        if self.scorer is not None:
            self.scorer.update(answers.tokens, answers.halt, batch)
        return answers

    def _log_means(self, split: str, *metrics: Metric | None) -> None:
        """Log metrics against optimizer steps; the progress bar shows ``solved`` and ``answer_loss``."""
        synced = split != "train" and self.trainer.world_size > 1  # equal on all ranks, but Lightning warns without it
        for metric in filter(None, metrics):
            for name, value in metric.compute().items():
                self.log(f"{split}/{name}", value, prog_bar=name in ("solved", "answer_loss"), sync_dist=synced)
            metric.reset()
        self._report_missing_labels(split, metrics[0])
        if self.trainer.state.fn == "fit":
            self.log("step", float(self.global_step), sync_dist=synced)  # the x axis of the loggers
        else:  # the results of an evaluation must not contain "step", so the default of Lightning is set
            steps = self.global_step if self.trained_steps is None else self.trained_steps
            loop = self.trainer.fit_loop.epoch_loop
            self._stepped_batches, loop._batches_that_stepped = loop._batches_that_stepped, steps

    def _report_missing_labels(self, split: str, metrics: Metric | None) -> None:
        """Print how many puzzles of an evaluated split have no label."""
        if self.trainer.state.fn == "fit" or not isinstance(metrics, PuzzleMetrics):
            return
        known, all_ = metrics.labelled, metrics.finished
        if known < all_:
            of = "left out" if not known else f"means over the other {known:,}"
            missing = f"{all_ - known:,} of {all_:,} puzzles of the {split} split have no label"
            rank_zero_info(f"{missing}: accuracy and losses are {of}.")

    def _losses(self, logits: Tensor, halt: Tensor, labels: Tensor) -> Losses:
        data = self._data()
        unlabelled = not (self.training and data and data.corrupt)
        return Losses(self.answer_loss(logits, labels), halting_loss(halt, logits, labels, unlabelled))

    def _halting(self, auto: EarlyExit) -> HaltingRule | None:
        """Return the configured early-exit rule; ``auto`` is the name that "auto" is replaced with."""
        return halting_rule(self.hparams["halt"], self.hparams["halt_threshold"], self._data(), auto)

    def _as_batch(self, given: Any, chunked: bool = False) -> Batch:
        return as_batch(given, self.hparams["seq_len"], self.hparams["vocab_size"], chunked)

    def _data(self) -> PuzzleData | None:
        """Return the data module of the trainer; None with plain data loaders or without a trainer."""
        data = getattr(self._trainer, "datamodule", None)
        return data if isinstance(data, PuzzleData) else None
