"""Fine-tuning: training that starts from trained parameters, ``trm fit --weights``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lightning_utilities.core.rank_zero import rank_zero_info
from torch import Tensor

from trm.checkpoints.files import read_checkpoint
from trm.checkpoints.summary import COSTS, cost, training_puzzles, weights_digest
from trm.data import PuzzleData
from trm.data.base import default_token_names
from trm.errors import InputError, counted
from trm.module import TRMModule
from trm.training import checkpoint_keys as keys
from trm.training.changes import report_differences
from trm.training.compatibility import free_to_start, misfits, refuse_other_network, same_puzzles


class Transfer(NamedTuple):
    """What training starts from: the tensors of a module, some of them from a checkpoint."""

    state: dict[str, Tensor]
    copied: list[str]
    """Names of the tensors that are those of the checkpoint."""
    by_token: list[str]
    """Names of the tensors with a row for each token, of which the rows of known tokens are those of the checkpoint."""
    known: int
    """Number of these tokens."""
    mean: bool
    """Whether the puzzle embedding begins at the mean of that of the checkpoint."""
    new: list[str]
    """Names of the tensors that begin as without a checkpoint."""

    def __str__(self) -> str:
        """Return one sentence."""
        parts = [f"{len(self.copied)} of {counted(len(self.state), 'tensor')} are copied"]
        if self.by_token:
            tokens = len(self.state[self.by_token[0]])
            parts.append(
                f"{self.known} of the {counted(tokens, 'token')} are known, and copied in {', '.join(self.by_token)}"
            )
        if self.mean:
            parts.append("every vector of the puzzle embedding begins at the mean of the former ones")
        if self.new:
            parts.append(f"new are {', '.join(self.new)}")
        return "; ".join(parts)


def start_from(module: TRMModule, path: str | Path, data: PuzzleData | None = None) -> None:
    """Load trained parameters into a module, print what is new, and record their origin in ``module.started_from``.

    The network must be the same, but for the sizes that the data determines, and for a ``grid_conv`` that is added,
    whose weights begin at zero. Then everything that fits is copied. Of the embedding and the answer head, the rows of
    tokens with the same name in ``PuzzleData.token_names`` are. The puzzle embedding is kept if its ids stand for the
    same puzzles; otherwise every vector starts as the mean of those of the checkpoint, as in the official code. What
    does not fit keeps its random values.

    Args:
        module: the module, with the network of the checkpoint.
        path: a checkpoint, whose averaged parameters are used, a hub folder, or the name of a model.
        data: the puzzles to train on; None for those of the checkpoint.

    Raises:
        InputError: if the checkpoint cannot be read, or is of another network.
    """
    checkpoint = read_checkpoint(path)
    theirs = checkpoint[keys.HYPER_PARAMETERS]
    refuse_other_network(module, theirs, path, free_to_start(theirs))
    report_differences(module, theirs)
    transfer = transferred(module, checkpoint, data)
    names = ("vocab_size", "seq_len", "num_puzzles", "grid_conv")
    grown = any(theirs.get(name, 0) != module.hparams[name] for name in names)
    given = {**checkpoint[keys.STATE], **(transfer.state if grown else {})}
    expected = module.state_dict()
    for tensors in (given, expected):
        tensors.pop(keys.PUZZLE_EMBEDDING, None)  # its size may differ
    if faults := misfits(given, expected):
        raise InputError(f"{path} does not fit the module of the configuration: it {faults}")
    module.load_state_dict(transfer.state)
    rank_zero_info(f"From {path}: {transfer}.")
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


def transferred(module: TRMModule, checkpoint: dict[str, Any], data: PuzzleData | None) -> Transfer:
    """Return the tensors of a module with those of a checkpoint that fit, and what became of each."""
    theirs, state = checkpoint[keys.STATE], dict(module.state_dict())
    found = Transfer(state, [], [], 0, False, [])
    rows = rows_of_tokens(checkpoint, data)
    tokens, mean = checkpoint[keys.HYPER_PARAMETERS]["vocab_size"], False
    each = keys.HEAD in theirs and len(theirs[keys.HEAD]) == tokens  # not so in the network symmetric
    per_token = (keys.EMBEDDING, keys.HEAD) if each and rows is not None else ()
    for name, ours in state.items():
        their = theirs.get(name)
        if name == keys.PUZZLE_EMBEDDING and their is not None and their.shape[1:] == ours.shape[1:]:
            mean = their.shape != ours.shape or not (data is None or same_puzzles(data, checkpoint))
            state[name] = their.mean(dim=0, keepdim=True).expand_as(ours) if mean else their
            found.copied.extend([] if mean else [name])
        elif name in per_token and their.shape[1:] == ours.shape[1:]:
            state[name] = ours.clone()
            state[name][[new for new, _ in rows or ()]] = their[[old for _, old in rows or ()]].to(ours)
            found.by_token.append(name)
        elif their is not None and their.shape == ours.shape:
            state[name] = their
            found.copied.append(name)
        else:
            found.new.append(name)
    return found._replace(known=len(rows or ()), mean=mean)


def rows_of_tokens(checkpoint: dict[str, Any], data: PuzzleData | None) -> Sequence[tuple[int, int]] | None:
    """Return pairs of equal tokens, that of ``data`` and that of a checkpoint; None if all are the same.

    An older checkpoint names no tokens; they are then those of its class. One without a family has the tokens of
    ``data``, as far as they go.
    """
    if data is None:
        return None
    count, ours = checkpoint[keys.HYPER_PARAMETERS]["vocab_size"], list(data.token_names)
    theirs = checkpoint.get(keys.TOKENS)
    if theirs is None and keys.FAMILY in checkpoint:
        theirs = default_token_names(checkpoint[keys.FAMILY]["class_path"].rpartition(".")[2], count)
    if theirs is None:
        theirs = ours[:count]
    if theirs == ours:
        return None
    return [(new, theirs.index(name)) for new, name in enumerate(ours) if name in theirs]
