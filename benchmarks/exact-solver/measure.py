"""Guesses until the first solution of hard 9x9 boards, by what leads the search: ``hybrid.md`` and ``hybrid.json``.

Takes a checkpoint, a ``test.csv`` of the columns source,question,answer,rating, and a number of boards, which are drawn
from those of a rating of at least ``RATING`` (the guesses that a simple solver needs):

    python benchmarks/hybrid.py runs/cpu/checkpoints/last.ckpt FOLDER/test.csv 1000
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trm.analysis.report import table
from trm.checkpoints.load import load_checkpoint
from trm.data import Samples
from trm.data.samples import to_batch
from trm.data.sudoku.complete import Order, first_solutions, surest_cell
from trm.data.sudoku.solver import geometry, is_open
from trm.data.tables import read_table
from trm.inference import think
from trm.nn.losses import log_stablemax

RATING = 10
MADE_UP = (0.4, 0.6, 0.8, 0.9, 1.0)
RESULT = Path(__file__).with_suffix(".json")

TEXT = """# What a network saves an exact solver

Branching nodes of a depth-first search until the first solution, on {boards:,} of the {hard:,} boards of a test set
that a simple solver needs at least {rating} guesses for. Propagation is the same everywhere; only the cell to branch
on and the order of its digits differ. Written by `python benchmarks/hybrid.py CHECKPOINT TEST.CSV {boards}`.

{table}
The trained network saves nothing: it beats the solver's own order, but so does drawing among equal cells at random,
without a network, and then its order of digits is no better than a random one. A better network would save a great
deal, as the made-up ones show: of 60 to 90 % right, the surest cell needs the fewest guesses, and elsewhere it is close
to the fewest.

* Without a network: the cell with the fewest candidates, the first one of equals or a random one, and its digits in
  ascending or random order. The first row is the order of `trm/data/sudoku/solver.py`.
* Surest cell: where the network's likeliest digit has most of the probability of the candidates that are left, its
  likeliest digits first. This is what `complete` does.
* Naive trust: where the likeliest digit had most probability before anything was ruled out.
* The trained network is the small one of the README ({cells:.0%} of the blank cells of these boards right). The
  made-up ones have the given share of blank cells right, drawn independently, and a random confidence of
  50 to 100 % in every digit they name, so they do not know where they are wrong.
"""


def main(checkpoint: str, boards: str, count: int) -> None:
    """Measure every order and write the table."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    rows = read_table(Path(boards), 81, question_alphabet=".0123456789", answer_alphabet="123456789")
    hard = np.flatnonzero(rows.ratings >= RATING)
    chosen = rng.permutation(hard)[:count]
    questions, answers = (_digits(part[chosen]) for part in (rows.questions, rows.answers))
    logs, cells = _asked(checkpoint, questions, answers)
    leaders: list[tuple[str, str, Order, Any]] = [
        ("none", "fewest candidates: first cell, ascending digits", _tightest(None, digits=None), None),
        (
            "none",
            "fewest candidates: first cell, random digits",
            _tightest(None, digits=np.random.default_rng(1)),
            None,
        ),
        ("none", "fewest candidates: random cell and digits", _tightest(*[np.random.default_rng(2)] * 2), None),
        ("trained", "fewest candidates: first cell, likeliest digits", _likeliest(_tightest(None, None)), logs),
        (
            "trained",
            "fewest candidates: random cell, likeliest digits",
            _likeliest(_tightest(np.random.default_rng(3), None)),
            logs,
        ),
        ("trained", "naive trust", _naive, logs),
        ("trained", "surest cell", surest_cell, logs),
    ]
    for share in MADE_UP:
        made_up = _made_up(answers, share, rng)
        leaders += [
            (
                f"made up, {share:.0%} right",
                "fewest candidates: random cell, likeliest digits",
                _likeliest(_tightest(np.random.default_rng(4), None)),
                made_up,
            ),
            (f"made up, {share:.0%} right", "naive trust", _naive, made_up),
            (f"made up, {share:.0%} right", "surest cell", surest_cell, made_up),
        ]
    measured = []
    for network, name, order, led_by in leaders:
        found, guesses = first_solutions(questions, logs if led_by is None else led_by, geometry(9), order)
        assert (found == answers).all()
        error = guesses.std() / len(guesses) ** 0.5
        row = {
            "network": network,
            "order": name,
            "mean": round(float(guesses.mean()), 1),
            "standard_error": round(float(error), 1),
            "median": float(np.median(guesses)),
            "most": int(guesses.max()),
        }
        print(row, flush=True)
        measured.append(row)
    facts = {"boards": len(chosen), "hard": len(hard), "rating": RATING, "cells": round(cells, 3)}
    RESULT.write_text(json.dumps({**facts, "rows": measured}, indent=1) + "\n")
    lines = [
        (r["network"], r["order"], f"{r['mean']} ± {r['standard_error']}", f"{r['median']:g}", f"{r['most']:,}")
        for r in measured
    ]
    shown = table(["network", "order of the search", "mean guesses", "median", "most"], lines)
    RESULT.with_suffix(".md").write_text(TEXT.format(table=shown, **facts))


