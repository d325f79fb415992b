"""``trm test --ledger`` writes down what was measured, on what, by which weights, and how to get it again."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from command import CHECKPOINT, FOUR, TINY, refused
from tasks import random_tasks, write_tasks

import trm
from trm.cli.main import main
from trm.provenance import PROJECT, commit, digest, without_paths
from trm.reproduce.ledger import read, wilson

TEST = ["test", "--config", "configs/quickstart.yaml", *FOUR, "--trainer.limit_test_batches=2"]


def test_an_evaluation_is_recorded(trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(trained)
    command = [*TEST, f"--ckpt_path={trained / CHECKPOINT}", "--ledger", "benchmarks/ledger.csv", "--seed_everything=5"]
    assert main(command) == 0
    solved, valid = rows = read(Path("benchmarks/ledger.csv"))
    assert (solved.metric, valid.metric) == ("solved", "valid")
    for row in rows:
        low, high = wilson(float(row.value), 8)  # two batches of four, of ten boards
        assert (float(row.low), float(row.high)) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))
        assert (row.claim, row.puzzles, row.training_puzzles, row.seed, row.steps) == (
            "runs/quickstart",
            "8",
            "40",
            "0",
            "6",
        )
        assert row.command.startswith("trm test --config configs/quickstart.yaml --trainer.accelerator=cpu ")
        assert row.command.endswith("--ckpt_path=FOLDER/last.ckpt --ledger benchmarks/ledger.csv --seed_everything=5")
        assert (row.trm, row.published, row.published_source, row.repeated) == (trm.__version__, "", "", "")
        assert len(row.data) == len(row.weights) == 16
        assert row.machine.endswith(" cores")


def test_the_same_evaluation_is_recognised_and_other_data_or_weights_are_not(
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(trained)
    changed = torch.load(trained / CHECKPOINT, weights_only=True)
    next(iter(changed["state_dict"].values())).view(-1)[0] += 1
    changed["callbacks"]["Speed"] = {"core_seconds": 5400.0, "device_seconds": 0.0}
    torch.save(changed, tmp_path / "other.ckpt")
    for claim, options in {
        "one": [],
        "again": [],
        "data": ["--data.seed=1"],
        "weights": [f"--ckpt_path={tmp_path / 'other.ckpt'}"],
    }.items():
        assert main([*TEST, *options, f"--ledger={tmp_path / 'ledger.csv'}", "--claim", claim]) == 0
    rows = {row.claim: row for row in read(tmp_path / "ledger.csv") if row.metric == "solved"}
    one, again, data, weights = (rows[claim] for claim in ("one", "again", "data", "weights"))
    assert (one.data, one.weights) == (again.data, again.weights) == (weights.data, data.weights)
    assert one.data != data.data
    assert one.weights != weights.weights
    assert (weights.core_hours, weights.device_hours) == ("1.5", "")


def test_arc_is_scored_by_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    configs = PROJECT / "configs"
    write_tasks(random_tasks(), tmp_path / "tasks")
    options = [f"--config={configs / 'arc-small.yaml'}", *TINY, "--data.source=tasks", "--data.augmentations=2"]
    options += ["--data.subsets=[training, evaluation]", "--data.test_subset=evaluation"]
    assert main(["fit", *options]) == 0
    assert main(["test", *options, "--ledger=ledger.csv", "--claim=arc1/toy"]) == 0
    rows = {row.metric: row for row in read(tmp_path / "ledger.csv")}
    assert {"pass@1", "pass@2", "tasks_solved", "unanimous"} <= rows.keys()
    assert not {"solved", "valid", "cells"} & rows.keys()
    assert {row.puzzles for row in rows.values()} == {"2"}
    assert {row.training_puzzles for row in rows.values()} == {"4"}
    assert (rows["pass@2"].published, rows["pass@2"].repeated) == ("44.6", "38.5 to 52.8")
    assert rows["pass@1"].published == rows["tasks_solved"].published == ""


def test_what_cannot_be_recorded_is_refused_before_the_evaluation(
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(trained)
    monkeypatch.setattr("trm.module.TRMModule.test_step", lambda *_: pytest.fail("a puzzle was evaluated"))
    told = refused(capsys, [*TEST, "--ledger=configs/quickstart.yaml"])
    assert "configs/quickstart.yaml is not a ledger" in told
    assert "cannot write the ledger" in refused(capsys, [*TEST, f"--ledger={CHECKPOINT}/ledger.csv"])
    assert "--claim is 'mine', but it names results in a ledger" in refused(capsys, [*TEST, "--claim=mine"])


def test_only_test_writes_a_ledger(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("test", "fit", "validate", "predict"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert ("--ledger" in capsys.readouterr().out) == (command == "test")


def test_the_commit_is_that_of_the_checkout(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
        return subprocess.run(
            ["git", *identity, "-C", str(tmp_path), *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    assert commit(tmp_path) == ""
    git("init", "--quiet")
    (tmp_path / "trm").mkdir()
    (tmp_path / "trm" / "__init__.py").write_text("one\n")
    assert commit(tmp_path) == ""  # installed into somebody's checkout, not part of it
    git("add", ".")
    git("commit", "--quiet", "--message", "one")
    (tmp_path / "results.csv").write_text("what a ledger adds to changes nothing\n")
    assert commit(tmp_path) == git("rev-parse", "--short=12", "HEAD")
    (tmp_path / "trm" / "__init__.py").write_text("two\n")
    assert commit(tmp_path) == git("rev-parse", "--short=12", "HEAD") + "-dirty"


def test_a_command_names_no_folder_of_this_machine() -> None:
    command = [
        "trm",
        "test",
        "--config=configs/a.yaml",
        "--data.source",
        "/home/me/puzzles",
        "--ckpt_path=/x/y/last.ckpt",
    ]
    told = "trm test --config=configs/a.yaml --data.source FOLDER --ckpt_path=FOLDER/last.ckpt '--data.clues=[4, 8]'"
    assert without_paths([*command, "--data.clues=[4, 8]"]) == told


def test_digests_distinguish_types_shapes_and_order() -> None:
    zeros = np.zeros(4, dtype=np.uint8)
    parts = [[zeros], [zeros.reshape(2, 2)], [zeros.view(np.uint16)], [zeros, zeros], [torch.zeros(4)]]
    assert len(set(map(digest, parts))) == len(parts)
    assert digest([torch.zeros(2, 3, dtype=torch.bfloat16).T]) == digest([torch.zeros(3, 2, dtype=torch.bfloat16)])
