"""Early exit: every halting rule stops where it says, the others go on undisturbed, and any batch is compiled once."""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from ranks import CELLS, Guess, forked, small_module
from tasks import random_tasks, write_tasks
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from training import quiet_trainer

from trm.data import ARC, Sudoku
from trm.errors import InputError
from trm.inference import Answers, HaltingContext, halting_rule, think
from trm.inference.halting import head, obeys, rules, stable
from trm.module import TRMModule
from trm.nn import TRM, State, StepOutput

MAX_STEPS = 4  # of small_module
DEPTH = 12


def questions(count: int = 40) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(1, 6, (count, CELLS), generator=generator).int(), torch.arange(count).int() % 7


def every_step(core: TRM, inputs: Tensor, puzzles: Tensor) -> list[Answers]:
    """What the official evaluation would answer after each number of steps."""
    return [think(core, inputs, puzzles, steps) for steps in range(1, DEPTH + 1)]


def halt_at(module: TRMModule, share: float) -> float:
    """A threshold that this share of the answers passes at the first step."""
    logits = think(module.core, *questions(), 1).halt
    return float(logits.quantile(1 - share).sigmoid())


def unchanged_since(steps: list[Answers], k: int) -> list[Tensor]:
    same = [(a.tokens == b.tokens).all(-1) for a, b in itertools.pairwise(steps)]
    nowhere = torch.zeros_like(same[0])
    return [nowhere if t < k else torch.stack(same[t - k : t]).all(0) for t in range(len(steps))]


