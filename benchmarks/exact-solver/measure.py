"""Count the guesses that an exact solver needs on hard 9x9 boards, led by a network or not.

Takes a checkpoint and a ``test.csv`` of the columns source,question,answer,rating. The boards are drawn from those of a
rating of at least ``RATING`` (the guesses that a simple solver needs):

    make bench-exact-solver ARGS='CHECKPOINT FOLDER/test.csv'
"""

import argparse
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
from trm.data.sudoku.text import notation
from trm.data.tables import read_table
from trm.inference import think
from trm.nn.losses import log_stablemax
from trm.provenance import PROJECT, commit, environment

RATING = 10
MADE_UP = (0.4, 0.6, 0.8, 0.9, 1.0)
HERE = Path(__file__).parent


def tables() -> dict[str, str]:
    """Return the table of the committed results."""
    rows = json.loads((HERE / "data.json").read_text())["rows"]
    lines = [
        (r["network"], r["order"], f"{r['mean']} ± {r['standard_error']}", f"{r['median']:g}", f"{r['most']:,}")
        for r in rows
    ]
    return {"guesses": table(["network", "order of the search", "mean guesses", "median", "most"], lines)}


def orders(
    logs: NDArray[np.float64], answers: NDArray[np.uint8], rng: np.random.Generator
) -> list[tuple[str, str, Order, NDArray[np.float64]]]:
    """Return the orders of search to compare: the network, the name, the order and the log probabilities it uses."""
    first, likeliest = "fewest candidates: first cell", "fewest candidates: random cell, likeliest digits"
    found: list[tuple[str, str, Order, NDArray[np.float64]]] = [
        ("none", f"{first}, ascending digits", _tightest(None, digits=None), logs),
        ("none", f"{first}, random digits", _tightest(None, digits=np.random.default_rng(1)), logs),
        ("none", "fewest candidates: random cell and digits", _tightest(*[np.random.default_rng(2)] * 2), logs),
        ("trained", f"{first}, likeliest digits", _likeliest(_tightest(None, None)), logs),
        ("trained", likeliest, _likeliest(_tightest(np.random.default_rng(3), None)), logs),
        ("trained", "naive trust", _naive, logs),
        ("trained", "surest cell", surest_cell, logs),
    ]
    for share in MADE_UP:
        network, made_up = f"made up, {share:.0%} right", _made_up(answers, share, rng)
        found += [
            (network, likeliest, _likeliest(_tightest(np.random.default_rng(4), None)), made_up),
            (network, "naive trust", _naive, made_up),
            (network, "surest cell", surest_cell, made_up),
        ]
    return found


def measure(checkpoint: str, boards: Path, count: int) -> dict[str, Any]:
    """Search every board by every order and return means, medians and maxima of the guesses."""
    rng = np.random.default_rng(0)
    rows = read_table(boards, notation(9))
    hard = np.flatnonzero(rows.ratings >= RATING)
    chosen = rng.permutation(hard)[:count]
    questions, answers = rows.questions[chosen], rows.answers[chosen]
    logs, cells = _asked(checkpoint, questions, answers)
    measured = []
    for network, name, order, led_by in orders(logs, answers, rng):
        found, guesses = first_solutions(questions, led_by, geometry(9), order)
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
    return {**facts, "machine": environment(), "commit": commit(PROJECT), "rows": measured}


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


def main(argv: list[str] | None = None) -> int:
    """Measure every order and write ``data.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="of 9x9 Sudoku: a file written by trm fit, or a model of the zoo")
    parser.add_argument("boards", type=Path, help="a CSV file with the column rating")
    parser.add_argument("--count", type=int, default=1000, help="boards to search (default: 1000)")
    parser.add_argument("--into", type=Path, default=HERE, help="folder of the results (default: this one)")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    facts = measure(given.checkpoint, given.boards, given.count)
    (given.into / "data.json").write_text(json.dumps(facts, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
