"""``Interrupt``: answers signals at once, even during a long operation."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from trm.errors import Stopped
from trm.signals import ECHO, Watcher, install, restore, stop

HINT = "SIGINT: the run stops after the current step; a second Ctrl-C ends it now, without saving"


class Interrupt(Callback):
    """Ends every stage of a run at SIGINT (Ctrl-C), SIGTERM or SIGHUP, and the process at the second signal.

    In training, ``Checkpoints`` saves and stops after the current step. Elsewhere, in an evaluation, a prediction or
    the sanity check, ``Stopped`` is raised at once. Lightning alone would go on to the end after a SIGTERM, and exit
    with status 0. A first Ctrl-C in training is answered with a line that explains the second.

    ``trm`` adds this callback. A Python program adds it itself, since only one part of a process can watch its signals.
    """

    def __init__(self) -> None:
        self._watcher: Watcher | None = None
        self._before: dict[int, Any] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Start to watch for signals."""
        prints = stage == "fit" and trainer.is_global_zero
        self._watcher = Watcher(HINT if prints else "", ECHO if trainer.world_size > 1 else 0.0)
        self._watcher.start()

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raise ``Stopped`` at a signal, in place of the handler that Lightning has just installed."""
        self._before = install(stop) if not self._before else self._before

    on_train_start = on_test_start = on_predict_start = on_sanity_check_start
    """In training the handlers of ``Checkpoints``, whose hook runs later, replace these."""

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do the same in an evaluation; a validation within training has the handlers of training."""
        if trainer.state.fn != "fit":
            self.on_sanity_check_start(trainer, pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Stop watching, and restore the handlers."""
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stop watching, and pass a signal on to the ranks that this process has started and that wait for it."""
        self._restore()
        launcher = trainer.strategy.launcher
        together = trainer.state.fn == "fit" and not trainer.sanity_checking  # in training they all stop by themselves
        if isinstance(exception, Stopped) and launcher is not None and not together:
            launcher.kill(exception.signum)

    def _restore(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher = None
        restore(self._before)
        self._before = {}
