"""Checks of the state that training continues from, before Lightning restores it."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from trm.batch import as_batch
from trm.errors import InputError
from trm.nn import TRM
from trm.training import checkpoint_keys as keys
from trm.training.latents import start_all
from trm.training.optim import AdamATan2


def check_loops(trainer: Trainer, stage: str, checkpoint: Mapping[str, Any]) -> None:
    """Check that the progress in a checkpoint has the structure of that of the trainer; a shared model has none.

    Args:
        trainer: the trainer.
        stage: what it will do: "fit", "validate", "test" or "predict".
        checkpoint: the checkpoint.

    Raises:
        InputError: naming the first value that is missing or of another kind.
    """
    loops = checkpoint.get(keys.LOOPS)
    if loops is None:
        return
    own = {
        "fit": trainer.fit_loop,
        "validate": trainer.validate_loop,
        "test": trainer.test_loop,
        "predict": trainer.predict_loop,
    }
    name = f"{stage}_loop"
    _check_same({name: {**own[stage].state_dict(), keys.STATE: {}}}, loops, keys.LOOPS)
    if stage == "fit":
        loaders = loops[name][keys.STATE].get("combined_loader", [])
        _check_same([{}] * len(loaders) if isinstance(loaders, list) else [], loaders, f"{keys.LOOPS}, loaders,")


def check_optimizer(optimizer: AdamATan2, checkpoint: dict[str, Any]) -> None:
    """Check that the state of optimizer and schedule in a checkpoint is that of an optimizer.

    Raises:
        InputError: naming the first value that is missing, of another kind or of another shape.
    """
    schedule = LambdaLR(optimizer, lambda step: 1.0).state_dict()
    groups = optimizer.state_dict()["param_groups"]
    _check_same([{"state": {}, "param_groups": groups}], checkpoint[keys.OPTIMIZERS], keys.OPTIMIZERS)
    schedules: Any
    (saved,), schedules = checkpoint[keys.OPTIMIZERS], checkpoint.get(keys.SCHEDULERS)
    _check_same([{"lr_lambdas": schedule["lr_lambdas"]}], schedules, keys.SCHEDULERS)
    if unknown := schedules[0].keys() - schedule.keys():
        raise InputError(f"the checkpoint is damaged: its {keys.SCHEDULERS} have {min(unknown, key=repr)!r}")
    _check_same([schedule], [{**schedule, **schedules[0]}], keys.SCHEDULERS)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    same_order = [group["params"] for group in groups] == [group["params"] for group in saved["param_groups"]]
    if not same_order or not all(
        index in range(len(parameters)) and _is_state_of(parameters[index], state)
        for index, state in saved["state"].items()
    ):
        raise InputError(f"the checkpoint is damaged: its {keys.OPTIMIZERS} do not fit the parameters of the network")


def check_slots(saved: list[dict[str, Tensor]], core: TRM, vocab_size: int) -> None:
    """Check that the slots of a checkpoint are those of a network.

    Raises:
        InputError: if a tensor is missing, or has another shape or tokens beyond the vocabulary.
    """
    names = {"y", "z", "inputs", "labels", "puzzle_ids", "steps", "halted"}
    for slots in saved:
        if missing := names - slots.keys():
            raise InputError(f"the checkpoint is damaged: its slots lack {min(missing)}")
        count = len(slots["steps"]) if slots["steps"].dim() else 0
        start, length = start_all(core, count), core.length - core.puzzle_tokens
        rows = len(core.puzzle_embedding.weights) if core.puzzle_embedding is not None else torch.inf
        shapes = {"y": start.y.shape, "z": start.z.shape, **dict.fromkeys(("steps", "halted", "puzzle_ids"), (count,))}
        wrong = [name for name, shape in shapes.items() if tuple(slots[name].shape) != tuple(shape)]
        if wrong or slots["halted"].dtype != torch.bool:
            raise InputError(f"the slots of the checkpoint do not fit the network: {', '.join(wrong) or 'halted'}")
        try:
            batch = as_batch((slots["inputs"], slots["labels"], slots["puzzle_ids"]), length, vocab_size, chunked=False)
        except InputError as error:
            raise InputError("the slots of the checkpoint do not fit the network: their puzzles are others") from error
        if count and not 0 <= int(batch.puzzle_ids.min()) <= int(batch.puzzle_ids.max()) < rows:
            raise InputError(
                f"the slots of the checkpoint have puzzle ids that are not among the {rows} of the network"
            )


def _is_state_of(parameter: Tensor, state: Any) -> bool:
    """Return whether the state of an optimizer consists of scalars and of tensors as large as their parameter."""
    parts = state.values() if isinstance(state, dict) else [None]
    return all(isinstance(part, Tensor) and (not part.dim() or part.shape == parameter.shape) for part in parts)


def _check_same(expected: Any, found: Any, where: str) -> None:
    """Check that a value has all parts of ``expected``, each of the same kind; an empty part stands for any content."""
    kind: Any = (int, float) if type(expected) is float else type(expected)
    if not isinstance(found, kind) and not (isinstance(expected, tuple) and isinstance(found, list)):
        raise InputError(f"the checkpoint is damaged: its {where} is a {type(found).__name__}")
    if isinstance(expected, dict):
        for key, part in expected.items():
            if key not in found:
                raise InputError(f"the checkpoint is damaged: its {where} lacks {key}")
            _check_same(part, found[key], f"{where}, {key},")
    if isinstance(expected, (list, tuple)):
        if expected and len(expected) != len(found):
            raise InputError(f"the checkpoint is damaged: its {where} has {len(found)} entries, not {len(expected)}")
        for part, other in zip(expected, found, strict=False):
            _check_same(part, other, where)
