"""The cheapest early exit of a model that keeps a bound on the puzzles it loses, chosen on the validation split.

A puzzle is lost if one view with all supervision steps solves it, and the exit does not. The choice is a split
fixed-sequence test (Learn then Test, arXiv 2110.01052): one part of the puzzles orders the candidates, the other tests
them from the most expensive to the cheapest, and the first that fails ends the sequence. The bound of the chosen one
therefore holds although it was chosen among many.

Shapes: N puzzles, V views, B puzzles of a batch, R exit rules, T supervision steps, L grid cells.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trm.analysis.halting import rules_of
from trm.analysis.report import Facts, columns, labelled
from trm.data import ARC, PuzzleData
from trm.data.progress import Progress, unwatched
from trm.data.samples import Samples, Tokens, Views, matches
from trm.errors import InputError, counted
from trm.inference import HaltingContext, HaltingRule, think
from trm.inference.choice import MOST_VIEWS, InferenceChoice
from trm.inference.halting import TRAINING_THRESHOLD
from trm.inference.rollouts import Rollouts
from trm.inference.selection import SELECTIONS
from trm.module import TRMModule

CONFIDENCE = 0.95
"""Probability with which the bound holds."""
ORDERING = 4
"""One in this many puzzles orders the candidates; the others test them."""
NEVER = ("never", None)


class Candidate(NamedTuple):
    """An early exit with a number of views, and what it costs and loses."""

    halt: str
    """Early-exit rule."""
    setting: float | None
    """Threshold of head; None for the others."""
    views: int
    """Symmetric forms that are solved; the answer with the highest halting probability counts."""
    steps: float
    """Mean supervision steps of a puzzle, over all its views."""
    solved: float
    """Share of the testing puzzles that it solves."""
    lost_ordering: int
    """Puzzles lost among those that order the candidates."""
    lost: int
    """Puzzles lost among those that test them."""
    upper_bound: float | None = None
    """Upper bound on the share of lost puzzles; None if the sequence ended before."""


class Exits(NamedTuple):
    """The answer of every view of every puzzle at the exit of every rule."""

    answers: Tokens
    """Tokens, with the view undone, (R, N, V, L)."""
    halt: NDArray[np.float64]
    """Halting logit, (R, N, V)."""
    steps: NDArray[np.int64]
    """Supervision steps taken, (R, N, V)."""


def upper_bound(lost: int, count: int, confidence: float = CONFIDENCE) -> float:
    """Return the one-sided upper bound of Clopper and Pearson on a share, of which ``lost`` in ``count`` were seen."""
    if lost >= count:
        return 1.0
    logs = [math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1) for k in range(lost + 1)]

    def at_most_lost(share: float) -> float:
        terms = (c + k * math.log(share) + (count - k) * math.log1p(-share) for k, c in enumerate(logs))
        return math.fsum(map(math.exp, terms))

    low, high = lost / count, 1.0
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if at_most_lost(middle) > 1 - confidence else (low, middle)
    return high


def choose(
    module: TRMModule,
    data: PuzzleData,
    target_loss: float,
    batch_size: int = 256,
    seed: int = 0,
    watch: Progress = unwatched,
) -> tuple[InferenceChoice, Facts]:
    """Choose the exit of a model on its validation split.

    Args:
        module: a trained model, in evaluation mode.
        data: its family.
        target_loss: share of puzzles that may be lost.
        batch_size: puzzles in a forward pass.
        seed: seed of the views.
        watch: called with the numbers of supervision steps, over all puzzles, that have been and will be taken; the
            second grows if several views of a puzzle are worth a try.

    Returns:
        The choice, which is ``never`` with one view if nothing else holds the bound; and ``ordering`` and ``testing``,
        the numbers of puzzles, ``full``, a ``Candidate`` for all supervision steps, and ``candidates`` in the order of
        the test.

    Raises:
        InputError: if there are too few labelled validation puzzles to show so small a loss, or the family is ARC.
    """
    if not 0 < target_loss < 1:
        raise InputError(f"target_loss is {target_loss}, but must be greater than 0 and less than 1, such as 0.005")
    samples = validation(data, target_loss)
    rules = {name: rule for name, rule in rules_of(data).items() if name[0] != "stable" or name[1] == 1}
    rules = {NEVER: lambda context: torch.zeros_like(context.unchanged, dtype=torch.bool), **rules}
    ordering = np.arange(len(samples.inputs)) % ORDERING == 0
    steps, done, wanted = module.hparams["supervision_steps"], 0, 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        watch(done, wanted)

    def candidates(counts: list[int]) -> list[Candidate]:
        nonlocal wanted
        wanted += steps * counts[-1] * len(samples.inputs)
        exits = observe(module, samples, data.views(counts[-1], seed), list(rules.values()), batch_size, advance)
        return weigh(exits, samples, list(rules), counts, ordering)

    full, *others = candidates([1])
    most = min(MOST_VIEWS, steps - 1)  # more cost as much as all supervision steps
    two_views = 2 * min(c.steps for c in others)  # about what they cost at least: each takes as many steps as the first
    if not any(c.steps <= two_views and not c.lost_ordering for c in others):  # else a single view beats several
        full, *others = candidates(view_counts(data, most, seed))
    tested = in_turn(sequence(full, others), int((~ordering).sum()), target_loss)
    held = [c for c in tested if c.upper_bound is not None and c.upper_bound <= target_loss]
    best = held[-1] if held else full._replace(upper_bound=0.0)
    threshold = TRAINING_THRESHOLD if best.halt != "head" or best.setting is None else best.setting
    numbers = (target_loss, float(best.upper_bound or 0), CONFIDENCE, best.lost, int((~ordering).sum()), best.steps)
    choice = InferenceChoice(best.halt, threshold, best.views, *numbers)  # type: ignore[arg-type]  # a rule's name
    facts = {"ordering": int(ordering.sum()), "testing": int((~ordering).sum()), "full": full, "candidates": tested}
    return choice, facts


def validation(data: PuzzleData, target_loss: float) -> Samples:
    """Return the labelled validation puzzles.

    Raises:
        InputError: if they are too few, or the family is ARC.
    """
    if isinstance(data, ARC):
        raise InputError(
            "the model is of ARC, whose answers are elected from many augmentations of a task and whose validation "
            "samples are test inputs; trm tune needs a family with one board per question"
        )
    size = data.eval_size("val")
    samples = Samples(*map(np.concatenate, zip(*labelled(data, None, size, "val"), strict=True))) if size else None
    testing = len(samples.inputs) - -(-len(samples.inputs) // ORDERING) if samples else 0
    least = upper_bound(0, testing) if testing else 1.0
    if samples is None or least > target_loss:
        needed = math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-target_loss))
        raise InputError(
            f"target_loss is {target_loss:g}, which needs about "
            f"{counted(math.ceil(needed * ORDERING / (ORDERING - 1)), 'validation puzzle')} "
            f"with a label, but there are {len(samples.inputs) if samples else 0:,}"
            + (f"; accepted are at least {math.ceil(1e4 * least) / 1e4:g}" if least < 1 else "")
        )
    return samples


def view_counts(data: PuzzleData, most: int, seed: int) -> list[int]:
    """Return the powers of two up to ``most`` that a family has views for."""
    counts = [1]
    while 2 * counts[-1] <= most:
        try:
            data.views(2 * counts[-1], seed)
        except InputError:  # the family has fewer symmetries
            break
        counts.append(2 * counts[-1])
    return counts


def observe(
    module: TRMModule,
    samples: Samples,
    views: Views,
    rules: list[HaltingRule],
    batch_size: int,
    advance: Callable[[int], None] = lambda _: None,
) -> Exits:
    """Take all supervision steps with every view of every puzzle, and record the answer at the exit of each rule.

    ``advance`` is called with the number of supervision steps that have been taken since its last call.
    """
    most = len(views.cells)
    parts = []
    for first in range(0, len(samples.inputs), batch_size):
        questions = np.repeat(samples.inputs[first : first + batch_size], most, axis=0)
        ids = np.repeat(samples.puzzle_ids[first : first + batch_size], most)
        which = np.arange(len(questions)) % most
        for start in range(0, len(questions), batch_size):
            part = slice(start, start + batch_size)
            inputs = views.apply(questions[part], which[part])
            answers, halt, steps = _observe(module, inputs, ids[part], rules, advance)
            undone = [views.undo(answer, which[part]) for answer in answers]
            parts.append((np.stack(undone), halt, steps))
    answers, halt, steps = (np.concatenate(column, axis=1) for column in zip(*parts, strict=True))
    shape = (len(rules), len(samples.inputs), most)
    return Exits(answers.reshape(*shape, -1), halt.reshape(shape), steps.reshape(shape))


def _observe(
    module: TRMModule,
    questions: Tokens,
    puzzle_ids: NDArray[np.int32],
    rules: list[HaltingRule],
    advance: Callable[[int], None],
) -> tuple[Tokens, NDArray[np.float64], NDArray[np.int64]]:
    """Return answer, halting logit and number of steps at the exit of each rule, (R, B, L), (R, B), (R, B)."""
    tokens, halts, stops = list[Tensor](), list[Tensor](), list[Tensor]()

    def note(context: HaltingContext) -> Tensor:
        tokens.append(context.tokens.to(torch.uint8))
        halts.append(context.output.halt.double())
        stops.append(torch.stack([rule(context) for rule in rules]))
        advance(len(questions))
        return torch.zeros_like(stops[-1][0])

    inputs, ids = (torch.from_numpy(part.astype(np.int32)).to(module.device) for part in (questions, puzzle_ids))
    think(module.core, inputs, ids, module.hparams["supervision_steps"], note)
    stops[-1] = torch.ones_like(stops[-1])
    last = torch.stack(stops).int().argmax(0)  # (R, B)
    each = torch.arange(len(inputs), device=inputs.device)
    answers, halt = torch.stack(tokens)[last, each], torch.stack(halts)[last, each]
    return answers.cpu().numpy(), halt.cpu().numpy(), (last + 1).cpu().numpy()


def weigh(
    exits: Exits,
    samples: Samples,
    names: list[tuple[str, float | None]],
    counts: list[int],
    ordering: NDArray[np.bool_],
) -> list[Candidate]:
    """Return a candidate for each rule and number of views; the first is the first rule with one view."""
    found, full = [], None
    for count in counts:
        for rule, (halt, setting) in enumerate(names):
            answers = _selected(exits.answers[rule, :, :count], exits.halt[rule, :, :count])
            right = matches(answers, samples.labels)
            full = right if full is None else full
            lost, steps = full & ~right, exits.steps[rule, :, :count].sum(axis=1)
            shown = setting if halt == "head" else None
            known = (float(steps.mean()), float(right[~ordering].mean()))
            found.append(Candidate(halt, shown, count, *known, int(lost[ordering].sum()), int(lost[~ordering].sum())))
    return found


def _selected(answers: Tokens, halt: NDArray[np.float64]) -> Tokens:
    """Return the answers with the highest halting probability, (N, V, L) and (N, V) to (N, L), as a solver does."""
    count, views = halt.shape
    zeros = np.zeros(count * views)
    rollouts = Rollouts(
        np.repeat(np.arange(count), views),
        answers.reshape(count * views, -1),
        halt.reshape(-1),
        zeros,
        zeros.astype(np.bool_),
        zeros.astype(np.int64),
        zeros,
    )
    return rollouts.answers[SELECTIONS["halting"](rollouts) > 0]


def sequence(full: Candidate, candidates: list[Candidate]) -> list[Candidate]:
    """Return the candidates worth a test, from the most expensive, which is likely the safest, to the cheapest.

    Left out are those that cost as much as all supervision steps, and those that another undercuts and that, on the
    ordering puzzles, either lose more or lose as many with more views.
    """

    def worth(one: Candidate) -> bool:
        cheaper = [other for other in candidates if other.steps < one.steps]
        beaten = any((other.lost_ordering, other.views) < (one.lost_ordering, one.views) for other in cheaper)
        return one.steps < full.steps and not beaten

    return sorted(filter(worth, candidates), key=lambda candidate: (-candidate.steps, candidate.lost_ordering))


def in_turn(candidates: list[Candidate], count: int, target_loss: float) -> list[Candidate]:
    """Return the candidates with their bounds, up to the first whose bound exceeds the target."""
    tested, holds = [], True
    for candidate in candidates:
        bound = upper_bound(candidate.lost, count) if holds else None
        holds = bound is not None and bound <= target_loss
        tested.append(candidate._replace(upper_bound=bound))
    return tested


def tabulate(choice: InferenceChoice, facts: Facts) -> str:
    """Return a table for a terminal: all supervision steps, then the candidates in the order of the test."""
    rows = [
        [
            candidate.halt,
            "" if candidate.setting is None else f"{candidate.setting:g}",
            str(candidate.views),
            f"{candidate.steps:.3f}",
            f"{candidate.solved:.2%}",
            str(candidate.lost),
            "" if candidate.upper_bound is None else f"{candidate.upper_bound:.3%}",
        ]
        for candidate in (facts["full"], *facts["candidates"])
    ]
    head = ["rule", "threshold", "views", "steps", "solved", "lost", "at most"]
    sizes = (
        f"{counted(facts['testing'], 'validation puzzle')} tested; {facts['ordering']:,} others ordered the candidates"
    )
    return "\n".join([columns(head, rows), "", sizes, str(choice)])
