"""``trm data check`` finds what was planted and passes what is clean."""

import json
from pathlib import Path

import numpy as np
import pytest

from trm.cli import main
from trm.data import Maze, Sudoku
from trm.data.base import Noise, Rows
from trm.data.check import check_data


def sudoku(tmp_path: Path) -> Sudoku:
    return Sudoku(4, train_size=40, val_size=8, test_size=10, clues=(6, 8), root=str(tmp_path))


def found(report: object) -> dict[str, int]:
    return {fault: count for fault, count in report.faults.items() if count}


def test_generated_puzzles_are_clean(tmp_path: Path) -> None:
    report = check_data(sudoku(tmp_path))
    assert report.rows == {"train": 40, "val": 8, "test": 10}
    assert report.clean
    assert check_data(Maze(6, kind="unique", train_size=20, val_size=5, test_size=5, root=str(tmp_path))).clean


def test_planted_faults_are_counted(tmp_path: Path) -> None:
    data = sudoku(tmp_path)
    train, test = data.rows("train"), data.rows("test")
    moved = data.augment(Rows(*(field[:2] for field in train)), Noise(7, 0, 2))  # two symmetric images
    data._splits["test"] = Rows(*(np.concatenate(pair) for pair in zip(test, moved, strict=True)))
    train.inputs[3] = train.inputs[4]
    train.labels[3] = train.labels[4]
    train.inputs[5] = 1  # no clue
    train.labels[6, 0] = train.labels[6, 0] % 4 + 2  # wrong
    assert found(check_data(data)) == {
        "train: questions that stand there before": 1,
        "train: answers that break the rules": 1,
        "train: questions with several solutions": 1,
        "test: puzzles that are in train too, up to symmetry": 2,
    }


def test_labels_of_another_rule_are_counted(tmp_path: Path) -> None:
    data = Maze(
        8, train_size=10, val_size=2, test_size=2, min_moves=8, label_rule="up-right-left-down", root=str(tmp_path)
    )
    for split in ("train", "val", "test"):
        data.rows(split)
    data.label_rule = "down-left-right-up"
    faults = found(check_data(data))
    assert faults
    assert all("do not follow the label rule" in fault for fault in faults)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "config.yaml"
    arguments = "{size: 4, clues: [8, 8], train_size: 20, source: generate}"
    config.write_text(f"model: {{lr: 1}}\ndata:\n  class_path: Sudoku\n  init_args: {arguments}\n")
    sizes = ["--data.val_size=4", "--data.test_size=4"]
    assert main(["data", "check", "--config", str(config), *sizes]) == 0
    assert "nothing is wrong" in capsys.readouterr().out
    assert main(["data", "check", "--config", str(config), *sizes, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"]["train"] == 20
    assert main(["data", "check", "--config", "missing.yaml"]) == 2
    assert "cannot read the configuration missing.yaml" in capsys.readouterr().err
    assert main(["data", "check", "--config", str(config), "--data.source=nowhere"]) == 2
    assert "nowhere/train.csv" in capsys.readouterr().err
