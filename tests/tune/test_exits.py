"""``trm tune CHECKPOINT``: the bound holds, the choice is one of validation alone, and a solver uses it by default."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training import quiet_trainer

from trm.checkpoints.files import read_checkpoint
from trm.checkpoints.load import load_checkpoint
from trm.cli.main import main
from trm.data import ARC, Sudoku
from trm.errors import InputError
from trm.inference.choice import InferenceChoice, exit_of
from trm.module import TRMModule
from trm.solver import Solver
from trm.training import checkpoint_keys as keys
from trm.tune.exits import ORDERING, Candidate, choose, in_turn, sequence, upper_bound

VALIDATION, TARGET, STEPS = 60, 0.08, 6


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the zoo that was validated on a few boards, so that the tests are fast."""
    content = read_checkpoint("sudoku-4x4")
    content[keys.FAMILY]["init_args"] |= {"train_size": 20, "val_size": VALIDATION, "test_size": 20, "root": None}
    content[keys.HYPER_PARAMETERS]["supervision_steps"] = STEPS
    path = tmp_path_factory.mktemp("model") / "small.ckpt"
    torch.save(content, path)
    return path


@pytest.fixture(scope="module")
def tuned(model: Path) -> Path:
    """The same model, with the choice that the command made."""
    path = model.with_name("tuned.ckpt")
    with pytest.MonkeyPatch.context() as patch:
        real = Sudoku.load_first

        def load(self: Sudoku, split: str, count: int) -> Any:
            assert split == "val"  # neither the training nor the test split is looked at
            return real(self, split, count)

        patch.setattr(Sudoku, "load_first", load)
        assert main(["tune", str(model), "--target-loss", str(TARGET), "-o", str(path)]) == 0
    return path


def candidate(**changes: Any) -> Candidate:
    return Candidate(**{**dict(zip(Candidate._fields, ("head", 0.5, 1, 2.0, 1.0, 0, 0, None), strict=True)), **changes})


# -- the bound --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lost", "count", "bound"), [(0, 100, 0.029513), (3, 100, 0.075718), (1, 20, 0.216106)])
def test_the_bound_is_that_of_published_tables(lost: int, count: int, bound: float) -> None:
    assert upper_bound(lost, count) == pytest.approx(bound, abs=1e-5)  # 0 of n: 1 - 0.05^(1/n)
    assert upper_bound(count, count) == 1.0


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3, 0.9])
def test_the_bound_holds_with_its_probability_whatever_the_true_share(share: float) -> None:
    count = 40
    chances = [math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(count + 1)]
    assert sum(chance for k, chance in enumerate(chances) if upper_bound(k, count) >= share) >= 0.95


def test_the_first_candidate_that_fails_ends_the_test() -> None:
    given = [candidate(lost=lost) for lost in (0, 1, 40, 0)]
    bounds = [tested.upper_bound for tested in in_turn(given, 1000, 0.01)]
    assert bounds[0] == upper_bound(0, 1000)
    assert bounds[2] == upper_bound(40, 1000)
    assert bounds[3] is None  # it would hold, but was not tested


def test_candidates_are_tested_from_the_most_expensive_and_only_if_worth_it() -> None:
    full = candidate(halt="never", steps=16.0)
    cheap, safe, beaten = (
        candidate(steps=1.1, lost_ordering=2),
        candidate(steps=4.0),
        candidate(steps=5.0, lost_ordering=1),
    )
    views, dear = candidate(steps=9.0, views=4), candidate(steps=16.0)
    assert sequence(full, [cheap, safe, beaten, views, dear]) == [safe, cheap]


# -- the choice -------------------------------------------------------------------------------------------------------


def test_the_choice_is_cheaper_and_loses_what_it_says(model: Path, tuned: Path) -> None:
    choice = InferenceChoice.stored(read_checkpoint(tuned)[keys.INFERENCE])
    assert choice is not None
    assert choice.upper_bound <= TARGET == choice.target_loss
    assert choice.steps < STEPS
    full, own = (Solver(str(model), halt="never"), Solver(str(tuned)))
    samples = own.data.samples("val")
    right = [
        np.array(
            [
                solution.equals(label)
                for solution, label in zip(s.solve_all(samples.inputs), samples.labels, strict=True)
            ]
        )
        for s in (full, own)
    ]
    testing = np.arange(VALIDATION) % ORDERING > 0
    assert choice.puzzles == testing.sum()
    assert choice.lost == (right[0] & ~right[1])[testing].sum()
    steps = [solution.steps for solution in own.solve_all(samples.inputs)]
    assert np.mean(steps) == pytest.approx(choice.steps)


