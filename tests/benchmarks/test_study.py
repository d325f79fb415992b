"""``make study``: what it measures at a budget, how it compares, and a study of two recipes that is started twice."""

import csv
import shutil
from pathlib import Path

import pytest
import study
from recipes import RECIPES, TASKS, Task
from training import BOARDS, SMALL
from verdicts import Evaluation, Run, markdown, paired, verdicts

from trm.cli.main import main as trm


def run(recipe: str, seed: int, solved: list[float], seconds: float = 10.0) -> Run:
    """A run of an evaluation every 10 steps, each of ``seconds`` and one TFLOP more."""
    rows = [Evaluation(10 * n, seconds * n, n, value, value, 1 - value) for n, value in enumerate(solved, 1)]
    return Run("task", recipe, seed, rows)


def test_values_at_a_budget_lie_between_two_evaluations_and_never_beyond_them() -> None:
    one = run("plain", 0, [0.0, 0.4, 0.8])
    assert one.at("core_seconds", 25, "solved") == pytest.approx(0.6)
    assert one.at("tflop", 2, "answer_loss") == pytest.approx(0.6)
    assert one.at("core_seconds", 30, "solved") == 0.8
    assert one.at("core_seconds", 30.1, "solved") is None
    assert one.at("tflop", 0.9, "solved") is None
    assert one.cost("core_seconds", 20) == 20


def test_differences_are_paired_by_seed() -> None:
    clear = paired([0.5, 0.7, 0.9], [0.4, 0.6, 0.8])
    assert (clear.mean, clear.error) == (pytest.approx(0.1), pytest.approx(0, abs=1e-9))
    assert clear.verdict == "better"
    assert paired([0.4, 0.6, 0.8], [0.5, 0.7, 0.9]).verdict == "worse"
    assert paired([0.4, 0.6, 0.8], [0.5, 0.7, 0.9], more_is_better=False).verdict == "better"
    unclear = paired([0.5, 0.7, 0.6], [0.4, 0.6, 0.7])  # +0.1, +0.1, -0.1
    assert unclear.error == pytest.approx(0.2 / 3)
    assert unclear.verdict == "noise"
    assert paired([0.5], [0.4]).verdict == "one seed"


def test_verdicts_compare_at_each_budget_the_seeds_that_both_have_reached_it_with() -> None:
    runs = [run("plain", seed, [0.2, 0.4, 0.6]) for seed in (0, 1, 2)]
    runs += [run("slow", seed, [0.2, 0.5, 0.8 - seed / 100], seconds=15) for seed in (0, 1)]
    table = verdicts(runs, {"core_seconds": 30.0, "tflop": 3.0})
    rows = {(row["recipe"], row["budget"]): row for row in table if row["measure"] == "solved"}
    assert rows["slow", "TFLOPs"]["seeds"] == 2
    assert rows["slow", "TFLOPs"]["difference"] == pytest.approx(0.195)
    assert rows["slow", "core-seconds"]["mean"] == pytest.approx(0.5)  # by then it is at its second evaluation
    assert rows["slow", "core-seconds"]["difference"] == pytest.approx(-0.1)
    assert rows["plain", "TFLOPs"]["verdict"] is None
    text = markdown(table, {"plain": ("paper", "claim"), "slow": ("another", "more")})
    assert (
        "| slow | another | more | 50.0 ± 0.0 | -10.0 ± 0.0 **worse** | 79.5 ± 0.7 | +19.5 ± 0.5 **better** |" in text
    )


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    """A task of a few steps, for single-threaded runs."""
    quick = [option for option in SMALL if "steps_per_batch" not in option]
    monkeypatch.setitem(
        TASKS,
        "tiny",
        Task(
            "tiny", 32, 16, (*quick, *BOARDS, "--model.hidden_size=8", "--trainer.log_every_n_steps=1"), by_clues=True
        ),
    )
    return "tiny"


@pytest.mark.slow
def test_a_study_trains_to_equal_cost_and_does_nothing_the_second_time(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    places = [f"--runs={tmp_path}/runs/study", f"--results={tmp_path}/results"]
    few = ["--tasks", tiny, "--recipes", "depth curriculum", "gradient of 1", "--seeds", "0", *places]
    monkeypatch.setitem(RECIPES, "gradient of 1", RECIPES["gradient of 1"]._replace(options=("--model.num_layers=1",)))
    assert study.main(few) == 0
    assert "tiny, plain, seed 0: step 32" in capsys.readouterr().out
    with (tmp_path / "results" / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    ends = {row["recipe"]: row for row in rows}
    assert set(ends) == {"plain", "depth curriculum", "gradient of 1"}
    plain = next(float(row["tflop"]) for row in rows if row["recipe"] == "plain" and row["step"] == "32")
    assert all(float(row["tflop"]) > 0.999 * plain for row in ends.values())
    assert int(ends["gradient of 1"]["step"]) > 32  # half as many layers
    results = {path.name: path.read_bytes() for path in (tmp_path / "results").iterdir()}
    assert results.keys() == {"README.md", "clues.csv", "curves.csv", "tiny.png", "verdicts.csv"}
    monkeypatch.setattr(study, "start", lambda *_: pytest.fail("a run was started"))
    assert study.main(few) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "results").iterdir()} == results

    curves, text = results["curves.csv"].decode(), results["README.md"].decode()
    monkeypatch.setitem(TASKS, "another", TASKS["tiny"]._replace(name="another"))
    shutil.copytree(tmp_path / "runs/study/tiny", tmp_path / "runs/study/another")
    assert study.main(["--tasks", "another", *few[2:]]) == 0
    assert (tmp_path / "results" / "curves.csv").read_text().startswith(curves), "other tasks stay as they are"
    both = (tmp_path / "results" / "README.md").read_text()
    assert both == text + "\n" + text[text.index("## tiny") :].replace("## tiny", "## another")
    capsys.readouterr()
    assert study.main([*few, "--report", f"--runs={tmp_path}/nowhere"]) == 1
    assert "no plain run in" in capsys.readouterr().err
    assert (tmp_path / "results" / "README.md").read_text() == both


@pytest.mark.slow
def test_a_run_that_fails_is_reported_and_does_not_stop_the_others(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(RECIPES, "Muon", RECIPES["Muon"]._replace(options=("--model.cycles=0",)))
    monkeypatch.setattr(study, "trm", lambda args: 2 if "--model.cycles=0" in args else trm(args))
    few = ["--tasks", tiny, "--recipes", "Muon", "plain again", "--seeds", "0", f"--runs={tmp_path}/runs/study"]
    assert study.main([*few, f"--results={tmp_path}/results"]) == 1
    printed = capsys.readouterr().out
    assert "tiny, Muon, seed 0: failed" in printed
    assert "tiny, plain again, seed 0: step" in printed


@pytest.mark.slow
def test_every_recipe_is_one_that_trm_fit_accepts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, recipe in RECIPES.items():
        job = study.Job(TASKS["sudoku-6x6"], name, 0, tmp_path / "study" / "six" / "0")
        with pytest.raises(SystemExit) as printed:
            trm(["fit", *study.arguments(job, 16), "--print_config"])
        assert printed.value.code == 0, name
        shown = capsys.readouterr().out
        values = (option.partition("=")[2] for option in recipe.options if option.startswith("--model."))
        assert all(value in shown for value in values), name
