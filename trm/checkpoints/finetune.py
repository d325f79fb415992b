"""Fine-tuning: training that starts from trained parameters, ``trm fit --weights``."""

from pathlib import Path
from typing import Any

from trm.checkpoints.files import read_checkpoint
from trm.checkpoints.summary import COSTS, cost, training_puzzles, weights_digest
from trm.data import PuzzleData
from trm.errors import InputError
from trm.module import TRMModule
from trm.training import checkpoint_keys as keys
from trm.training.compatibility import free_sizes, misfits, refuse_other_network, report_differences, same_puzzles


def start_from(module: TRMModule, path: str | Path, data: PuzzleData | None = None) -> None:
    """Load trained parameters into a module, and record their origin in ``module.started_from``.

    The puzzle embedding is kept if its ids stand for the same puzzles. Otherwise every vector starts as the mean of
    those of the checkpoint, as in the official code.

    Args:
        module: the module, with the network of the checkpoint; the number of puzzle ids may differ.
        path: a checkpoint, whose averaged parameters are used, a hub folder, or the name of a model.
        data: the puzzles to train on; None for those of the checkpoint.

    Raises:
        InputError: if the checkpoint cannot be read, or is of another network.
    """
    checkpoint = read_checkpoint(path)
    state = dict(checkpoint[keys.STATE])
    rows = module.core.puzzle_embedding.weights if module.core.puzzle_embedding is not None else None
    both = rows is not None and keys.PUZZLE_EMBEDDING in state
    may_differ = (*free_sizes(checkpoint[keys.HYPER_PARAMETERS]), *(["num_puzzles"] if both else []))
    refuse_other_network(module, checkpoint[keys.HYPER_PARAMETERS], path, may_differ)
    report_differences(module, checkpoint[keys.HYPER_PARAMETERS])
    if rows is not None:
        theirs = state[keys.PUZZLE_EMBEDDING]
        if rows.shape != theirs.shape or not (data is None or same_puzzles(data, checkpoint)):
            state[keys.PUZZLE_EMBEDDING] = theirs.mean(dim=0, keepdim=True).expand_as(rows)
    if faults := misfits(state, module.state_dict()):
        raise InputError(f"{path} does not fit the module of the configuration: it {faults}")
    module.load_state_dict(state)
    module.started_from = origin(checkpoint, path)


def origin(checkpoint: dict[str, Any], path: str | Path) -> dict[str, Any]:
    """Return what a run records of the checkpoint that its parameters are from, for ``module.started_from``."""
    return {
        "checkpoint": Path(path).name,
        "weights": weights_digest(checkpoint),
        "step": checkpoint.get(keys.STEP),
        keys.TRAINING_PUZZLES: training_puzzles(checkpoint),
        **{kind: cost(checkpoint, kind) for kind in COSTS},
    }