def test_a_model_that_loses_at_every_exit_keeps_all_its_steps(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, data = load_checkpoint(model)
    monkeypatch.setattr("trm.tune.exits.in_turn", lambda tested, *_: [c._replace(upper_bound=0.5) for c in tested])
    choice, _ = choose(module, data, TARGET)
    assert (choice.halt, choice.views, choice.lost, choice.upper_bound) == ("never", 1, 0, 0.0)
    assert choice.steps == module.hparams["supervision_steps"]


def test_the_command_shows_how_many_validation_puzzles_it_has_observed_but_not_on_standard_output(
    model: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        assert main(["tune", str(model), "--target-loss", str(TARGET)]) == 0
    shown = [message for message in caplog.messages if message.startswith("validation puzzles: ")]
    assert f"validation puzzles: {VALIDATION * STEPS} of {VALIDATION * STEPS} supervision steps" in shown
    assert "validation puzzles:" not in capsys.readouterr().out


def test_the_progress_of_a_choice_counts_every_step_of_every_view(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, data = load_checkpoint(model)
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr("trm.tune.exits.weigh", lambda *given: [candidate(halt="never"), candidate(lost_ordering=1)])
    choose(module, data, TARGET, batch_size=7, watch=lambda done, wanted: seen.append((done, wanted)))
    one_view, several = VALIDATION * STEPS, VALIDATION * STEPS * (1 + 4)  # of six steps, four views are worth a try
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert (one_view, one_view) in seen
    assert seen[-1] == (several, several)
    assert {wanted for _, wanted in seen} == {one_view, several}


def test_a_solver_uses_what_is_stored_unless_told_otherwise() -> None:
    stored = InferenceChoice("head", 0.9, 2, 0.005, 0.004, 0.95, 0, 750, 1.2)
    assert exit_of("auto", None, "halting", stored) == ("head", 0.9)
    assert exit_of("auto", 0.7, "halting", stored) == ("head", 0.7)
    assert exit_of("stable", None, "halting", stored)[0] == "stable"
    assert exit_of("auto", None, "verifier", stored)[0] == "rules"
    assert exit_of("auto", None, "halting", stored._replace(halt="stable")) == ("stable", 0.5)
    assert exit_of("auto", 0.7, "halting", stored._replace(halt="stable")) == ("head", 0.7)
    assert exit_of("head", None, "halting", stored._replace(halt="stable")) == ("head", 0.5)
    assert exit_of("auto", None, "halting", None) == ("head", 0.5)


def test_views_are_those_stored_unless_told_otherwise(model: Path) -> None:
    module, data = load_checkpoint(model)
    module.inference_choice = InferenceChoice("head", 0.9, 2, 0.005, 0.004, 0.95, 0, 750, 1.2)
    assert len(Solver((module, data)).views.cells) == 2
    assert len(Solver((module, data), views=1).views.cells) == 1


def test_info_shows_the_choice_export_keeps_it_and_training_drops_it(
    tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(tuned)]) == 0
    assert "inference   early exit" in capsys.readouterr().out
    shared = tmp_path / "shared.ckpt"
    assert main(["export", str(tuned), "--format", "trm", "-o", str(shared)]) == 0
    module, _ = load_checkpoint(shared)
    assert module.inference_choice == load_checkpoint(tuned)[0].inference_choice != None  # noqa: E711
    assert TRMModule.load_from_checkpoint(str(tuned), map_location="cpu").inference_choice == module.inference_choice
    data = Sudoku(4, clues=(4, 8), train_size=20, val_size=0, slots=4, steps_per_batch=1, workers=0)
    quiet_trainer(max_steps=1).fit(module.train(), data)
    assert module.inference_choice is None


# -- bad input --------------------------------------------------------------------------------------------------------


def test_the_input_is_overwritten_only_by_force(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.ckpt"
    copy.write_bytes(model.read_bytes())
    assert main(["tune", str(copy), "--target-loss", str(TARGET), "-o", str(copy)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert copy.read_bytes() == model.read_bytes()


@pytest.mark.parametrize("target", [0, 1, -0.1, math.nan, 1.5])
def test_a_target_loss_out_of_its_range_is_refused(target: float, model: Path) -> None:
    with pytest.raises(InputError, match=r"target_loss is .*, but must be greater than 0 and less than 1"):
        choose(*load_checkpoint(model), target)


def test_too_few_validation_puzzles_for_a_bound_are_refused(model: Path) -> None:
    with pytest.raises(
        InputError, match=r"needs about 798 validation puzzles .* there are 60; accepted are at least 0.0645"
    ):
        choose(*load_checkpoint(model), 0.005)
    module, data = load_checkpoint(model)
    none = Sudoku(**{**data.init_args, "val_size": 0})
    with pytest.raises(InputError, match="there are 0"):
        choose(module, none, 0.1)


def test_arc_is_refused(model: Path) -> None:
    with pytest.raises(InputError, match="the model is of ARC"):
        choose(load_checkpoint(model)[0], ARC.__new__(ARC), 0.1)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [("halt", "often", "must be Literal"), ("views", 0, "inference.views is 0"), ("halt_threshold", math.nan, "nan")],
)
def test_a_damaged_choice_is_refused(field: str, value: Any, reason: str, tuned: Path, tmp_path: Path) -> None:
    content = read_checkpoint(tuned)
    content[keys.INFERENCE][field] = value
    torch.save(content, tmp_path / "bad.ckpt")
    with pytest.raises(InputError, match=reason):
        load_checkpoint(tmp_path / "bad.ckpt")


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ([], "was given neither"),
        (["sudoku-4x4", "--config", "x.yaml"], "and --config; pass one of them"),
        (["sudoku-4x4", "--minutes", "3"], "--minutes is 3.0, but is an option of trm tune with --config FILE"),
        (["--config", "x.yaml", "--target-loss", "0.1"], "is an option of trm tune with a checkpoint"),
        (["sudoku-4x4", "--data.slots", "3"], "has no option --data.slots"),
    ],
)
def test_two_modes_do_not_mix(args: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", *args]) == 2
    assert reason in capsys.readouterr().err
