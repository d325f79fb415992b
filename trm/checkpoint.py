"""Checkpoints: written whole, whenever a run may end; read safely, with one clear sentence about unusable ones."""

import importlib
import pickle
import signal
import sys
import threading
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from trm.data import PuzzleData
from trm.data.files import whole_file
from trm.errors import DivergedError, InputError, Stopped, check_range
from trm.module import TRMModule
from trm.zoo import find

NEEDED = ("state_dict", "hyper_parameters", "trm_version")


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint of this project, a file or a model of the zoo; nothing in it is executed.

    Raises:
        InputError: if the file is missing, cut short, holds code, or is something else.
    """
    checkpoint = read_pickle(path)
    missing = [key for key in NEEDED if not (isinstance(checkpoint, dict) and key in checkpoint)]
    if missing:
        raise InputError(f"{path} is not a checkpoint written by trm: it has no {', '.join(missing)}")
    return dict(checkpoint)


def read_pickle(path: str | Path, mmap: bool = False) -> Any:
    """Read what ``torch.save`` wrote, if it is made of tensors and plain values; nothing in it is executed.

    Args:
        path: the file, or the name of a model of the zoo.
        mmap: leave the tensors on the disk until they are used, if the format of the file allows it.

    Raises:
        InputError: if the file is missing, cut short, holds code, or is something else.
    """
    file = find(path)
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=mmap and is_zipfile(file))
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} is not a checkpoint, or holds Python objects beyond tensors and plain values, which are not loaded"
        ) from error
    except (RuntimeError, EOFError, BadZipFile, OSError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} is not a whole checkpoint: {reason}") from error


def refuse_overwriting(path: str | Path, force: bool) -> None:
    """Refuse to write over a file unless ``force`` says so.

    Raises:
        InputError: if there is something already.
    """
    if not force and Path(path).exists():
        raise InputError(f"{path} exists already; --force overwrites it")


class CheckpointFiles(TorchCheckpointIO):
    """How Lightning's trainer writes and reads checkpoints in ``trm``: whole or not at all, and checked.

    Lightning's own way goes through the folder for temporary files: where that is another disk, a kill can leave half
    a checkpoint, and all of it is held in memory once more.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint beside the present one, then let it take its place.

        Raises:
            InputError: if it cannot be written; a file that was there before stays.
        """
        path = Path(path)
        for left_by_a_kill in path.parent.glob(f"{path.name}.*.part"):
            left_by_a_kill.unlink()
        with whole_file(path, "wb", "what stood there before is untouched") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # torch closes its archive on the way out, and fails at that again
                raise error.__context__ if isinstance(error.__context__, OSError) else error from None

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: bool | None = True) -> Any:
        """Read a checkpoint to the CPU; nothing in it is executed."""
        return read_checkpoint(path)


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


def load_checkpoint(path: str | Path, family: str = "") -> tuple[TRMModule, PuzzleData]:
    """Load a trained model, with the averaged weights, and the family of puzzles it was trained on.

    Args:
        path: a file written by ``trm fit``, or the name of a model of the zoo.
        family: the family's class, such as "my_puzzles.Futoshiki", if it is not one of this package. A checkpoint
            alone never makes a module be imported.

    Returns:
        The module in evaluation mode on the CPU, and the data module; no data is read.

    Raises:
        InputError: if the checkpoint cannot be used.
    """
    checkpoint = read_checkpoint(path)
    try:
        arguments = {name: value for name, value in checkpoint["hyper_parameters"].items() if name[0] != "_"}
        module = TRMModule(**arguments)
        module.load_state_dict(checkpoint["state_dict"])
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}, written by trm {checkpoint['trm_version']}, does not fit this version of the network: {reason}"
        ) from error
    return module.eval(), _family(path, checkpoint.get("family"), family)


def _family(path: str | Path, family: dict[str, Any] | None, named: str) -> PuzzleData:
    """Build the data module that a checkpoint names: of ``trm``, of an imported module, or named by the user."""
    if family is None:
        raise InputError(f"{path} does not say what family of puzzles it was trained on")
    class_path = family["class_path"]
    module_name = class_path.rpartition(".")[0]
    if named and named != class_path:
        raise InputError(f"{path} was trained on {class_path}, not on {named}")
    if not named and module_name not in sys.modules and module_name.split(".")[0] != "trm":
        raise InputError(f"{path} was trained on {class_path}, which is not part of trm: pass --family {class_path}")
    return find_family(class_path, f"{path} was trained on")(**family["init_args"])


def find_family(class_path: str, told: str) -> type[PuzzleData]:
    """Import a family by its class.

    Args:
        class_path: module and name of the class.
        told: who says that it is the family; what a refusal begins with.

    Raises:
        InputError: if there is no such class, or it is not a family.
    """
    module_name, _, class_name = class_path.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:  # the last for no module at all
        raise InputError(f"{told} {class_path}, which does not exist here: {error}") from error
    if not (isinstance(cls, type) and issubclass(cls, PuzzleData)):
        raise InputError(f"{told} {class_path}, which is not a PuzzleData")
    return cls
