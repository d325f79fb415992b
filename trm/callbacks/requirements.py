"""What the callbacks of ``trm`` need of the trainer that they are given to."""

from lightning.pytorch import Callback, LightningModule, Trainer

from trm.data import PuzzleData
from trm.errors import InputError
from trm.module import TRMModule


def need_module(callback: Callback, module: LightningModule) -> TRMModule:
    """Return the module, if a callback can work with it.

    Raises:
        InputError: if it is no ``TRMModule``.
    """
    if not isinstance(module, TRMModule):
        raise InputError(f"{type(callback).__name__} works with a TRMModule, not with {type(module).__name__}")
    return module


def need_data(callback: Callback, trainer: Trainer) -> PuzzleData:
    """Return the data module of the trainer, if a callback can work with it.

    Raises:
        InputError: if it is no ``PuzzleData``.
    """
    data = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(data, PuzzleData):
        given = "data loaders" if data is None else type(data).__name__
        raise InputError(f"{type(callback).__name__} needs a PuzzleData, such as Sudoku, as datamodule, not {given}")
    return data
