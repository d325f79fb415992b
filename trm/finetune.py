"""Training that starts from trained weights, ``trm fit --weights``: of the zoo, of another run, or imported."""

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from trm.checkpoint import read_checkpoint
from trm.claim import COSTS, cost, training_puzzles, weights_digest
from trm.compatibility import refuse_other_network, same_puzzles, tell_differences
from trm.data import PuzzleData
from trm.module import TRMModule

TABLE = "core.puzzles.weights"


class FineTuneTrainer(Trainer):
    """Lightning's trainer, whose ``fit`` can start from trained weights."""

    def fit(self, model: LightningModule, *args: Any, weights: str = "", **kwargs: Any) -> None:
        """Run the full optimization routine.

        Args:
            model: the module.
            *args: as Lightning's.
            weights: checkpoint or model of the zoo whose weights to start from, in place of random ones; optimizer,
                schedule, average and steps start afresh. A run that has a checkpoint of its own goes on from that.
            **kwargs: as Lightning's.

        Raises:
            InputError: if they are weights of another network, or the run to go on with started from others.
        """
        if weights:
            assert isinstance(model, TRMModule)
            start_from(model, weights, kwargs.get("datamodule"))
        super().fit(model, *args, **kwargs)


def start_from(module: TRMModule, path: str | Path, data: PuzzleData | None = None) -> None:
    """Give a module trained weights, and remember where they are from.

    The rows of the puzzle table stay with their puzzles. Where ``data`` has others than the checkpoint, all begin as
    the mean of the rows, as in the official code.

    Args:
        module: the module, of the same network; how many puzzles its table has may differ.
        path: a checkpoint, the averaged weights of which are taken, or the name of a model of the zoo.
        data: the puzzles to train on; those of the checkpoint, if none are given.

    Raises:
        InputError: if the checkpoint cannot be read, or is one of another network.
    """
    checkpoint = read_checkpoint(path)
    state = dict(checkpoint["state_dict"])
    rows = module.core.puzzles.weights if module.core.puzzles is not None else None
    both = rows is not None and TABLE in state
    refuse_other_network(module, checkpoint["hyper_parameters"], path, ("num_puzzles",) if both else ())
    tell_differences(module, checkpoint["hyper_parameters"])
    if rows is not None and not (rows.shape == state[TABLE].shape and (data is None or same_puzzles(data, checkpoint))):
        state[TABLE] = state[TABLE].mean(dim=0, keepdim=True).expand_as(rows)
    module.load_state_dict(state)
    module.started_from = {
        "checkpoint": Path(path).name,
        "weights": weights_digest(checkpoint),
        "step": checkpoint.get("global_step"),
        "training_puzzles": training_puzzles(checkpoint),
        **{kind: cost(checkpoint, kind) for kind in COSTS},
    }