@pytest.mark.parametrize("continue_loss", [False, True])
@pytest.mark.parametrize("name", ["head", "stable", "stable twice", "rules"])
def test_each_puzzle_stops_at_the_first_step_its_rule_names(name: str, continue_loss: bool) -> None:
    module = small_module(continue_loss=continue_loss).eval()
    data, (inputs, puzzles) = Guess(), questions()
    steps = every_step(module.core, inputs, puzzles)
    threshold = halt_at(module, 0.3)
    rule = {"head": head(threshold), "stable": stable(), "stable twice": stable(2), "rules": rules(data)}[name]
    if name == "head":
        logit = math.log(threshold / (1 - threshold))
        proceeds = proceed_logits(module.core, inputs, puzzles)
        named = [answers.halt - proceed > logit for answers, proceed in zip(steps, proceeds, strict=True)]
    elif name == "rules":
        odd = [torch.from_numpy(data.valid(inputs.numpy(), answers.tokens.numpy())) for answers in steps]
        named = odd
    else:
        named = unchanged_since(steps, 2 if name == "stable twice" else 1)
    named[-1] = torch.ones(len(inputs), dtype=torch.bool)
    expected = torch.stack(named).int().argmax(0) + 1
    answers = think(module.core, inputs, puzzles, DEPTH, rule)
    assert torch.equal(answers.steps, expected)
    assert len(expected.unique()) >= 2  # or nothing would be left out of the batch
    for row, step in enumerate(expected.tolist()):
        torch.testing.assert_close(answers.logits[row], steps[step - 1].logits[row], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(answers.halt[row], steps[step - 1].halt[row], atol=1e-5, rtol=1e-5)


def proceed_logits(core: TRM, inputs: Tensor, puzzles: Tensor) -> list[Tensor]:
    proceeds = []

    def note(context: HaltingContext) -> Tensor:
        proceeds.append(context.output.proceed.clone())
        return torch.zeros(len(context.inputs), dtype=torch.bool)

    think(core, inputs, puzzles, DEPTH, note)
    return proceeds


def test_a_threshold_of_one_half_is_how_slots_halt_in_training() -> None:
    halt, proceed = torch.tensor([1e-45, -1e-45, 0.0, 2.0, 1.0]), torch.tensor([0.0, 0.0, 0.0, 1.0, 2.0])
    output = StepOutput(State(halt, halt), halt, halt, proceed)
    assert torch.equal(head()(HaltingContext(halt, output, halt, halt, output.state, halt)), output.done)


def test_never_takes_all_steps_and_a_rule_that_stops_nothing_does_the_same() -> None:
    module, (inputs, puzzles) = small_module().eval(), questions()
    never = think(module.core, inputs, puzzles, DEPTH)
    nothing = think(module.core, inputs, puzzles, DEPTH, lambda context: context.unchanged > 99)
    for one, other in zip(never, nothing, strict=True):
        assert torch.equal(one, other)
    assert set(never.steps.tolist()) == {DEPTH}


def test_padding_stops_after_one_step_and_obeys_nothing() -> None:
    module, (inputs, puzzles) = small_module().eval(), questions(6)
    inputs[4:] = 0
    shown: list[int] = []

    class Counts(Guess):
        def valid(self, questions: np.ndarray, answers: np.ndarray) -> np.ndarray:
            shown.append(len(questions))
            return super().valid(questions, answers)

    steps = think(module.core, inputs, puzzles, DEPTH, lambda context: context.unchanged > 99).steps
    assert steps.tolist() == [DEPTH] * 4 + [1] * 2
    verdicts = obeys(Counts(), inputs, torch.ones_like(inputs))
    assert verdicts is not None
    assert not verdicts[4:].any()
    assert shown == [4]


@pytest.mark.slow
def test_the_network_is_compiled_no_oftener_than_the_batch_has_kinds_of_sizes() -> None:
    """One graph for the full batch, one for batches of any other size, and one for a lone puzzle."""
    module = small_module().eval()
    eager = think(module.core, *questions(40), DEPTH, three_at_a_time)
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("eager")
    module.core.compile(backend=counter, fullgraph=True)
    compiled = think(module.core, *questions(40), DEPTH, three_at_a_time)
    assert len(eager.steps.unique()) == DEPTH  # and as many sizes of the batch
    assert torch.equal(compiled.steps, eager.steps)
    torch.testing.assert_close(compiled.logits, eager.logits, atol=1e-5, rtol=1e-5)
    graphs = [counter.frame_count]
    for counts in ((40,), (23, 17, 9, 38), (1, 4)):
        for count in counts:
            think(module.core, *questions(count), DEPTH, three_at_a_time)
        graphs.append(counter.frame_count)
    torch._dynamo.reset()
    assert graphs == [2, 2, 2, 3]


def three_at_a_time(context: HaltingContext) -> Tensor:
    """Stops at the first three puzzles of the batch, as long as there are more than three."""
    return (torch.arange(len(context.inputs)) < 3) & (len(context.inputs) > 3)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Products of few rows are rounded otherwise on several threads, of which a rank may have fewer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.filterwarnings("ignore:It is recommended to use .self.log.*sync_dist")  # the metrics are synced
@pytest.mark.parametrize("halt", ["head", "stable", "rules"])
def test_two_ranks_that_stop_early_evaluate_as_one(halt: str, one_thread: None) -> None:
    found = []
    for ranks in (1, 2):
        module = small_module(halt=halt)
        module.hparams["halt_threshold"] = halt_at(module.eval(), 0.3)
        with forked(ranks) as where:
            found += quiet_trainer(**where).test(module, Guess(size=7, eval_batch_size=2 * ranks), verbose=False)
    one, two = found
    assert 1 < one["test/supervision_steps"] < MAX_STEPS
    assert two == pytest.approx(one, rel=1e-6)  # a product of other many rows may be rounded otherwise


@pytest.mark.parametrize(("precision", "tolerance"), [("bf16-mixed", 0.3), ("64-true", 1e-6)])
def test_other_precisions_stop_early(precision: str, tolerance: float) -> None:
    (found,) = quiet_trainer(precision=precision).predict(small_module(halt="stable"), Guess(size=7, slots=7))
    assert found.halt.dtype == (torch.float64 if precision == "64-true" else torch.float32)
    assert 1 < found.steps.float().mean() <= MAX_STEPS
    plain = think(small_module().eval().core, *first_rows(), MAX_STEPS, stable())
    torch.testing.assert_close(found.halt, plain.halt, atol=tolerance, rtol=0, check_dtype=False)


def first_rows() -> tuple[Tensor, Tensor]:
    samples = Guess(size=7).samples("test")
    return torch.from_numpy(samples.inputs).int(), torch.from_numpy(samples.puzzle_ids)


def test_by_default_evaluation_takes_all_steps_and_prediction_asks_the_head() -> None:
    module, data = small_module(), Guess(size=7, slots=7)
    module.eval()
    all_steps = {"halt": "never", "halt_threshold": 0.5}
    for stage, split in (("test", "test"), ("validate", "val")):
        (metrics,) = getattr(quiet_trainer(), stage)(small_module(), data, verbose=False)
        (never,) = getattr(quiet_trainer(), stage)(small_module(**all_steps), data, verbose=False)
        assert metrics == never
        assert metrics[f"{split}/supervision_steps"] == MAX_STEPS
    (answers,) = quiet_trainer().predict(small_module(), data)
    (asked,) = quiet_trainer().predict(small_module(halt="head"), data)
    assert torch.equal(answers.steps, asked.steps)
    assert answers.steps.min() < MAX_STEPS
    (never,) = quiet_trainer().predict(small_module(**all_steps), data)
    assert never.steps.min() == MAX_STEPS


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.5, 2.0, math.nan])
def test_thresholds_that_are_no_probability_between_0_and_1_are_refused(threshold: float) -> None:
    with pytest.raises(InputError, match=r"halt_threshold is .* greater than 0 and less than 1"):
        small_module(halt_threshold=threshold)


