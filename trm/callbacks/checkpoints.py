"""``Checkpoints``: keeps ``last.ckpt``, and saves when a signal asks the run to stop."""

import signal
import threading
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from trm.errors import DivergedError, Stopped, check_range
from trm.module import TRMModule


class Checkpoints(ModelCheckpoint):
    """Keeps ``last.ckpt``, from which the same command goes on bit for bit.

    It is written every so many steps, after every validation, and when SIGINT (Ctrl-C) or SIGTERM asks the run to
    stop: the step at hand is finished, and the run ends with a ``Stopped``. A second signal ends it at once. Several
    processes agree to stop at the end of a batch, so it is enough that one of them gets the signal.

    A run that diverges leaves ``last.ckpt`` alone; with ``model.check_finite`` set to "step" it writes
    ``diverged.ckpt``, whose next step is the one at fault.

    Args:
        dirpath: folder of the checkpoints; by default ``checkpoints`` in the folder of the logger.
        every_n_train_steps: optimizer steps between two checkpoints; 0 for validations only. It is written at the end
            of the Lightning batch that reaches the number.
    """

    def __init__(self, dirpath: str | None = None, every_n_train_steps: int = 0) -> None:
        check_range("Checkpoints", 0, every_n_train_steps=every_n_train_steps)
        super().__init__(dirpath, filename="last", save_on_train_epoch_end=True, enable_version_counter=False)
        self.every_n_train_steps = every_n_train_steps
        self._signal = 0
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Watch out for signals."""
        assert isinstance(pl_module, TRMModule)
        self._saved_at, self._signal = trainer.global_step, 0

        def stop(signum: int, _: Any) -> None:
            self._signal = signum
            self._restore_handlers()
            pl_module.stopping = trainer.world_size == 1  # alone, there is nobody to wait for at the end of the batch

        if threading.current_thread() is threading.main_thread():
            self._handlers = {signum: signal.signal(signum, stop) for signum in (signal.SIGINT, signal.SIGTERM)}

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Save where the number of steps passes a multiple of ``every_n_train_steps``, or to stop."""
        due = bool(self.every_n_train_steps) and (
            trainer.global_step // self.every_n_train_steps > self._saved_at // self.every_n_train_steps
        )
        if (signum := self._agreed_signal(trainer)) or (due and not trainer.is_last_batch):
            self._save(trainer, signum)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what the validation has found."""
        self._save(trainer, self._agreed_signal(trainer))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave signals to others."""
        self._restore_handlers()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save what leads to a divergence; anything else may have left the run between two steps."""
        self._restore_handlers()
        if isinstance(exception, DivergedError) and exception.before:
            trainer.save_checkpoint(self._path.with_name("diverged.ckpt"))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take nothing over: the one file is always the same."""

    @property
    def _path(self) -> Path:
        return Path(str(self.dirpath), "last.ckpt")

    def _save(self, trainer: Trainer, signum: int) -> None:
        """Write ``last.ckpt``, and end the run there if a signal asks for it."""
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._save_checkpoint(trainer, str(self._path))
        self._saved_at = trainer.global_step
        if signum:
            raise Stopped(signum, f"stopped after step {trainer.global_step}; {self._path} goes on from there")

    def _agreed_signal(self, trainer: Trainer) -> int:
        """Return the signal that asks to stop, on this process or, failing that, on another."""
        stop = trainer.strategy.reduce_boolean_decision(bool(self._signal), all=False)
        return (self._signal or signal.SIGTERM) if stop else 0

    def _restore_handlers(self) -> None:
        for signum, handler in self._handlers.items():
            signal.signal(signum, handler)
        self._handlers = {}
