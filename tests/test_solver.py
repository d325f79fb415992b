"""``Solver``: rollouts that differ by noise and view, how an answer is elected, and what may be spent on it."""

from typing import Any

import numpy as np
import pytest
import torch
from ranks import Guess, small_module

from trm.data import Maze, PuzzleData, Sudoku
from trm.data.samples import Samples
from trm.data.voting import rank
from trm.errors import InputError
from trm.inference import think
from trm.inference.halting import head
from trm.inference.rollouts import Rollouts, gaussian_noise, relative_change
from trm.inference.selection import SELECTIONS
from trm.module import TRMModule
from trm.nn import State
from trm.solver import Solver

DEPTH = 5


@pytest.fixture(scope="module")
def samples() -> Samples:
    return Guess().samples("test")


def solver(**options: Any) -> Solver:
    return Solver((small_module().eval(), Guess()), **{"depth": DEPTH, **options})


# -- rollouts ---------------------------------------------------------------------------------------------------------


def test_without_options_it_answers_as_thinking_until_the_head_says_so(samples: Samples) -> None:
    core = small_module().eval().core
    inputs, puzzles = torch.from_numpy(samples.inputs).int(), torch.from_numpy(samples.puzzle_ids)
    threshold = float(think(core, inputs, puzzles, 1).halt.quantile(0.7).sigmoid())
    answers = think(core, inputs, puzzles, DEPTH, head(threshold))
    solutions = solver(halt_threshold=threshold).solve(samples.inputs, samples.puzzle_ids)
    assert np.array_equal([solution.answer for solution in solutions], answers.tokens)
    assert [solution.steps for solution in solutions] == answers.steps.tolist()
    assert len(answers.steps.unique()) > 1
    np.testing.assert_allclose([s.confidence for s in solutions], answers.halt.sigmoid(), rtol=1e-6)
    assert {(s.agreement, s.rollouts, s.candidates[0].weight) for s in solutions} == {(1, 1, 1)}
    assert [s.verdict.valid for s in solutions] == [s.candidates[0].valid for s in solutions]


def test_the_first_rollout_is_without_noise_and_the_others_differ(samples: Samples) -> None:
    plain = solver().roll_out(samples.inputs, samples.puzzle_ids)
    noisy = solver(breadth=4, noise=0.5).roll_out(samples.inputs, samples.puzzle_ids)
    of_puzzles = noisy.halt.reshape(len(samples.inputs), 4)
    assert np.array_equal(noisy.puzzles, np.repeat(np.arange(len(samples.inputs)), 4))
    np.testing.assert_allclose(of_puzzles[:, 0], plain.halt, rtol=1e-5)
    assert all(len(set(row.tolist())) == 4 for row in of_puzzles)


@pytest.mark.parametrize("option", ["noise", "start_noise"])
def test_a_puzzle_has_its_own_noise_in_whatever_batch_it_is(option: str, samples: Samples) -> None:
    together = solver(breadth=3, **{option: 0.4}).roll_out(samples.inputs, samples.puzzle_ids)
    halves = solver(breadth=3, batch_size=7, **{option: 0.4}).roll_out(samples.inputs[::-1], samples.puzzle_ids[::-1])
    backwards = halves.halt.reshape(-1, 3)[::-1].ravel()
    np.testing.assert_allclose(backwards, together.halt, rtol=1e-4)
    others = solver(breadth=3, seed=1, **{option: 0.4}).roll_out(samples.inputs, samples.puzzle_ids)
    assert np.array_equal(others.halt != together.halt, np.arange(len(others.halt)) % 3 > 0)


def test_noise_has_the_spread_that_was_asked_for_and_goes_where_it_belongs() -> None:
    zeros = State(torch.zeros(3, 50, 60), torch.zeros(3, 50, 60))
    add_noise = gaussian_noise([None, 1, 2], latent=0.5, start=2.0, device=torch.device("cpu"))
    first = add_noise(zeros, torch.arange(3))
    second = add_noise(State(zeros.y[:2], zeros.z[:2]), torch.tensor([0, 2]))
    assert not first.y[0].any()
    assert not first.z[0].any()
    assert not second.y.any()
    assert first.y[1:].std().item() == pytest.approx(2, rel=0.05)
    assert first.z[1:].std().item() == pytest.approx(np.hypot(2, 0.5), rel=0.05)
    assert second.z[1].std().item() == pytest.approx(0.5, rel=0.05)
    assert not torch.equal(first.y[1], first.y[2])


