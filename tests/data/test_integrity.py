"""``trm data check`` finds what was planted and passes what is clean."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trm.cli.main import main
from trm.data import ARC, Maze, Sudoku
from trm.data import integrity as module
from trm.data.integrity import check_data
from trm.data.maze.paths import FREE, START, WALL
from trm.data.samples import Samples
from trm.data.sampling import DrawGenerator


def sudoku(tmp_path: Path) -> Sudoku:
    return Sudoku(4, train_size=40, val_size=8, test_size=10, clues=(6, 8), root=str(tmp_path))


def found(report: object) -> dict[str, int]:
    return {fault: count for fault, count in report.faults.items() if count}


def test_generated_puzzles_are_clean(tmp_path: Path) -> None:
    report = check_data(sudoku(tmp_path))
    assert report.samples == {"train": 40, "val": 8, "test": 10}
    assert report.clean
    assert check_data(Maze(6, kind="unique", train_size=20, val_size=5, test_size=5, root=str(tmp_path))).clean


def test_planted_faults_are_counted(tmp_path: Path) -> None:
    data = sudoku(tmp_path)
    train, test = data.samples("train"), data.samples("test")
    moved = data.augment(Samples(*(field[:2] for field in train)), DrawGenerator(7, 0, 2))  # two symmetric images
    data._splits["test"] = Samples(*(np.concatenate(pair) for pair in zip(test, moved, strict=True)))
    train.inputs[3] = train.inputs[4]
    train.labels[3] = train.labels[4]
    train.inputs[5] = 1  # no clue
    train.labels[6, 0] = train.labels[6, 0] % 4 + 2  # wrong
    assert found(check_data(data)) == {
        "train: duplicate questions": 1,
        "train: answers that break the rules": 1,
        "train: questions with several solutions": 1,
        "test: puzzles that are also in train, up to symmetry": 2,
    }


def test_labels_of_another_rule_are_counted(tmp_path: Path) -> None:
    data = Maze(
        8, train_size=10, val_size=2, test_size=2, min_moves=8, label_rule="up-right-left-down", root=str(tmp_path)
    )
    for split in ("train", "val", "test"):
        data.samples(split)
    data.label_rule = "down-left-right-up"
    faults = found(check_data(data))
    assert faults
    assert all("do not follow the label rule" in fault for fault in faults)


def test_malformed_samples_are_counted_and_hide_no_other_fault(tmp_path: Path) -> None:
    data = sudoku(tmp_path)
    data.samples("train").labels[0, 0] = 1  # a blank
    data.samples("test").labels[:2, 0] = 0  # no answer there
    assert found(check_data(data)) == {
        "train: answers that break the rules": 1,
        "test: answers that break the rules": 2,
    }
    maze = Maze(8, train_size=10, val_size=2, test_size=2, min_moves=8, root=str(tmp_path))
    questions = maze.samples("train").inputs
    questions[0, (questions[0] == FREE).argmax()] = START  # a second one
    questions[1] = np.where(questions[1] == FREE, WALL, questions[1])
    assert found(check_data(maze)) == {"train: questions without a solution": 2}


def test_many_samples_are_checked_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = sudoku(tmp_path)
    data._splits["test"] = data.samples("train")
    data.samples("train").inputs[30] = 1  # no clue
    whole = check_data(data)
    assert whole.faults["test: puzzles that are also in train, up to symmetry"] == 40
    assert whole.faults["train: questions with several solutions"] == 1
    monkeypatch.setattr(module, "CHUNK", 7)
    assert check_data(data) == whole


def test_a_pair_of_arc_leaks_and_an_input_alone_does_not(tmp_path: Path) -> None:
    def write(subset: str, name: str, **parts: list[tuple[int, int]]) -> None:
        (tmp_path / subset).mkdir(exist_ok=True)
        task: dict[str, Any] = {
            part: [{"input": [[question]], "output": [[answer]]} for question, answer in pairs]
            for part, pairs in parts.items()
        }
        (tmp_path / subset / f"{name}.json").write_text(json.dumps(task))

    def build() -> ARC:
        return ARC(subsets=("training", "evaluation"), source=str(tmp_path), augmentations=2)

    write("training", "40853293", train=[(1, 2)], test=[(3, 4)])
    write("evaluation", "other", train=[(5, 6)], test=[(1, 7)])
    assert check_data(build()).clean
    write("evaluation", "070dd51e", train=[(5, 6)], test=[(3, 4)])  # as published
    report = check_data(build())
    assert report.samples == {"train": 4, "val": 0, "test": 2}
    assert found(report) == {"test: puzzles that are also in train, up to symmetry": 1}


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "config.yaml"
    arguments = "{size: 4, clues: [8, 8], train_size: 20, source: generate}"
    config.write_text(f"model: {{lr: 1}}\ndata:\n  class_path: Sudoku\n  init_args: {arguments}\n")
    sizes = ["--data.val_size=4", "--data.test_size=4"]
    assert main(["data", "check", "--config", str(config), *sizes]) == 0
    assert "nothing is wrong" in capsys.readouterr().out
    assert main(["data", "check", "--config", str(config), *sizes, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"]["train"] == 20
    assert main(["data", "check", *sizes, f"--config={config}"]) == 0
    Path("none.yaml").write_text("data: {class_path: Sudoku, init_args: null}")
    wrong = ["data", "check", "--config", "none.yaml", "--data.size=4", "--data.source=.", "--json", *sizes]
    blank, answer = "." * 16, "1234341221434321"
    for split, rows in (("train", 20), ("test", 4)):
        lines = ["source,question,answer,rating", *[f"made,{answer},{answer},1"] * rows]
        Path(f"{split}.csv").write_text("\n".join(lines))
    capsys.readouterr()
    assert main([*wrong, "--data.train_size=16"]) == 1
    assert json.loads(capsys.readouterr().out)["faults"]["train: duplicate questions"] == 15
    Path("train.csv").write_text(f"source,question,answer,rating\nmade,{blank},{answer},1\n")
    assert main([*wrong, "--data.train_size=null", "--data.val_size=0"]) == 2
    assert "the question has several solutions" in capsys.readouterr().err
    Path("list.yaml").write_text("data: [1]")
    assert main(["data", "check", "--config", "list.yaml"]) == 2
    assert "list.yaml has no data part" in capsys.readouterr().err
    assert main(["data", "check", "--config", "missing.yaml"]) == 2
    assert "cannot read the configuration missing.yaml" in capsys.readouterr().err
    assert main(["data", "check", "--config", str(config), "--data.source=nowhere"]) == 2
    assert "nowhere/train.csv" in capsys.readouterr().err
