"""Lightning callbacks of evaluation: answers, submissions and pictures."""

import contextlib
import csv
import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter, Callback
from lightning_utilities.core.rank_zero import rank_zero_info

from trm.callbacks.requirements import need_data, need_module
from trm.data import ARC
from trm.data.arc.submission import write_submission
from trm.data.arc.votes import Votes
from trm.data.atomic import atomic_write
from trm.data.samples import matches
from trm.errors import InputError, check_range, counted
from trm.inference import Prediction
from trm.trace.picture import beside, picture
from trm.trace.record import record
from trm.trace.theme import look


class PredictionWriter(BasePredictionWriter):
    """Writes the answers of ``trm predict`` to a CSV file, one line per puzzle.

    Columns: question, answer, steps (supervision steps taken), confidence (halting probability), valid (by the
    family's rules), correct (equal to a label; empty where there is none).

    The files of an earlier prediction stay until all answers are written, and are then replaced, whatever their number.

    Args:
        path: file to write, in the run's folder; under DDP every rank but the first appends its number to the name.
    """

    def __init__(self, path: str = "predictions.csv") -> None:
        super().__init__(write_interval="batch")
        self.path = path
        self._open = contextlib.ExitStack()
        self._rows = 0

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the file, which gets its name at the end."""
        need_data(self, trainer)
        path = Path(trainer.log_dir or "", self.path)
        if trainer.global_rank:
            path = path.with_stem(f"{path.stem}-{trainer.global_rank}")
        self._file = self._open.enter_context(atomic_write(path, "w"))
        self._writer = csv.writer(self._file)
        self._writer.writerow(["question", "answer", "steps", "confidence", "valid", "correct"])
        self._rows = 0

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Prediction,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write the answers of a batch, without its padding."""
        data = need_data(self, trainer)
        questions, answers = batch.inputs.cpu().numpy(), prediction.tokens.cpu().numpy()
        labels, confidence = batch.labels.clamp(min=0).cpu().numpy(), prediction.confidence.tolist()
        for row, steps in enumerate(prediction.steps.tolist()):
            question, answer = questions[row].astype("uint8"), answers[row].astype("uint8")
            if not question.any():
                continue
            valid = data.verify(question, answer).valid
            correct = bool(matches(answer, labels[row])) if labels[row].any() else ""
            self._writer.writerow(
                [data.write(question), data.write(answer), steps, f"{confidence[row]:.4f}", valid, correct]
            )
            self._rows += 1

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace the files of an earlier prediction, once all ranks have written theirs."""
        self._file.flush()
        rows = int(trainer.strategy.reduce(torch.tensor(self._rows, device=pl_module.device), reduce_op="sum"))
        path = Path(trainer.log_dir or "", self.path)
        if trainer.is_global_zero:
            for earlier in path.parent.glob(f"{glob.escape(path.stem)}-*{glob.escape(path.suffix)}"):
                if earlier.stem.removeprefix(f"{path.stem}-").isdecimal():
                    earlier.unlink()
        trainer.strategy.barrier()
        self._open.close()
        others = f" and {counted(trainer.world_size - 1, 'file')} beside it" if trainer.world_size > 1 else ""
        rank_zero_info(f"Wrote {path}{others}: {counted(rows, 'answer')}.")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Delete what is incomplete; the files of an earlier prediction stay."""
        with contextlib.suppress(type(exception), InputError):  # it continues where it was raised
            self._open.__exit__(type(exception), exception, exception.__traceback__)


class SubmissionWriter(Callback):
    """Writes the answers of ``trm test`` on ARC to Kaggle's ``submission.json``, two attempts each.

    Args:
        path: file to write atomically, in the run's folder.
    """

    def __init__(self, path: str = "submission.json") -> None:
        self.path = path

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the family before anything is evaluated.

        Raises:
            InputError: if it is not ARC.
        """
        if not isinstance(need_data(self, trainer), ARC):
            raise InputError("SubmissionWriter needs the ARC family; for others, remove it from trainer.callbacks")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the votes of all ranks, before the module resets them, and write on the first."""
        votes = need_module(self, pl_module).scorer
        if not isinstance(votes, Votes):
            raise InputError(f"SubmissionWriter needs the votes of the ARC family, not {type(votes).__name__}")
        submission, unanswered = votes.submission()
        path = Path(trainer.log_dir or "", self.path)
        if trainer.is_global_zero:
            write_submission(path, submission, trainer.datamodule.puzzles)  # type: ignore[attr-defined]
        rank_zero_info(
            f"Wrote {path}: {counted(len(submission), 'task')}, {counted(unanswered, 'test input')} without an answer."
        )


class Pictures(Callback):
    """Logs pictures of the answers to a validation puzzle to TensorBoard, at each validation.

    A row of pictures shows the question, the answer after 1, 2, 4, ... supervision steps with wrong cells marked, and
    the label. With a logger that accepts no images, nothing is drawn.

    Args:
        puzzle: index in the validation split.
    """

    def __init__(self, puzzle: int = 0) -> None:
        check_range("trainer.callbacks.Pictures", 0, puzzle=puzzle)
        self.puzzle = puzzle

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check that there are puzzles and a model to draw.

        Raises:
            InputError: if there are none, or the puzzles are a mixture, whose boards differ.
        """
        look(need_data(self, trainer))
        need_module(self, pl_module)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Draw before the first batch: by then the averaged parameters are in the module, in any order of callbacks."""
        if batch_idx:
            return
        add_image = getattr(getattr(trainer.logger, "experiment", None), "add_image", None)
        if add_image is None or trainer.sanity_checking or not trainer.is_global_zero:
            return
        data, module = need_data(self, trainer), need_module(self, pl_module)
        samples = data.eval_samples("val", min(self.puzzle, data.eval_size("val") - 1), 1)
        question, label = samples.inputs[0], samples.first[0]
        steps = record(module, question, int(samples.puzzle_ids[0]), module.hparams["supervision_steps"]).steps
        shown = [frame for frame in steps if frame.step & (frame.step - 1) == 0]  # powers of two
        images = [picture(data, question, question)]
        images += [picture(data, question, frame.answer, label, frame.confidence.numpy()) for frame in shown]
        captions = ["question", *(f"step {frame.step}, halting {frame.halting:.0%}" for frame in shown), "answer"]
        row = beside([*images, picture(data, question, label)], captions)
        add_image("thinking", np.asarray(row), trainer.global_step, dataformats="HWC")