def test_unknown_rules_are_refused() -> None:
    with pytest.raises(InputError, match=r"model\.halt is 'later', but must be one of auto, never, head"):
        small_module(halt="later")
    with pytest.raises(InputError, match="must be one of auto, never, head, stable, rules"):
        halting_rule("later", 0.5, None)  # type: ignore[arg-type]


def test_rules_are_refused_where_there_are_none(tmp_path: Path) -> None:
    arc = ARC(subsets=("training", "evaluation"), source=str(write_tasks(random_tasks(), tmp_path)), augmentations=1)
    module = small_module(halt="rules")
    with pytest.raises(InputError, match="halt is 'rules', but ARC has no rules"):
        quiet_trainer().test(module, arc, verbose=False)
    with pytest.raises(InputError, match="'rules', but NoneType has no rules"):
        quiet_trainer().predict(module, [])
    assert halting_rule("rules", 0.5, Sudoku(4)) is not None


# -- questions that the network cannot read ----------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [{}, {"mixer": "mlp", "positions": "none", "puzzle_tokens": 0}])
def test_questions_of_another_shape_are_refused(arguments: dict[str, object]) -> None:
    module = small_module(**arguments).eval()
    for shape in ((2, CELLS - 1), (2, CELLS + 1), (2, 1), (CELLS,), (2, 3, CELLS)):  # one cell would broadcast
        with pytest.raises(InputError, match=r"the questions have shape .*, but the network takes \(questions, 9\)"):
            module.solve(torch.ones(shape, dtype=torch.int32), torch.zeros(2, dtype=torch.int32))


@pytest.mark.parametrize("token", [Guess.vocab_size, 255, -1])
def test_tokens_outside_the_vocabulary_are_refused(token: int) -> None:
    inputs = torch.ones(3, CELLS, dtype=torch.int32)
    inputs[1, 4] = inputs[2, 0] = token
    with pytest.raises(InputError, match=f"question 1 has token {token} in cell 4, .* accepts tokens 0 to 5"):
        small_module().eval().solve(inputs, torch.zeros(3, dtype=torch.int32))


def test_every_token_of_the_vocabulary_is_answered() -> None:
    inputs = torch.arange(Guess.vocab_size).repeat(3)[None, :CELLS].int()
    answers = small_module().eval().solve(inputs, torch.zeros(1, dtype=torch.int32))
    assert answers.logits.shape == (1, CELLS, Guess.vocab_size)
