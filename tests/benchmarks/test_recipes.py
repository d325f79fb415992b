"""``make bench-recipes``: values at a budget, comparisons, and a study of two recipes that is started twice."""

import argparse
import csv
import json
import shutil
from pathlib import Path

import pytest
import tuned_recipes as tuned
from fill_tables import measure as script
from recipes import RECIPES, TASKS, Task
from report import comparison, curves, draw
from tables import write_tables
from training import BOARDS, SMALL
from tuned_report import tables as tuned_tables
from verdicts import Evaluation, Run, paired, verdicts

from trm.cli.main import main as trm

study = script("recipes")


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
    text = comparison(table, {"plain": ("paper", "claim"), "slow": ("another", "more")})
    assert (
        "| slow | another | more | 79.5 ± 0.7 | +19.5 ± 0.5 **better** | 50.0 ± 0.0 | -10.0 ± 0.0 **worse** |" in text
    )


def test_rounds_are_compared_with_their_own_plain_runs_and_tabulated_apart(tmp_path: Path) -> None:
    first = [run("plain", seed, [0.2, 0.4]) for seed in (0, 1)] + [run("new", seed, [0.3, 0.5]) for seed in (0, 1)]
    second = [one._replace(round=2, rows=[row._replace(solved=row.solved / 2) for row in one.rows]) for one in first]
    budget = {"core_seconds": 20.0, "tflop": 2.0}
    rows = verdicts(first, budget) + verdicts(second, budget)
    found = {(row["round"], row["recipe"]): row["difference"] for row in rows if row["measure"] == "solved"}
    assert found[1, "new"] == pytest.approx(0.1)
    assert found[2, "new"] == pytest.approx(0.05)
    draw(tmp_path / "task.png", rows, curves(first + second))
    assert (tmp_path / "task.png").read_bytes().startswith(b"\x89PNG")


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
    places = [f"--runs={tmp_path}/runs/study", f"--into={tmp_path}/results"]
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
    assert results.keys() == {"clues.csv", "curves.csv", "tiny.png", "verdicts.csv"}
    monkeypatch.setattr(study, "start", lambda *_: pytest.fail("a run was started"))
    assert study.main(few) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "results").iterdir()} == results

    before, tables = results["curves.csv"].decode(), study.tables(tmp_path / "results")
    assert tables.keys() == {"tiny", "clues"}
    assert study.main(["--redraw", f"--into={tmp_path}/results"]) == 0
    assert (tmp_path / "results" / "tiny.png").read_bytes() == results["tiny.png"]
    monkeypatch.setitem(TASKS, "another", TASKS["tiny"]._replace(name="another"))
    shutil.copytree(tmp_path / "runs/study/round-1/tiny", tmp_path / "runs/study/round-1/another")
    assert study.main(["--tasks", "another", *few[2:]]) == 0
    assert (tmp_path / "results" / "curves.csv").read_text().startswith(before), "other tasks stay as they are"
    both = study.tables(tmp_path / "results")
    assert (both["tiny"], both["another"]) == (tables["tiny"], tables["tiny"])
    capsys.readouterr()
    assert study.main([*few, "--report", f"--runs={tmp_path}/nowhere"]) == 1
    assert "no plain run in" in capsys.readouterr().err
    assert study.tables(tmp_path / "results") == both


