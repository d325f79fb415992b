"""Training that starts from trained weights, ``trm fit --weights``: of the zoo, of another run, or imported."""

from pathlib import Path

from trm.checkpoints.files import read_checkpoint
from trm.checkpoints.summary import COSTS, cost, training_puzzles, weights_digest
from trm.data import PuzzleData
from trm.module import TRMModule
from trm.training import checkpoint_keys as keys
from trm.training.compatibility import refuse_other_network, report_differences, same_puzzles


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
    state = dict(checkpoint[keys.STATE])
    rows = module.core.puzzle_embedding.weights if module.core.puzzle_embedding is not None else None
    both = rows is not None and keys.PUZZLE_EMBEDDING in state
    refuse_other_network(module, checkpoint[keys.HYPER_PARAMETERS], path, ("num_puzzles",) if both else ())
    report_differences(module, checkpoint[keys.HYPER_PARAMETERS])
    if rows is not None:
        theirs = state[keys.PUZZLE_EMBEDDING]
        if rows.shape != theirs.shape or not (data is None or same_puzzles(data, checkpoint)):
            state[keys.PUZZLE_EMBEDDING] = theirs.mean(dim=0, keepdim=True).expand_as(rows)
    module.load_state_dict(state)
    module.started_from = {
        "checkpoint": Path(path).name,
        "weights": weights_digest(checkpoint),
        "step": checkpoint.get(keys.STEP),
        keys.TRAINING_PUZZLES: training_puzzles(checkpoint),
        **{kind: cost(checkpoint, kind) for kind in COSTS},
    }
