"""The check of an exported file against torch, before it is written: single steps, then whole answers.

Shapes: N puzzles, B puzzles of a batch, L grid cells.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trm.data import PuzzleData, Samples
from trm.data.samples import matches
from trm.errors import InputError, counted
from trm.inference import think
from trm.inference.halting import has_rules, head
from trm.module import TRMModule
from trm.nn import TRM, State

PUZZLES = 100
BATCHES = (1, 7, PUZZLES)
"""Sizes of the batches that are compared: one, an odd one, and all puzzles."""
TOLERANCE = 1e-3
"""Greatest difference of an output of a step, relative to its greatest magnitude: sums are taken in another order."""
MOST_LOST = 2
"""Puzzles of 100 that torch solves and the file may not: on hard boards a difference in the last digit can decide."""

Runner = Callable[..., Any]
"""Runs the exported step on arrays (tokens, answer, latent, puzzle vectors if any) and returns its five outputs."""


class Answered(NamedTuple):
    """How the answers of a file compare with those of torch."""

    equal: int
    """Number of puzzles with the same answer."""
    torch: int
    """Puzzles that torch solves."""
    file: int
    """Puzzles that the file solves."""
    lost: int
    """Puzzles that torch solves and the file does not."""


def sample_puzzles(data: PuzzleData) -> tuple[Samples, str]:
    """Return puzzles to compare on, and what they are: of the test split, or random tokens where it cannot be read."""
    try:
        samples = data.eval_samples("test", 0, min(PUZZLES, data.eval_size("test")))
        return samples, f"{counted(len(samples.inputs), 'puzzle')} of the test split"
    except InputError as error:
        tokens = np.random.default_rng(0).integers(1, data.vocab_size, (PUZZLES, data.seq_len), dtype=np.uint8)
        ids = np.zeros(PUZZLES, dtype=np.int32)
        return Samples(tokens, np.zeros_like(tokens), ids), f"{PUZZLES} random questions, since {error}"


@torch.no_grad()
def compare_steps(core: TRM, run: Runner, samples: Samples) -> float:
    """Return the greatest relative difference between two steps of torch and of a file, from the same states.

    Raises:
        InputError: if it is greater than ``TOLERANCE``; the message names the output and the batch.
    """
    inputs, ids = (torch.from_numpy(part.astype(np.int32)) for part in (samples.inputs, samples.puzzle_ids))
    worst = 0.0
    for batch in (size for size in BATCHES if size <= len(inputs)):
        state = State(*(part.contiguous() for part in core.start(batch)))
        vectors = () if core.puzzle_embedding is None else (core.puzzle_embedding(ids[:batch]),)
        for _ in range(2):
            output = core(state, inputs[:batch], *vectors)
            mine = (output.logits, output.halt, output.proceed, *output.state)
            theirs = run(*(part.numpy() for part in (inputs[:batch], *state, *vectors)))
            for name, one, other in zip(("logits", "halt", "proceed", "y", "z"), mine, theirs, strict=True):
                difference = _difference(one, other)
                if not difference <= TOLERANCE:
                    raise InputError(
                        f"the export differs from torch: {name} of {counted(batch, 'puzzle')} by {difference:.1e} "
                        f"of its greatest value, but at most {TOLERANCE:.0e} is accepted; nothing was written"
                    )
                worst = max(worst, difference)
            state = output.state
    return worst


def _difference(one: Tensor, other: Any) -> float:
    mine, theirs = one.numpy().astype(np.float64), np.asarray(other, dtype=np.float64)
    if mine.shape != theirs.shape:
        return np.inf
    return float(np.abs(mine - theirs).max(initial=0) / max(np.abs(mine).max(initial=0), 1.0))


def compare_answers(
    module: TRMModule,
    data: PuzzleData,
    answer: Callable[[Samples], NDArray[Any]],
    samples: Samples,
    threshold: float | None = None,
) -> Answered:
    """Return how the answers of a file, given by ``answer``, (N, L), compare with those of torch, with early exit.

    Torch exits above a halting probability of ``threshold``, by default that of the module.

    A puzzle is solved if its answer obeys the rules; of a family without rules, if it equals the label.

    Raises:
        InputError: if the file loses more than ``MOST_LOST`` of 100 puzzles.
    """
    inputs, ids = (torch.from_numpy(part.astype(np.int32)) for part in (samples.inputs, samples.puzzle_ids))
    depth, halting = module.hparams["supervision_steps"], head(threshold or module.hparams["halt_threshold"])
    found = think(module.core, inputs, ids, depth, halting).tokens.numpy().astype(np.uint8)
    theirs = answer(samples).astype(np.uint8)
    mine_solved, theirs_solved = (_solved(data, samples, tokens) for tokens in (found, theirs))
    lost = int((mine_solved & ~theirs_solved).sum())
    if lost * PUZZLES > MOST_LOST * len(found):
        raise InputError(
            f"torch solves {mine_solved.sum()} of {counted(len(found), 'puzzle')}, of which the export does not "
            f"solve {lost}, but at most {MOST_LOST} % are accepted; nothing was written"
        )
    same = int((found == theirs).all(axis=1).sum())
    return Answered(same, int(mine_solved.sum()), int(theirs_solved.sum()), lost)


def _solved(data: PuzzleData, samples: Samples, answers: NDArray[np.uint8]) -> NDArray[np.bool_]:
    if has_rules(data):
        valid = data.valid(samples.inputs, answers)
        assert valid is not None
        return valid
    return np.asarray(matches(answers, samples.labels) & samples.labelled)
