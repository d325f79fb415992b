"""Training that starts from trained weights, ``trm fit --weights``: of the zoo, of another run, or imported."""

from pathlib import Path

from trm.checkpoints.files import read_checkpoint
from trm.checkpoints.summary import COSTS, cost, training_puzzles
from trm.data import PuzzleData
from trm.module import TRMModule
from trm.provenance import weights_digest
from trm.training.compatibility import refuse_other_network, report_differences, same_puzzles

TABLE = "core.puzzle_embedding.weights"


def start_from(module: TRMModule, path: str | Path, data: PuzzleData | None = None) -> None:
    """Give a module trained weights, and remember where they are from.

    The puzzle ids stay with their puzzles. Where ``data`` has others than the checkpoint, all begin as
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
    rows = module.core.puzzle_embedding.weights if module.core.puzzle_embedding is not None else None
    both = rows is not None and TABLE in state
    refuse_other_network(module, checkpoint["hyper_parameters"], path, ("num_puzzles",) if both else ())
    report_differences(module, checkpoint["hyper_parameters"])
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