@pytest.mark.slow
def test_a_run_that_fails_is_reported_and_does_not_stop_the_others(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(RECIPES, "Muon", RECIPES["Muon"]._replace(options=("--model.cycles=0",)))
    monkeypatch.setattr(study, "trm", lambda args: 2 if "--model.cycles=0" in args else trm(args))
    few = ["--tasks", tiny, "--recipes", "Muon", "plain again", "--seeds", "0", f"--runs={tmp_path}/runs/study"]
    assert study.main([*few, f"--into={tmp_path}/results"]) == 1
    printed = capsys.readouterr().out
    assert "tiny, Muon, seed 0: failed" in printed
    assert "tiny, plain again, seed 0: step" in printed


@pytest.mark.slow
def test_every_recipe_is_one_that_trm_fit_accepts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, recipe in RECIPES.items():
        job = study.Job(TASKS["sudoku-6x6"], name, 0, tmp_path / "study" / "round-1" / "six" / "0")
        with pytest.raises(SystemExit) as printed:
            trm(["fit", *study.arguments(job, 16), "--print_config"])
        assert printed.value.code == 0, name
        shown = capsys.readouterr().out
        values = (option.partition("=")[2] for option in recipe.options if option.startswith("--model."))
        assert all(value in shown for value in values), name


def write_tuned(folder: Path, recipe: str, seed: int, cells: list[float], rate: float = 0.001) -> None:
    """Write a run of ``tuned_recipes.py``, an evaluation every 10 core-seconds and every TFLOP."""
    rows = [
        {"step": n, "core_seconds": 10.0 * n, "tflop": 1.0 * n, "solved": 0.0, "cells": value, "answer_loss": 1 - value}
        for n, value in enumerate(cells, 1)
    ]
    facts = {"recipe": recipe, "seed": seed, "rate": rate, "slots": 16, "parameters": 1234, "rows": rows}
    folder.mkdir(parents=True, exist_ok=True)
    facts |= {"commit": "abc", "machine": {"device": "a processor", "date": "2026-11-26"}}
    (folder / f"{recipe}-{seed}-{rate}.json").write_text(json.dumps(facts))


def test_tuned_recipes_are_compared_with_those_they_depart_from_as_far_as_all_seeds_got(tmp_path: Path) -> None:
    for recipe, gain in {"plain": 0.0, "4 supervision steps": 0.1, "SIC": 0.15}.items():
        write_tuned(tmp_path / "tuning", recipe, 100, [0.3], rate=0.001)
        write_tuned(tmp_path / "tuning", recipe, 100, [0.4], rate=0.003)
        for seed in (0, 1, 2):
            later = [0.7] if (recipe, seed) == ("SIC", 1) else []
            write_tuned(tmp_path / "runs", recipe, seed, [0.2 + gain, 0.4 + gain + seed / 100, *later])
    assert tuned.main(["--report", f"--runs={tmp_path}", f"--into={tmp_path}/results"]) == 0
    assert (tmp_path / "results" / "tuned.png").read_bytes().startswith(b"\x89PNG")
    found = tuned_tables(tmp_path / "results")
    assert "| SIC | 1,234 | 2.0 ± 0.0 | 4 supervision steps | 56.0 ± 1.0 | +5.0 ± 0.0 **better** |" in found["tuned"]
    assert "| 4 supervision steps | 1,234 | 2.0 ± 0.0 | plain | 51.0 ± 1.0 | +10.0 ± 0.0 **better** |" in found["tuned"]
    assert "| plain | lr 0.003 | **40.0** |" in found["tuned-grid"]


def test_nothing_trained_is_nothing_to_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tuned(tmp_path / "tuning", "plain", 100, [0.3])
    assert tuned.main(["--report", f"--runs={tmp_path}", f"--into={tmp_path}/results"]) == 1
    assert "nothing to report" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_a_run_of_the_tuned_study_goes_on_until_all_its_evaluations_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tables(tmp_path, "Sudoku")
    monkeypatch.setattr(tuned, "COMMON", {**tuned.COMMON, "hidden_size": 16})
    options = {"sudoku": tmp_path, "runs": tmp_path / "study", "boards": 4, "precision": "32-true", "evaluations": 2}
    given = argparse.Namespace(**options)
    run = tuned.Run("4 supervision steps", 0, 0.003, 0.001, 4)
    path = run.file(given)
    path.parent.mkdir(parents=True)
    assert len(tuned.missing(run, given)) == 2
    tuned.train(run, given)
    assert tuned.missing(run, given) == []
    rows = json.loads(path.read_text())["rows"]
    assert [row["step"] > 0 for row in rows] == [True, True]
    assert rows[0]["core_seconds"] < rows[1]["core_seconds"], "the second goes on from the first"
    assert rows[0]["tflop"] < rows[1]["tflop"]
    assert not path.with_suffix(".ckpt").exists()
    assert all(0 <= row["cells"] <= 1 for row in rows)
    longer = run._replace(seconds=5.0)
    assert len(tuned.missing(longer, given)) == 2, "a run of other settings is another one"
