"""All benchmarks run: --help of each as a script, and those that nothing else runs on a small model and few puzzles."""

import json
import runpy
import subprocess
import sys
from itertools import count
from pathlib import Path

import models
import pytest
from exporting import save_random_model
from fill_tables import HERE, questions
from fill_tables import measure as script
from paths import REPO
from training import BOARDS, SMALL

from trm.checkpoints.load import load_checkpoint

SCRIPTS = [
    *(HERE / question / "measure.py" for question in questions()),
    HERE / "speed/compare.py",
    HERE / "recipes/answers.py",
    HERE / "recipes/transfer.py",
    HERE / "recipes/tuned_recipes.py",
    HERE / "robustness/abstain.py",
    HERE / "fill_tables.py",
]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(HERE)))
def test_every_script_explains_itself(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tests = {str(REPO / folder) for folder in ("tests/helpers", "benchmarks", "benchmarks/recipes", "benchmarks/zoo")}
    monkeypatch.setattr(sys, "path", [str(path.parent), *(place for place in sys.path if place not in tests)])
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    for name in ("models", "abstain", "card", "recipes", "report", "tuned_report", "verdicts"):  # as in a fresh process
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(SystemExit) as exit:
        runpy.run_path(str(path), run_name="__main__")
    assert not exit.value.code
    assert "usage: " in capsys.readouterr().out


def test_a_script_runs_by_its_path_from_any_folder(tmp_path: Path) -> None:
    command = [sys.executable, str(HERE / "calibration/measure.py"), "--models=sudoku-4x4", "--checkpoint=sudoku-4x4"]
    subprocess.run([*command, "--puzzles=4", f"--into={tmp_path}"], cwd=tmp_path, check=True, capture_output=True)
    facts = json.loads((tmp_path / "sudoku-4x4.json").read_text())
    assert facts["puzzles"] == 4
    assert facts["machine"]["cores"] >= 1
    assert list(tmp_path.glob("sudoku-4x4*.svg"))


@pytest.mark.parametrize(
    ("question", "options"),
    [
        ("calibration", ["--models=sudoku-4x4", "--puzzles=4"]),
        ("robustness", ["--models=sudoku-4x4", "--puzzles=4"]),
        ("test-time-scaling", ["--puzzles=4", "--depths=[1,2]", "--breadths=[1,8]", "--noises=[0.1]"]),
    ],
)
def test_an_analysis_keeps_data_that_its_tables_read(
    question: str, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    benchmark = script(question)
    assert benchmark.main([*options, "--checkpoint=sudoku-4x4", f"--into={tmp_path}"]) == 0
    (path,) = tmp_path.glob("*.json")
    assert json.loads(path.read_text())["commit"] is not None
    monkeypatch.setattr(benchmark, "HERE", tmp_path)
    if question != "test-time-scaling":
        monkeypatch.setattr(benchmark, "MODELS", {"sudoku-4x4": ""})
    assert all(text.count("\n") > 2 for text in benchmark.tables().values())


def test_training_with_and_without_contradictions_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    abstain = script("robustness").abstain
    tiny = [*SMALL, *BOARDS, "--trainer.max_steps=4", "--trainer.val_check_interval=1", "--data.clues=[6,8]"]
    options = ["--name=tiny", "--seeds", "0", f"--into={tmp_path}", "--trainer.enable_progress_bar=false"]
    assert abstain.main([*options, *tiny]) == 0
    facts = json.loads((tmp_path / "abstain-tiny.json").read_text())
    assert [(run["corrupt"], run["puzzles"], run["steps"]) for run in facts["runs"]] == [(0, 10, 4), (0.25, 10, 4)]
    assert all(0 <= run["auroc"] <= 1 and 0 < run["threshold"] < 1 for run in facts["runs"])
    assert (tmp_path / "abstain-tiny.svg").exists()
    monkeypatch.setattr(abstain, "HERE", tmp_path)
    assert abstain.tables()["abstain-tiny"].count("\n") == 4


def test_adaptation_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = script("test-time-scaling")
    monkeypatch.setattr(benchmark.adaptation, "CLOCK", count().__next__)
    options = ["--adaptation", "--base=arc-toy", "--seconds=3", f"--into={tmp_path}"]
    assert benchmark.main([*options, "--tasks=1", "--seeds=1"]) == 0
    first = json.loads((tmp_path / "adaptation.json").read_text())["rows"]
    assert [row["arm"] for row in first] == list(benchmark.adaptation.ARMS)
    assert [row.get("steps", 0) > 0 for row in first] == [False, True, True, True]
    assert benchmark.main([*options, "--tasks=1", "--seeds=2"]) == 0
    rows = json.loads((tmp_path / "adaptation.json").read_text())["rows"]
    assert (rows[:4], len(rows)) == (first, 7)
    monkeypatch.setattr(benchmark.adaptation, "HERE", tmp_path)
    assert "| a new network, trained on the task | 2 | " in benchmark.tables()["adaptation"]


def test_early_exit_is_drawn_and_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    benchmark = script("early-exit")
    assert benchmark.main(["--checkpoint=sudoku-4x4", "--rounds=1", f"--into={tmp_path}"]) == 0
    timed = json.loads((tmp_path / "rules.json").read_text())
    assert list(timed["rows"]) == list(benchmark.RULES)
    assert timed["rows"]["never"]["solved"] == 1
    steps = load_checkpoint("sudoku-4x4")[0].hparams["supervision_steps"]
    monkeypatch.setattr(benchmark, "HERE", tmp_path)
    assert f"| never: all supervision steps | 100.0% | {steps}.00 | 1.0 |" in benchmark.tables()["rules"]


def test_memory_is_measured_in_processes_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = script("memory")
    assert benchmark.main(["--latent-steps=1", "--slots=1", f"--into={tmp_path}"]) == 0
    rows = json.loads((tmp_path / "data.json").read_text())["rows"]
    assert [row["gradient_checkpointing"] for row in rows] == [False, True]
    assert all(row["megabytes"] > 0 for row in rows), "whatever memory the parent process has had"
    monkeypatch.setattr(benchmark, "HERE", tmp_path)
    assert benchmark.tables()["memory"].splitlines()[2].startswith("| 1 | ")


@pytest.mark.slow
def test_every_setting_of_threads_takes_its_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = script("busy-machine")
    (tiny,) = (name for name in benchmark.NETWORKS if name.startswith("4x4 (64"))
    assert benchmark.main(["--seconds=0.01", "--repeats=1", "--networks", tiny, f"--into={tmp_path}"]) == 0
    facts = json.loads((tmp_path / "data.json").read_text())
    assert facts["threads_chosen"] == {tiny: 1}
    rates = facts["steps_per_second"][tiny]
    assert rates.keys() == benchmark.SETTINGS.keys()
    assert all(rate > 0 for turns in rates.values() for load in ("quiet", "busy") for rate in turns[load])
    monkeypatch.setattr(benchmark, "HERE", tmp_path)
    assert benchmark.tables()["speed"].count("\n") > len(benchmark.SETTINGS)


def test_two_runs_that_nobody_kills_end_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = script("kills")
    assert benchmark.main(["--kills=0", "--steps=8", f"--into={tmp_path}"]) == 0
    facts = json.loads((tmp_path / "data.json").read_text())
    assert (facts["kills"], all(facts["equal to a run without kills"].values())) == (0, True)
    monkeypatch.setattr(benchmark, "HERE", tmp_path)
    assert "| parts of the last checkpoint equal to a run without kills | 6 of 6 |" in benchmark.tables()["kills"]


def test_a_trace_is_made_of_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--pages=sudoku-4x4", "--checkpoint=sudoku-4x4", "--puzzle=.3...2.1...4....", f"--into={tmp_path}"]
    assert script("traces").main(options) == 0
    assert "<html" in (tmp_path / "sudoku-4x4.html").read_text()


def test_a_model_is_trained_once_and_then_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny = [*SMALL, *BOARDS, "--trainer.max_steps=2", "--trainer.enable_progress_bar=false"]
    monkeypatch.setitem(models.MODELS, "sudoku-4x4", " ".join(["--config configs/quickstart.yaml", *tiny]))
    path = Path(models.trained("sudoku-4x4"))
    before = path.read_bytes()
    assert models.trained("sudoku-4x4") == str(path)
    assert path.read_bytes() == before
    monkeypatch.setitem(models.MODELS, "sudoku-4x4", "--config configs/quickstart.yaml --data.size=5")
    with pytest.raises(SystemExit):
        models.trained("sudoku-4x4")


@pytest.mark.slow
def test_the_service_is_measured_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = script("serving")
    assert benchmark.main(["--seconds=0.5", "--clients", "1", "4", f"--into={tmp_path}"]) == 0
    facts = json.loads((tmp_path / "data.json").read_text())
    assert [row["clients"] for row in facts["load"]] == [1, 4]
    assert all(row["puzzles"] > 0 for row in facts["load"])
    assert set(facts["abuse"].values()) == {413, 422}
    assert facts["slow"]["closed"] == facts["slow"]["connections"]
    assert facts["overload"]["other"] == 0
    monkeypatch.setattr(benchmark, "HERE", tmp_path)
    assert all(text.count("\n") > 2 for text in benchmark.tables().values())


def test_exported_models_are_measured_beside_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = script("edge")
    checkpoint = save_random_model(tmp_path / "random.ckpt")
    options = ["--models", str(checkpoint), "--dtypes=int8", "--puzzles=2", f"--into={tmp_path}"]
    assert benchmark.main(options) == 0
    rows = json.loads((tmp_path / "data.json").read_text())["rows"]
    assert [row["runtime"] for row in rows] == ["torch", "int8"]
    assert rows[1]["memory"] < rows[0]["memory"]
    monkeypatch.setattr(benchmark, "HERE", tmp_path)
    assert "| random | onnxruntime, int8 | " in benchmark.tables()["edge"]
