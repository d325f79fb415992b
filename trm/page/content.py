"""What a page knows of a model, in plain values: description, look, examples, and for ARC its tasks.

Shapes: P augmentations, E size of a puzzle vector.
"""

from typing import Any

import numpy as np

from trm.data import ARC, Maze, PuzzleData, Sudoku
from trm.data.arc.grids import COLOURS, FLIPS_COLUMNS, FLIPS_ROWS, INVERSES, SWAPS_AXES, TRANSFORMS
from trm.edge.rules import fault
from trm.errors import InputError
from trm.export.description import MOST_VIEWS
from trm.export.model import Exported
from trm.module import TRMModule
from trm.trace.theme import look

EXAMPLES = 20
"""Puzzles of the test split on a page."""
DESCRIBED = (
    *("cells", "tokens", "length", "supervision_steps", "halt_threshold", "start", "puzzle_vector"),
    *("symbols", "write", "views", "rules", "inference"),
)
"""Parts of the description of an exported file that the page reads."""


def content(exported: Exported, module: TRMModule, data: PuzzleData) -> tuple[dict[str, Any], bytes]:
    """Return what the page reads as JSON, and the puzzle vectors of its tasks; b"" without.

    Raises:
        InputError: if questions of the family cannot be given on a page.
    """
    about = exported.description
    if about["symbols"] is None and not isinstance(data, ARC):
        raise InputError(
            f"a page needs questions with a character per cell, but those of {type(data).__name__} have no such text; "
            "trm solve and trm trace accept them"
        )
    arc, vectors = _tasks(module, data) if isinstance(data, ARC) else (None, b"")
    parameters = sum(parameter.numel() for parameter in module.core.parameters())
    return {
        "model": {"name": about["name"], "weights": about["weights"]},
        "title": _title(data),
        "subtitle": f"{about['name']}, {parameters:,} parameters, {about['dtype']}; it runs in your browser",
        "about": {**{name: about[name] for name in DESCRIBED}, "loss": module.hparams["loss"]},
        "look": look(data)._asdict(),
        "examples": [] if arc else _examples(data, about["rules"]),
        "arc": arc,
    }, vectors


def _title(data: PuzzleData) -> str:
    """Return the name of the family, with its size if that has a sense."""
    name = type(data).__name__
    return f"{name} {data.size}×{data.size}" if isinstance(data, Sudoku | Maze) else name  # noqa: RUF001


def _examples(data: PuzzleData, rules: dict[str, Any] | None) -> list[str]:
    """Return questions of the test split as text; none where it cannot be read."""
    try:
        inputs = data.eval_samples("test", 0, min(EXAMPLES, data.eval_size("test"))).inputs
    except InputError:
        return []
    return [data.write(question) for question in inputs if not fault(rules, question.astype(np.int64))]


def _tasks(module: TRMModule, data: ARC) -> tuple[dict[str, Any], bytes]:
    """Return the tables of the tasks in training and of the symmetries of any other, and the puzzle vectors, (P, E).

    Of a task the first ``MOST_VIEWS`` augmentations are included, and of other tasks as many random ones, since their
    own depend on the task.
    """
    table, embedding = data.symmetries, module.core.puzzle_embedding
    tasks, ids = [], np.zeros(0, dtype=np.int64)
    for index, puzzle in enumerate(data.puzzles):
        first, last = table.first[index : index + 2]
        mine = np.arange(first, min(last, first + MOST_VIEWS))
        tasks.append(
            {
                "name": puzzle.name,
                "first": len(ids),
                "transforms": table.transforms[mine].tolist(),
                "colours": table.colours[mine].tolist(),
                "train": [[question.tolist(), answer.tolist()] for question, answer in puzzle.train_pairs],
                "test": [question.tolist() for question in puzzle.test_inputs],
            }
        )
        ids = np.concatenate([ids, mine])
    rng = np.random.default_rng(0)
    others = [[0, *(1 + rng.permutation(COLOURS - 1)).tolist()] for _ in range(MOST_VIEWS - 1)]
    turns = [0, *rng.integers(TRANSFORMS, size=MOST_VIEWS - 1).tolist()]
    return {
        "side": data.side,
        "transforms": np.column_stack([FLIPS_ROWS, FLIPS_COLUMNS, SWAPS_AXES]).astype(int).tolist(),
        "inverses": INVERSES.tolist(),
        "blank": {"transforms": turns, "colours": [list(range(COLOURS)), *others]},
        "tasks": tasks,
        "vectors": embedding is not None,
    }, b"" if embedding is None else embedding.weights[ids].float().cpu().numpy().astype("<f4").tobytes()
