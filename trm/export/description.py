"""The description in an exported file, in plain values: everything that a runtime without ``trm`` needs to solve.

The format is that of ``trm.edge``, which reads it. Classes are named, never imported. No local folder is in it.
"""

from typing import Any

import numpy as np

import trm
from trm.arguments import class_path
from trm.checkpoints.sharing import shareable
from trm.checkpoints.summary import weights_digest
from trm.data import Maze, PuzzleData, Sudoku
from trm.data.maze import paths
from trm.data.maze import text as maze_text
from trm.data.sudoku import text as sudoku_text
from trm.edge.model import FORMAT, packed
from trm.errors import InputError
from trm.inference.choice import InferenceChoice
from trm.module import TRMModule
from trm.nn import TRM
from trm.training import checkpoint_keys as keys

MOST_VIEWS = 16
"""Symmetries that a file contains; Sudoku has millions."""


def describe(content: dict[str, Any], module: TRMModule, data: PuzzleData, name: str) -> dict[str, Any]:
    """Return the description of a model, in plain values.

    Args:
        content: content of its checkpoint.
        module: the module.
        data: its family.
        name: name of the model, not a path.
    """
    core, hparams = module.core, module.hparams
    given = {keys.FAMILY: data.family, **content}
    embedding = core.puzzle_embedding
    symbols, write = _notation(data)
    views, rules = _views(data), rules_as_data(data)
    return {
        "format": FORMAT,
        "written_by": f"trm {trm.__version__}",
        "name": name,
        "kind": "step",
        "module": class_path(type(module)),
        "family": shareable(given, data)[keys.FAMILY],
        "hparams": dict(content[keys.HYPER_PARAMETERS]),
        "cells": int(hparams["seq_len"]),
        "tokens": int(hparams["vocab_size"]),
        "length": core.length,
        "parameters": sum(parameter.numel() for parameter in core.parameters()),
        "weights": weights_digest(content),
        "supervision_steps": int(hparams["supervision_steps"]),
        "halt_threshold": float(hparams["halt_threshold"]),
        "start": {part: packed(value) for part, value in start_values(core).items()},
        "puzzle_vector": None if embedding is None else packed(embedding.weights[data.first_id].cpu().numpy()),
        "symbols": symbols,
        "write": write,
        "views": views,
        "rules": rules,
        "inference": _inference(module.inference_choice, len(views["cells"]), rules is not None),
    }


def _inference(choice: InferenceChoice | None, views: int, has_rules: bool) -> dict[str, Any] | None:
    """Return what ``trm tune`` chose for a model; None if there is nothing, or the file lacks its views or rules."""
    if choice is None or choice.views > views or (choice.halt == "rules" and not has_rules):
        return None
    return dict(choice._asdict())


def start_values(core: TRM) -> dict[str, Any]:
    """Return the initial answer and latent of a network: (1, D) if it is the same at all S tokens, else (S, D)."""
    parts = {part: value[0].detach().float().cpu().numpy() for part, value in core.start(1)._asdict().items()}
    return {part: value[:1] if (value == value[:1]).all() else value for part, value in parts.items()}


def _views(data: PuzzleData) -> dict[str, Any]:
    """Return the first symmetries of a family: the source of each cell and the replacement of each token."""
    count = MOST_VIEWS
    while True:
        try:
            views = data.views(count)
        except InputError:  # the family has fewer
            if count == 1:
                raise
            count //= 2
        else:
            return {"cells": views.cells.tolist(), "tokens": views.tokens.tolist()}


def _notation(data: PuzzleData) -> tuple[dict[str, int] | None, str | None]:
    """Return the token of each character of a question, and the character of each token; None without such text."""
    boards = np.repeat(np.arange(data.vocab_size, dtype=np.uint8)[:, None], data.seq_len, axis=1)
    try:
        texts = [data.write(board) for board in boards]
    except (IndexError, KeyError, ValueError):  # a family whose boards cannot consist of one token alone
        return None, None
    if any(len(text) != data.seq_len or len(set(text)) != 1 for text in texts):
        return None, None
    write = "".join(text[0] for text in texts)
    if type(data) is Sudoku:
        digits = sudoku_text.notation(data.size).question
        return {symbol: digit + 1 for symbol, digit in digits.items()}, write
    if type(data) is Maze:
        return dict(maze_text.notation(data.size).question), write
    return {symbol: token for token, symbol in enumerate(write) if token}, write  # token 0 is padding


def rules_as_data(data: PuzzleData) -> dict[str, Any] | None:
    """Return the rules of a built-in family; None for any other, subclasses included, whose rules may differ."""
    if type(data) is Sudoku:
        kinds, size = ("row", "column", "box"), data.size
        units = {f"{kinds[n // size]} {n % size + 1}": unit.tolist() for n, unit in enumerate(data.geometry.units)}
        return {"kind": "units", "grid": [size, size], "first": 2, "units": units, "write": _notation(data)[1]}
    if type(data) is Maze:
        names = {"wall": paths.WALL, "free": paths.FREE, "start": paths.START, "goal": paths.GOAL, "path": paths.PATH}
        return {"kind": "path", "grid": [data.size, data.size], **names}
    return None
