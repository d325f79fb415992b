"""Asking about one task file: known tasks under their own puzzles, unknown ones as the blank puzzle."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tasks import Files

from trm.cli.main import main
from trm.data.arc import ARC
from trm.data.arc.files import read_task
from trm.data.arc.query import query_task
from trm.data.samples import to_batch
from trm.inference import Answers
from trm.nn import TRM


def test_right_answers_win_under_every_symmetry(small: Callable[..., ARC], tmp_path: Path) -> None:
    data = small()
    task = read_task(tmp_path / "evaluation" / "four.json")
    question = query_task(data, task, views=4)
    assert question.known
    assert len(question.ids) == 2 * 4
    assert np.array_equal(question.samples.puzzle_ids, question.ids)
    batch = to_batch(question.samples)
    question.votes.update(torch.from_numpy(question.samples.labels), torch.zeros(8), batch)
    submission, unanswered = question.votes.submission()
    assert unanswered == 0
    assert [attempts["attempt_1"] for attempts in submission["four"]] == [pair.output.tolist() for pair in task.test]
    assert question.votes.compute()["pass@1"] == 1


def test_a_renamed_task_is_known_by_its_pairs_and_a_new_one_is_not(small: Callable[..., ARC], tmp_path: Path) -> None:
    data = small()
    task = read_task(tmp_path / "evaluation" / "four.json")
    assert query_task(data, task._replace(name="renamed"), views=2).known
    stranger = task._replace(name="new", train=task.test)
    question = query_task(data, stranger, views=3)
    assert not question.known
    assert not question.samples.puzzle_ids.any()
    assert question.ids.tolist() == [1, 2, 3] * 2


@pytest.mark.slow
def test_solve_takes_a_task_file(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = tmp_path / "evaluation" / "four.json"
    assert main(["solve", str(checkpoint), str(task), "--json"]) in (0, 1)
    printed = json.loads(capsys.readouterr().out)
    assert len(printed["four"]) == 2
    assert printed["known"]
    assert [sum(votes) <= 6 for votes in printed["votes"]] == [True, True]
    assert all(0 <= value <= 1 for values in printed["confidence"] for value in values)
    assert set(printed["scores"]) >= {"pass@1", "pass@2", "unanimous"}

    stranger = json.loads(task.read_text())
    stranger["train"], stranger["test"] = stranger["test"], [{"input": pair["input"]} for pair in stranger["train"]]
    (tmp_path / "new.json").write_text(json.dumps(stranger))
    assert main(["solve", str(checkpoint), str(tmp_path / "new.json")]) in (0, 1)
    output = capsys.readouterr()
    assert "not trained on this task" in output.err
    assert output.out.count("and two attempts") == 3
    assert output.out.count("attempt 1: ") == 3
    assert "right" not in output.out
    assert "wrong" not in output.out
    main(["solve", str(checkpoint), str(task)])
    assert ", wrong" in capsys.readouterr().out


def test_an_attempt_without_a_grid_sets_the_exit_status(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(core: TRM, inputs: torch.Tensor, *rest: object) -> Answers:
        return Answers(torch.eye(12)[torch.zeros_like(inputs)], torch.zeros(len(inputs)), torch.ones(len(inputs)))

    monkeypatch.setattr("trm.solver.think", nothing)
    assert main(["solve", str(checkpoint), str(tmp_path / "evaluation" / "four.json")]) == 1
    assert "attempt 1: no grid, 6 votes, confidence 50.0%, wrong" in capsys.readouterr().out


def test_tasks_that_changed_since_training_are_refused(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = tmp_path / "evaluation" / "four.json"
    task.with_name("five.json").write_text(task.read_text().replace("0", "7"))
    assert main(["solve", str(checkpoint), str(task)]) == 2
    assert "the tasks have changed since" in capsys.readouterr().err


def test_a_model_of_a_small_canvas_solves_what_fits_and_refuses_the_rest(
    files: Files, trained: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = trained(side=4)
    assert main(["solve", str(path), str(tmp_path / "evaluation" / "four.json"), "--json"]) in (0, 1)
    assert json.loads(capsys.readouterr().out)["known"]
    files["evaluation"]["four"]["test"][0]["input"] = [[1] * 5]
    (tmp_path / "large.json").write_text(json.dumps(files["evaluation"]["four"]))
    assert main(["solve", str(path), str(tmp_path / "large.json")]) == 2
    expected = "task large has a grid of 5 rows or columns, but the model's canvas (data.side) has 4"
    assert expected in capsys.readouterr().err


def test_a_file_that_is_no_task_is_refused(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "no.json").write_text("[1]")
    assert main(["solve", str(checkpoint), str(tmp_path / "no.json")]) == 2
    assert "is not a task" in capsys.readouterr().err
    assert main(["solve", str(checkpoint), str(tmp_path / "missing.json")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_the_name_decides_before_the_pairs_and_the_outputs_count(small: Callable[..., ARC], tmp_path: Path) -> None:
    data = small()
    one, four = (read_task(tmp_path / path) for path in ("training/one.json", "evaluation/four.json"))
    named = query_task(data, four._replace(train=one.train), views=1)  # its pairs are those of an earlier puzzle
    assert named.ids.tolist() == query_task(data, four, views=1).ids.tolist()
    other = [pair._replace(output=pair.output + np.uint8(1)) for pair in four.train if pair.output is not None]
    assert not query_task(data, four._replace(name="other", train=other), views=1).known