def test_the_residual_is_how_much_the_last_step_changed_the_state(samples: Samples) -> None:
    rollouts = solver(halt="never", depth=3).roll_out(samples.inputs, samples.puzzle_ids)
    core, inputs = small_module().eval().core, torch.from_numpy(samples.inputs).int()
    table = core.puzzle_embedding(torch.from_numpy(samples.puzzle_ids))
    states = [core.start(len(inputs))]
    with torch.no_grad():
        for _ in range(3):
            states.append(core(states[-1], inputs, table).state)
    before, after = (torch.cat([part.flatten(1) for part in state], dim=1).double() for state in states[-2:])
    expected = (after - before).norm(dim=1) / before.norm(dim=1)
    np.testing.assert_allclose(rollouts.residuals, expected, rtol=1e-6)
    assert torch.equal(relative_change(states[0], states[0]), torch.zeros(len(inputs), dtype=torch.float64))


# -- views ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        Sudoku(4, train_size=20, val_size=5, test_size=5, clues=(8, 8)),
        Sudoku(6, train_size=20, val_size=5, test_size=5, clues=(20, 20)),
        Maze(7, train_size=20, val_size=5, test_size=5),
    ],
    ids=["4x4", "6x6", "maze"],
)
def test_views_are_puzzles_of_the_family_and_can_be_undone(data: PuzzleData, tmp_path: Any) -> None:
    data.root = tmp_path
    samples, views = data.samples("train").take(slice(0, 8)), data.views(8, seed=3)
    which = np.arange(8)
    questions, answers = views.apply(samples.inputs, which), views.apply(samples.labels, which)
    assert data.valid(questions, answers).all()
    assert np.array_equal(questions[0], samples.inputs[0])
    assert len({view.tobytes() for view in views.apply(samples.inputs[[0] * 8], which)}) > 4
    assert np.array_equal(views.undo(answers, which), samples.labels)


def test_views_are_refused_where_a_family_has_not_so_many() -> None:
    with pytest.raises(InputError, match="views is 2, but Guess has no symmetries"):
        solver(views=2)
    with pytest.raises(InputError, match="views is 9, but a maze has 8 symmetries"):
        Maze(7).views(9)


# -- election ---------------------------------------------------------------------------------------------------------

HASHES = np.array([7, 7, 8, 9, 8, 5, 6], dtype=np.uint64)
CONFIDENCES = np.array([0.1, 0.2, 0.9, 0.8, 0.3, 0.5, 0.5])
ROLLOUTS = Rollouts(
    puzzles=np.array([0, 0, 0, 0, 0, 1, 1]),
    answers=HASHES.astype(np.uint8)[:, None],
    halt=np.log(CONFIDENCES / (1 - CONFIDENCES)),
    residuals=np.array([0.3, 0.3, 0.2, 0.1, 0.4, 0.2, 0.1]),
    valid=np.array([False, True, True, False, True, False, False]),
    steps=np.array([2, 1, 3, 1, 2, 4, 4]),
    top1=np.array([0.5, 0.6, 0.6, 0.7, 0.9, 0.8, 0.9]),
)


@pytest.mark.parametrize(
    ("select", "weights"),
    [
        ("vote", [1, 1, 1, 1, 1, 1, 1]),
        ("halting", [0, 0, 1, 0, 0, 1, 0]),
        ("confident", [0, 0, 0.9, 0.8, 0.3, 0.5, 0]),
        ("first", [0, 0, 0, 1, 0, 1, 0]),  # of equally fast rollouts the more confident one
        ("top1", [0, 0, 0, 0, 1, 0, 1]),
        ("residual", [0, 0, 0, 1, 0, 0, 1]),
        ("verifier", [0, 1, 0, 0, 0, 1, 1]),
    ],
)
def test_a_selection_weighs_the_rollouts(select: Any, weights: list[float]) -> None:
    assert SELECTIONS[select](ROLLOUTS) == pytest.approx(weights)


