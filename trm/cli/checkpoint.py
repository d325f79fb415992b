"""The checkpoint that a command names: which file it is, and what the settings of the data take from it."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from trm.arguments import class_path, find_class
from trm.callbacks.checkpoints import Checkpoints
from trm.data import ARC, Mixture, PuzzleData
from trm.errors import InputError
from trm.training import checkpoint_keys as keys


def find_checkpoint(trainer: Trainer, given: str | None) -> str:
    """Return the file or name of the zoo that a command restores; "" if there is none.

    Args:
        trainer: the trainer, whose callbacks know the files of the run.
        given: the setting ``ckpt_path``.
    """
    if given not in ("best", "last"):
        return str(given or "")
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, Checkpoints):
            callback.recall(trainer)
    found = [str(getattr(callback, f"{given}_model_path", "")) for callback in trainer.checkpoint_callbacks]
    return next(filter(None, found), "")


def need_checkpoint(trainer: Trainer, command: str, given: str | None) -> None:
    """Check that a command names a checkpoint, and that the run has one if it is named best or last.

    Args:
        trainer: the trainer.
        command: name of the command, such as "validate".
        given: the setting ``ckpt_path``.

    Raises:
        InputError: if not.
    """
    if given is None:
        raise InputError(
            f"trm {command} needs --ckpt_path: a file written by trm fit, a name that trm zoo lists, "
            "hf:OWNER/NAME, or 'last'"
        )
    if given in ("best", "last"):
        callbacks = [c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint)]
        folders = [str(c.recall(trainer)) for c in callbacks if isinstance(c, Checkpoints)]
        others = given == "last" and any(c._find_last_checkpoints(trainer) for c in callbacks)
        if not others and not any(getattr(c, f"{given}_model_path") for c in callbacks):
            places = ", ".join(folders) or str(trainer.log_dir)
            raise InputError(f"there is no {given} checkpoint in {places}; run trm fit first")


def keep_added(data: Any, checkpoint: Mapping[str, Any]) -> None:
    """Give ARC the tasks that a checkpoint was adapted to, so that an evaluation has the same puzzle ids.

    They have no test inputs, so the evaluation is that of the checkpoint from which adaptation started.
    """
    family = checkpoint.get(keys.FAMILY, {"class_path": ""})
    if data is None or family["class_path"] != class_path(ARC):
        return
    arguments = data.get("init_args") or {}
    if find_class(data["class_path"], PuzzleData, "the data is") is ARC and not arguments.get("added"):
        arguments["added"] = tuple(family["init_args"].get("added", ()))


def keep_tokens(data: Any, checkpoint: Mapping[str, Any]) -> list[str]:
    """Give settings of the data that are null, and would be read off its source, the values of a checkpoint.

    A source may lack some of the symbols of the training puzzles; the tokens must stand for the same ones.

    Returns:
        Names of these settings.
    """
    if data is None or keys.FAMILY not in checkpoint:
        return []
    family, kind = checkpoint[keys.FAMILY], find_class(data["class_path"], PuzzleData, "the data is")
    if class_path(kind) != family["class_path"]:
        return []
    arguments, theirs = data.get("init_args") or {}, family["init_args"]
    if issubclass(kind, Mixture):
        for own, other in zip(arguments.get("families") or [], theirs["families"], strict=False):
            keep_tokens(own, {keys.FAMILY: other})
    taken = [name for name in kind.read_off if arguments.get(name) is None and theirs.get(name) is not None]
    for name in taken:
        arguments[name] = theirs[name]
    return taken
