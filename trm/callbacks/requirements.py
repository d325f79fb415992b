"""Checks that a callback has the module and the data it needs."""

from lightning.pytorch import Callback, LightningModule, Trainer

from trm.data import PuzzleData
from trm.errors import InputError
from trm.module import TRMModule


def need_module(callback: Callback, module: LightningModule) -> TRMModule:
    """Return the module of a callback.

    Raises:
        InputError: if it is not a ``TRMModule``.
    """
    if not isinstance(module, TRMModule):
        raise InputError(f"{type(callback).__name__} needs a TRMModule, not {type(module).__name__}")
    return module


def need_data(callback: Callback, trainer: Trainer) -> PuzzleData:
    """Return the data module of the trainer.

    Raises:
        InputError: if it is not a ``PuzzleData``.
    """
    data = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(data, PuzzleData):
        given = "data loaders" if data is None else type(data).__name__
        raise InputError(f"{type(callback).__name__} needs a PuzzleData, such as Sudoku, as datamodule, not {given}")
    return data