def test_answers_are_ranked_by_weight_then_confidence() -> None:
    ones = np.ones(7)
    ranking = rank(ROLLOUTS.puzzles, HASHES, ones, ones, CONFIDENCES)
    assert ranking.hashes.tolist() == [8, 7, 9, 5, 6]
    assert ranking.puzzles.tolist() == [0, 0, 0, 1, 1]
    assert ranking.votes.tolist() == [2, 2, 1, 1, 1]
    assert ranking.first.tolist() == [2, 0, 3, 5, 6]
    np.testing.assert_allclose(ranking.confidences, [0.6, 0.15, 0.8, 0.5, 0.5])
    nothing = rank(*(np.zeros(0, dtype=np.int64) for _ in range(5)))
    assert len(nothing.first) == 0


def test_the_alternatives_share_the_weight_and_the_first_has_most(samples: Samples) -> None:
    solutions = solver(breadth=6, noise=1.0, select="vote").solve(samples.inputs, samples.puzzle_ids)
    for solution in solutions:
        assert sum(candidate.weight for candidate in solution.candidates) == pytest.approx(1)
        assert solution.rollouts == 6
        assert solution.candidates[0].votes == max(candidate.votes for candidate in solution.candidates)
        assert solution.agreement == pytest.approx(solution.candidates[0].weight)
    assert any(len(solution.candidates) > 1 for solution in solutions)


# -- completion -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["stablemax", "softmax"])
@pytest.mark.parametrize("family", ["sudoku", "maze"])
def test_with_completion_every_answer_obeys_the_rules(family: str, loss: Any, tmp_path: Any) -> None:
    sizes = {"train_size": 20, "val_size": 5, "test_size": 12, "root": str(tmp_path)}
    data = Sudoku(4, **sizes, clues=(6, 6)) if family == "sudoku" else Maze(7, **sizes)
    torch.manual_seed(0)
    small: Any = {"hidden_size": 16, "num_heads": 2, "multiple_of": 8, "supervision_steps": 2}
    module = TRMModule(data.vocab_size, data.seq_len, loss=loss, **small)
    samples = data.samples("test")
    plain = Solver((module.eval(), data)).solve(samples.inputs, samples.puzzle_ids)
    completed = Solver((module.eval(), data), complete=True, batch_size=5).solve(samples.inputs, samples.puzzle_ids)
    assert not all(solution.verdict.valid for solution in plain)
    assert all(solution.verdict.valid for solution in completed)
    for before, after in zip(plain, completed, strict=True):
        assert data.verify(after.question, after.answer).valid
        assert (after.completion is None) == before.verdict.valid
        assert after.steps == (1 if before.verdict.valid else 2) * before.steps
        assert after.gflop / after.steps == pytest.approx(before.gflop / before.steps)


# -- cost -------------------------------------------------------------------------------------------------------------


def test_the_verifier_looks_no_further_than_the_first_valid_answer(samples: Samples) -> None:
    all_of_them = solver(breadth=8, noise=0.5, select="vote", halt="rules").roll_out(samples.inputs, samples.puzzle_ids)
    valid = all_of_them.valid.reshape(-1, 8)
    rollouts = solver(breadth=8, noise=0.5, select="verifier").roll_out(samples.inputs, samples.puzzle_ids)
    counts = np.bincount(rollouts.puzzles)
    waves = np.array([1, 2, 4, 8])  # rollouts that have been begun by the end of each wave
    enough = np.where(valid.any(1), valid.argmax(1) + 1, 8)
    assert counts.tolist() == waves[np.searchsorted(waves, enough)].tolist()
    solutions = solver(breadth=8, noise=0.5, select="verifier").solve(samples.inputs, samples.puzzle_ids)
    assert [solution.verdict.valid for solution in solutions] == valid.any(1).tolist()


