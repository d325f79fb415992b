"""Asking about one task file: known tasks under their own puzzles, unknown ones as the blank puzzle."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from trm.cli import main
from trm.data.arc import ARC
from trm.data.arc.ask import ask
from trm.data.arc.sources import read_task
from trm.data.base import to_batch


def test_right_answers_win_under_every_symmetry(small: Callable[..., ARC], tmp_path: Path) -> None:
    data = small()
    task = read_task(tmp_path / "evaluation" / "four.json")
    question = ask(data, task, views=4)
    assert question.known
    assert len(question.ids) == 2 * 4
    assert np.array_equal(question.rows.puzzles, question.ids)
    batch = to_batch(question.rows)
    question.votes.update(torch.from_numpy(question.rows.labels), torch.zeros(8), batch)
    submission, unanswered = question.votes.submission()
    assert unanswered == 0
    assert [attempts["attempt_1"] for attempts in submission["four"]] == [pair.output.tolist() for pair in task.test]
    assert question.votes.compute()["pass@1"] == 1


def test_a_renamed_task_is_known_by_its_pairs_and_a_new_one_is_not(small: Callable[..., ARC], tmp_path: Path) -> None:
    data = small()
    task = read_task(tmp_path / "evaluation" / "four.json")
    assert ask(data, task._replace(name="renamed"), views=2).known
    stranger = task._replace(name="new", train=task.test)
    question = ask(data, stranger, views=3)
    assert not question.known
    assert not question.rows.puzzles.any()
    assert question.ids.tolist() == [1, 2, 3] * 2


def test_solve_takes_a_task_file(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = tmp_path / "evaluation" / "four.json"
    assert main(["solve", str(checkpoint), str(task), "--json"]) in (0, 1)
    printed = json.loads(capsys.readouterr().out)
    assert len(printed["four"]) == 2
    assert printed["known"]
    assert set(printed["scores"]) >= {"pass@1", "pass@2", "unanimous"}

    stranger = json.loads(task.read_text())
    stranger["train"], stranger["test"] = stranger["test"], [{"input": pair["input"]} for pair in stranger["train"]]
    (tmp_path / "new.json").write_text(json.dumps(stranger))
    assert main(["solve", str(checkpoint), str(tmp_path / "new.json")]) in (0, 1)
    output = capsys.readouterr()
    assert "not trained on this task" in output.err
    assert output.out.count("and two attempts") == 3


def test_a_file_that_is_no_task_is_refused(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "no.json").write_text("[1]")
    assert main(["solve", str(checkpoint), str(tmp_path / "no.json")]) == 2
    assert "is no task" in capsys.readouterr().err
    assert main(["solve", str(checkpoint), str(tmp_path / "missing.json")]) == 2
    assert "No such file" in capsys.readouterr().err