def _digits(characters: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.where(characters == ord("."), 0, characters - ord("0")).astype(np.uint8)


def _asked(
    checkpoint: str, questions: NDArray[np.uint8], answers: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], float]:
    """Return the network's log probabilities of the digits, and the share of blank cells that it has right."""
    module, _ = load_checkpoint(checkpoint)
    assert module.hparams.get("loss", "stablemax") == "stablemax"
    batch = to_batch(Samples(questions + np.uint8(1), answers + np.uint8(1), np.zeros(len(questions), dtype=np.int32)))
    given = think(module.core, batch.inputs, batch.puzzle_ids, module.hparams["supervision_steps"])
    right = (given.tokens == batch.labels)[batch.inputs == 1]
    return log_stablemax(given.logits)[..., 2:].numpy(), float(right.double().mean())


def _made_up(answers: NDArray[np.uint8], share: float, rng: np.random.Generator) -> NDArray[np.float64]:
    wrong = (answers + rng.integers(0, 8, answers.shape)) % 9  # the other digits, counted from 0
    named = np.where(rng.random(answers.shape) < share, answers - np.uint8(1), wrong)
    confidence = rng.uniform(0.5, 1, answers.shape)[..., None]
    return np.log(np.where(np.arange(9) == named[..., None], confidence, (1 - confidence) / 8))


def _tightest(cells: np.random.Generator | None, digits: np.random.Generator | None) -> Order:
    """Branch on a cell with the fewest candidates: the first one and ascending, or as the generators draw."""

    def order(masks: NDArray[np.uint16], logs: NDArray[np.floating]) -> tuple[int, list[int]]:
        counts = np.where(is_open(masks), np.bitwise_count(masks), 99.0)
        cell = int((counts + (cells.random(len(counts)) / 2 if cells else 0)).argmin())
        named = np.flatnonzero(masks[cell] >> np.arange(9) & 1)
        return cell, (digits.permutation(named) if digits else named).tolist()

    return order


def _likeliest(order: Order) -> Order:
    """Take the cell of another order, and its likeliest digits first."""

    def led(masks: NDArray[np.uint16], logs: NDArray[np.floating]) -> tuple[int, list[int]]:
        cell, digits = order(masks, logs)
        return cell, sorted(digits, key=lambda digit: -logs[cell, digit])

    return led


def _naive(masks: NDArray[np.uint16], logs: NDArray[np.floating]) -> tuple[int, list[int]]:
    cell = int(np.where(is_open(masks), logs.max(axis=1), -np.inf).argmax())
    named = np.flatnonzero(masks[cell] >> np.arange(9) & 1)
    return cell, named[np.argsort(-logs[cell, named])].tolist()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