@pytest.mark.parametrize("budget", [1, 3, 5, 12, 40])
def test_a_budget_is_never_exceeded(budget: int, samples: Samples) -> None:
    options: dict[str, Any] = {"breadth": 8, "noise": 0.5, "budget": budget}
    solutions = solver(**options, select="vote").solve(samples.inputs, samples.puzzle_ids)
    assert all(1 <= solution.steps <= budget for solution in solutions)
    if budget < 8:
        assert {solution.rollouts for solution in solutions} != {8}


def test_operations_are_those_of_the_steps(samples: Samples) -> None:
    asked = solver(breadth=2, noise=0.1)
    (solution,) = asked.solve(samples.inputs[:1], samples.puzzle_ids[:1])
    assert solution.gflop == pytest.approx(solution.steps * asked.gflop_per_step)
    assert solution.gflop > 0


def test_it_abstains_below_the_confidence_that_was_asked_for(samples: Samples) -> None:
    solutions = solver().solve(samples.inputs, samples.puzzle_ids)
    median = float(np.median([solution.confidence for solution in solutions]))
    careful = solver(abstain=median).solve(samples.inputs, samples.puzzle_ids)
    assert [solution.abstains for solution in careful] == [solution.confidence < median for solution in careful]
    assert 0 < sum(solution.abstains for solution in careful) < len(careful)


def test_the_head_halts_at_no_confidence_that_it_would_abstain_from(samples: Samples) -> None:
    core = small_module().eval().core
    inputs, puzzles = torch.from_numpy(samples.inputs).int(), torch.from_numpy(samples.puzzle_ids)
    least = float(think(core, inputs, puzzles, 1).halt.quantile(0.3).sigmoid())
    hasty = solver(halt_threshold=least).roll_out(samples.inputs, samples.puzzle_ids)
    above = float(np.median(hasty.confidences))
    careful = solver(halt_threshold=least, abstain=above).roll_out(samples.inputs, samples.puzzle_ids)
    assert (careful.steps >= hasty.steps).all()
    assert (careful.steps > hasty.steps).any()
    assert ((careful.confidences > above) | (careful.steps == DEPTH)).all()
    assert (solver(abstain=1.0).roll_out(samples.inputs, samples.puzzle_ids).steps == DEPTH).all()


def test_a_valid_answer_halts_at_no_confidence_that_it_would_abstain_from() -> None:
    board = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."
    hasty = Solver("sudoku-9x9", halt="rules", depth=64).solve(board)
    careful = Solver("sudoku-9x9", halt="rules", depth=64, abstain=min(hasty.confidence + 0.001, 1)).solve(board)
    assert (hasty.verdict.valid, careful.verdict.valid) == (True, True)
    assert careful.steps > hasty.steps


def test_an_answer_of_the_exact_solver_is_no_abstention() -> None:
    (solution,) = Solver("sudoku-9x9", abstain=1.0, depth=1, complete=True).solve(
        ["...3.45.212...7.3...49...8...6...4.7.3.....1........9..8.5.6....67.....3..37.2..."]
    )
    assert solution.completion
    assert not solution.abstains


def test_questions_of_another_shape_or_vocabulary_are_refused(samples: Samples) -> None:
    with pytest.raises(InputError, match=r"the questions have shape \(50, 1\)"):
        solver().solve(samples.inputs[:, :1])
    with pytest.raises(InputError, match="question 0 has token 6 in cell 0"):
        solver().solve(np.full_like(samples.inputs, 6))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"breadth": 0}, "breadth is 0"),
        ({"breadth": 2}, "breadth is 2, but without noise all rollouts of a view are the same"),
        ({"noise": -0.1}, "noise is -0.1"),
        ({"select": "best"}, "select is 'best'"),
        ({"budget": -1}, "budget is -1"),
        ({"abstain": 1.5}, "abstain is 1.5"),
        ({"abstain": -0.1}, "abstain is -0.1"),
        ({"abstain": float("nan")}, "abstain is nan"),
        ({"abstain": "high"}, "abstain is 'high', but must be auto or a number from 0 to 1"),
        ({"abstain": "auto"}, "abstain is auto, but the model has no threshold"),
        ({"complete": True}, "complete is true, but Guess has no exact solver"),
        ({"halt": "sometimes"}, "halt is 'sometimes'"),
    ],
)
def test_options_out_of_their_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        solver(**options)
