"""``Checkpoints``: keeps the last and the best checkpoint, and saves when a signal asks the run to stop."""

import signal
import warnings
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning_utilities.core.rank_zero import rank_zero_info, rank_zero_warn

from trm.callbacks.requirements import need_module
from trm.checkpoints.files import read_facts
from trm.checkpoints.lock import FolderLock
from trm.errors import DivergedError, InputError, Stopped, check_choice, check_range, counted
from trm.signals import install, restore
from trm.training import checkpoint_keys as keys
from trm.training.trainer import shown

LONGEST = 1000
"""Optimizer steps after which ``last.ckpt`` is written if no validation and no setting asks for it."""


class Checkpoints(ModelCheckpoint):
    """Keeps ``last.ckpt``, from which training resumes bit for bit, and the best checkpoints by a metric.

    ``last.ckpt`` is written after every validation, every ``every_n_train_steps`` steps, at the end of training, and
    when SIGINT (Ctrl-C), SIGTERM or SIGHUP stops the run: the current step is finished, and ``Stopped`` is raised. A
    second signal does not wait for the step. Several processes stop together at the end of a batch, even if only one
    of them receives the signal.

    ``best.ckpt`` is written after a validation whose ``monitor`` is better than before. With ``save_top_k`` of 2 or
    more, the files are ``best-STEP.ckpt``. Training can resume from them too. A later process that uses the same folder
    finds both, so ``ckpt_path="best"`` and "last" work there.

    One run at a time uses the folder, see ``FolderLock``. A run that diverges does not change ``last.ckpt``. With
    ``model.check_finite`` set to "step" it writes ``diverged.ckpt``, the state before the step that diverges.

    Args:
        dirpath: folder of the checkpoints; by default ``checkpoints`` in the folder of the logger.
        every_n_train_steps: optimizer steps between two checkpoints, each written at the end of the Lightning batch
            that reaches a multiple; null for one after each validation, or after 1,000 steps without a validation.
        monitor: validation metric by which the best checkpoint is chosen, such as ``val/solved``; None to keep only
            the last.
        mode: whether the best value of the metric is its maximum or its minimum.
        save_top_k: number of best checkpoints to keep; -1 for all.
    """

    def __init__(
        self,
        dirpath: str | None = None,
        every_n_train_steps: int | None = None,
        monitor: str | None = "val/solved",
        mode: Literal["max", "min"] = "max",
        save_top_k: int = 1,
    ) -> None:
        check_range("Checkpoints", 0, every_n_train_steps=every_n_train_steps)  # 0 is null in older configurations
        check_range("Checkpoints", -1, save_top_k=save_top_k)
        check_choice("Checkpoints", ("max", "min"), mode=mode)
        super().__init__(
            dirpath,
            filename="best" if save_top_k == 1 else "best-{step}",
            monitor=monitor,
            mode=mode,
            save_top_k=save_top_k if monitor else 0,
            save_last=True,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )
        self.every_n_train_steps = every_n_train_steps
        self._lock = FolderLock()
        self._signal = 0
        self._handlers: dict[int, Any] = {}
        self._restoring = self._trained = self._validated = self._waits_for_epoch_end = False
        self._beside_log = False  # whether Lightning chose dirpath
        if dirpath:
            self._recall(Path(str(self.dirpath)))

    # -- the folder ---------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Lock the folder for a run of training.

        Raises:
            InputError: on all ranks, if another run uses it.
        """
        need_module(self, pl_module)
        self._beside_log |= self.dirpath is None
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")  # see on_train_start
            super().setup(trainer, pl_module, stage)
        self._restoring, self._trained = stage == "fit", False
        if stage == "fit" and not trainer.fast_dev_run and "://" not in str(self.dirpath):  # type: ignore[attr-defined]
            refusal = ""
            if trainer.is_global_zero:
                try:
                    self._lock.acquire(Path(str(self.dirpath)))
                    for left_by_a_kill in Path(str(self.dirpath)).glob("*.ckpt.*.part"):
                        left_by_a_kill.unlink(missing_ok=True)
                except InputError as error:
                    refusal = str(error)
            if refusal := trainer.strategy.broadcast(refusal):
                raise InputError(refusal)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Unlock the folder."""
        self._lock.release()

    def recall(self, trainer: Trainer) -> Path:
        """Find the checkpoints of an earlier process in the folder that this trainer would use; return the folder."""
        name = "_ModelCheckpoint__resolve_ckpt_dir"  # Lightning's rule of dirpath, logger and root folder
        folder = Path(str(getattr(self, name)(trainer)))
        self._recall(folder)
        return folder

    def _recall(self, folder: Path) -> None:
        last, best = folder / "last.ckpt", folder / "best.ckpt"
        if last.is_file():
            self.last_model_path = str(last)
        if self.save_top_k == 1 and best.is_file():
            self.best_model_path = str(best)
        elif self.save_top_k and last.is_file():
            states = read_facts(last).get(keys.CALLBACKS, {})
            best = folder / Path(states.get(self.state_key, {}).get("best_model_path", "")).name
            self.best_model_path = str(best) if best.is_file() else ""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best checkpoints that are still in the folder; an evaluation restores nothing."""
        if not self._restoring:
            return
        folder, scores = Path(str(self.dirpath)), state_dict.get("best_k_models", {})
        here = {folder / Path(path).name: score for path, score in scores.items()}
        self.best_k_models = {str(path): score for path, score in here.items() if path.is_file()}
        self._rank_best()

    # -- training -----------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install the signal handlers, and warn of checkpoints of earlier runs."""
        module = need_module(self, pl_module)
        self._trained, self._saved_at, self._signal = True, trainer.global_step, 0
        self._validated = self._waits_for_epoch_end = False
        self.best_k_models = trainer.strategy.broadcast(self.best_k_models)
        self._rank_best()
        if not (trainer.global_step or trainer.fast_dev_run):  # type: ignore[attr-defined]
            self._warn_of_others(trainer)

        def stop(signum: int, _: Any) -> None:
            self._signal = signum
            self._restore_handlers()
            module.stop_requested = trainer.world_size == 1  # a single process need not wait for the batch

        self._handlers = install(stop)

    def _warn_of_others(self, trainer: Trainer) -> None:
        """Warn of checkpoints of earlier runs that the user may have meant to resume."""
        if self._path.is_file():
            rank_zero_warn(
                f"{self._path} is of an earlier run, and this one will overwrite it: ckpt_path='last' resumes it"
            )
        name = trainer.loggers[0].name if trainer.loggers else None
        versions = self._path.parents[2] if name and self._beside_log and hasattr(trainer, "command") else None
        if versions is not None and (others := sorted(versions.glob("*/checkpoints/last.ckpt"))):
            rank_zero_warn(
                f"This run starts anew in {shown(self._path.parent)}, since its logger has a new version for every "
                f"run. To resume an earlier one, pass --ckpt_path {shown(others[-1])}, or fix its version"
            )

    def _rank_best(self) -> None:
        """Rank the best checkpoints with which the run continues."""
        ranked = sorted(self.best_k_models, key=lambda path: float(self.best_k_models[path]))
        best_first = ranked if self.mode == "min" else ranked[::-1]
        for path in best_first[self.save_top_k :] if self.save_top_k > 0 else []:
            del self.best_k_models[path]  # more than this run keeps; the files are not deleted
        kept = [path for path in best_first if path in self.best_k_models]
        self.best_model_path, self.best_model_score = (kept[0], self.best_k_models[kept[0]]) if kept else ("", None)
        self.kth_best_model_path = kept[-1] if len(kept) == self.save_top_k else ""
        worst = torch.tensor(torch.inf if self.mode == "min" else -torch.inf)
        self.kth_value = self.best_k_models[kept[-1]] if kept else worst

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Save if the steps have passed a multiple of ``every_n_train_steps``, or if a signal stops the run."""
        every, step = self.every_n_train_steps, trainer.global_step
        due = step // every > self._saved_at // every if every else step - self._saved_at >= LONGEST
        if (signum := self._agreed_signal(trainer)) or (due and not _validates_next(trainer)):
            self._save(trainer, signum)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after a validation; after one at the end of an epoch, ``on_train_epoch_end`` saves."""
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        self._validated = not need_module(self, pl_module).stop_requested
        self._waits_for_epoch_end = trainer.is_last_batch
        if not trainer.is_last_batch:
            self._save(trainer, self._agreed_signal(trainer))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after the validation at the end of the epoch."""
        signum = self._agreed_signal(trainer)
        if signum or self._waits_for_epoch_end:
            self._waits_for_epoch_end = False
            self._save(trainer, signum)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the end of the run, and restore the signal handlers."""
        self._restore_handlers()
        if trainer.global_step != self._saved_at:
            self._save(trainer, 0)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save the state before a divergence; other errors may leave the run between two steps."""
        self._restore_handlers()
        if isinstance(exception, DivergedError) and exception.before:
            trainer.save_checkpoint(self._path.with_name("diverged.ckpt"))
        self._lock.release()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log where the checkpoints are, and the next command."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        if not self._trained and not trainer.global_step:
            rank_zero_info("Nothing was trained: trainer.max_steps, max_epochs or limit_train_batches allows no step")
        elif not self._trained:
            rank_zero_info(
                f"The run in {self.dirpath} is complete: it has taken all of its "
                f"{counted(trainer.global_step, 'step')}. To continue, pass a larger trainer.max_steps (or "
                "max_epochs); to start anew, another folder."
            )
        elif self.monitor and self._trained and not self.best_model_path:
            rank_zero_info(f"No best checkpoint was kept, since {self.monitor} was never logged by a validation.")
        if getattr(trainer, "command", ()) and self._path.is_file():
            folder, which = shown(Path(str(self.dirpath))), "best" if self.best_model_path else "last"
            command = trainer.evaluation_command(which)  # type: ignore[attr-defined]  # a TRMTrainer
            rank_zero_info(f"Checkpoints are in {folder}: {self._kept(trainer)}. Next: {command}")

    # -- private ------------------------------------------------------------------------------------------------------

    @property
    def _path(self) -> Path:
        return Path(str(self.dirpath), "last.ckpt")

    def _kept(self, trainer: Trainer) -> str:
        """Return the names of the last and the best checkpoint, with step and metric."""
        last = f"last.ckpt (step {trainer.global_step})"
        if not self.best_model_path or self.best_model_score is None:
            return last
        return f"{last}, {Path(self.best_model_path).name} ({self.monitor} {float(self.best_model_score):.4f})"

    def _save(self, trainer: Trainer, signum: int) -> None:
        """Write the best checkpoint and then ``last.ckpt``; raise ``Stopped`` if a signal stops the run."""
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self.last_model_path = str(self._path)
            if self._validated and self.monitor and self.save_top_k:
                self._keep_best(trainer)
            self._save_checkpoint(trainer, str(self._path))
        self._saved_at, self._validated = trainer.global_step, False
        if signum:
            stopped = Stopped(
                signum, f"stopped after step {trainer.global_step}; to resume, pass {self._path} as ckpt_path"
            )
            if not hasattr(trainer, "command"):  # else the command line reports it
                rank_zero_info(str(stopped))
            raise stopped

    def _keep_best(self, trainer: Trainer) -> None:
        metrics = self._monitor_candidates(trainer)
        if self.monitor in metrics:
            self._save_topk_checkpoint(trainer, metrics)
            return
        logged = ", ".join(sorted(name for name in trainer.callback_metrics if name.startswith("val/")))
        rank_zero_warn(f"Checkpoints.monitor is {self.monitor!r}, which was not logged; the validation logs {logged}")

    def _agreed_signal(self, trainer: Trainer) -> int:
        """Return the signal that stops the run, received by this process or by another; 0 for none."""
        stop = trainer.strategy.reduce_boolean_decision(bool(self._signal), all=False)
        return (self._signal or signal.SIGTERM) if stop else 0

    def _restore_handlers(self) -> None:
        restore(self._handlers)
        self._handlers = {}


def _validates_next(trainer: Trainer) -> bool:
    """Return whether a validation follows this batch; a checkpoint is written after it."""
    loop = trainer.fit_loop.epoch_loop
    fetcher = trainer.fit_loop._data_fetcher
    return bool(fetcher is not None and sum(trainer.num_val_batches) and loop._should_check_val_fx(fetcher))
