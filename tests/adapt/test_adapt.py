"""Adaptation to unseen ARC tasks: what is trained, on what, within which budget, and what is written."""

import json
import os
import signal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from command import refused

from trm import load_checkpoint
from trm.adapt import Adapted, Budget, adapt, need_arc
from trm.checkpoints.files import read_checkpoint
from trm.checkpoints.finetune import start_from
from trm.cli.main import main
from trm.data import ARC, Sudoku
from trm.data.arc.query import find_known
from trm.data.arc.tasks import Task, to_task
from trm.errors import InputError
from trm.module import TRMModule

RECOLOUR = {
    "train": [
        {"input": [[1, 1, 0], [0, 0, 1], [1, 0, 0]], "output": [[2, 2, 0], [0, 0, 2], [2, 0, 0]]},
        {"input": [[1, 0], [0, 1]], "output": [[2, 0], [0, 2]]},
    ],
    "test": [{"input": [[0, 1], [1, 1]], "output": [[0, 2], [2, 2]]}],
}
FLIP = {
    "train": [{"input": [[5, 6, 0]], "output": [[0, 6, 5]]}, {"input": [[7, 0]], "output": [[0, 7]]}],
    "test": [{"input": [[8, 9]]}],
}


@pytest.fixture(autouse=True)
def folder_with_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, task in (("recolour", RECOLOUR), ("flip", FLIP)):
        Path("tasks").mkdir(exist_ok=True)
        Path("tasks", f"{name}.json").write_text(json.dumps(task))


def task(value: dict[str, Any] = RECOLOUR, name: str = "recolour") -> Task:
    return to_task(name, value, "a test")


def adapted(*tasks: Task, **options: Any) -> Adapted:
    return adapt(*load_checkpoint("arc-toy"), tasks or (task(),), **{"steps": 2, **options})


def test_a_task_gets_ids_that_start_at_the_mean_and_only_they_are_trained_with_embeddings() -> None:
    before, data = load_checkpoint("arc-toy")
    result = adapted(parameters="embeddings", steps=1)
    rows, old = (module.core.puzzle_embedding.weights for module in (result.module, before))
    assert torch.equal(rows[: len(old)], old), "the vectors of other tasks are untouched"
    assert len(rows) - len(old) == 8, "the task as published, and 7 augmentations as in the training of the model"
    start = old[1:].mean(0)
    moved = (rows[len(old) :] - start).abs().amax(-1)
    assert moved.max() > 0
    assert moved.max() < 0.1, "one step of the warm-up from the mean"
    for name, parameter in before.named_parameters():
        assert torch.equal(parameter, dict(result.module.named_parameters())[name]), name
        assert dict(result.module.named_parameters())[name].requires_grad
    assert (result.steps, result.data.num_puzzles) == (1, data.num_puzzles + 8)


def test_all_parameters_are_trained_by_default_and_steps_give_the_same_result_again() -> None:
    before, _ = load_checkpoint("arc-toy")
    first, second, other = adapted(), adapted(), adapted(seed=1)
    for (name, one), two in zip(first.module.state_dict().items(), second.module.state_dict().values(), strict=True):
        assert torch.equal(one, two), name
    changed = [not torch.equal(*pair) for pair in zip(before.parameters(), first.module.parameters(), strict=True)]
    assert all(changed)
    ours, theirs = (result.module.core.puzzle_embedding.weights for result in (first, other))
    assert not torch.equal(ours, theirs)


def test_the_test_pairs_change_nothing() -> None:
    lies = {**RECOLOUR, "test": [{"input": [[3]], "output": [[9, 9]]}, {"input": [[4, 4]]}]}
    for path, value in (("right.json", RECOLOUR), ("wrong.json", lies)):
        Path(path).write_text(json.dumps({"recolour": value}))
        assert main(["adapt", "arc-toy", path, "--steps", "2", "-o", f"{path}.ckpt", "--json"]) in (0, 1)
    right, wrong = (read_checkpoint(f"{path}.ckpt") for path in ("right.json", "wrong.json"))
    assert right["family"] == wrong["family"], "nor are they written"
    for name, tensor in right["state_dict"].items():
        assert torch.equal(tensor, wrong["state_dict"][name]), name


def test_of_a_task_that_the_model_knows_only_the_pairs_of_the_file_are_drawn() -> None:
    module, data = load_checkpoint("arc-toy")
    assert isinstance(data, ARC)
    known = data.task(data.puzzles[3].name)
    assert known is not None
    fewer = known._replace(train=known.train[:1])
    result = adapt(module, data, [fewer], steps=1)
    assert result.data.num_puzzles == data.num_puzzles
    assert result.data.pass_size() == 1
    drawn = result.data.draw(0, 50)
    assert {int(result.data.symmetries.tasks[i]) for i in drawn.puzzle_ids.tolist()} == {3}


def test_solve_adapts_within_seconds_and_answers_without_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("trm.adapt.adaptation.Budget", lambda seconds, _: Budget(seconds, count().__next__))
    before = set(Path.cwd().rglob("*"))
    assert main(["solve", "arc-toy", "tasks/recolour.json", "--adapt-seconds", "5", "--json"]) in (0, 1)
    printed = capsys.readouterr()
    assert json.loads(printed.out)["known"]
    assert "adapted to 1 task in 4 steps" in printed.err
    assert "mean little" not in printed.err
    assert set(Path.cwd().rglob("*")) == before


def test_a_budget_ends_at_the_last_step_that_fits() -> None:
    assert adapted(steps=None, seconds=5, clock=count().__next__).steps == 4, "at 2, 3, 4 and 5"
    assert adapted(steps=2, seconds=5, clock=count().__next__).steps == 2
    with pytest.raises(InputError, match=r"is 1 second, but the first step ended after 2: allow more seconds"):
        adapted(steps=None, seconds=1, clock=count().__next__)
    for seconds in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InputError, match=f"is {seconds} seconds, but must be greater than 0 and finite"):
            adapted(seconds=seconds)


def test_what_is_written_is_an_ordinary_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adapt", "arc-toy", "tasks/", "--steps", "2", "-o", "one.ckpt"]) in (0, 1)
    assert "one.ckpt: adapted to 2 tasks in 2 steps" in capsys.readouterr().out
    assert main(["solve", "one.ckpt", "tasks/flip.json", "--json"]) in (0, 1)
    assert json.loads(capsys.readouterr().out)["known"]
    assert main(["trace", "one.ckpt", "tasks/flip.json", "--terminal", "--delay", "0", "--depth", "1"]) == 0
    assert main(["info", "one.ckpt"]) == 0
    facts = capsys.readouterr().out
    assert "from arc-toy, step 8000, puzzles 46" in facts
    assert max(map(len, facts.splitlines())) < 300
    assert main(["info", "one.ckpt", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["data"]["added"]) == 2

    later = {**FLIP, "train": [{"input": [[3, 4]], "output": [[4, 3]]}]}
    Path("later.json").write_text(json.dumps(later))
    assert main(["adapt", "one.ckpt", "later.json", "--steps", "1", "-o", "two.ckpt"]) in (0, 1)
    module, data = load_checkpoint("two.ckpt")
    assert isinstance(data, ARC)
    assert [puzzle.name for puzzle in data.puzzles[-3:]] == ["flip", "recolour", "later"]
    assert module.hparams["num_puzzles"] == data.num_puzzles == data.symmetries.first[-1]

    fresh = TRMModule(**load_checkpoint("arc-toy")[0].hparams)
    start_from(fresh, "two.ckpt")
    assert torch.equal(fresh.core.answer_head.weight, module.core.answer_head.weight)


def test_official_ids_keep_their_order_when_a_task_is_added() -> None:
    data = ARC(subsets=("training",), test_subset="training", numbering="official", augmentations=2, tasks_per_subset=2)
    extended = data.with_tasks([task()])
    assert extended.num_puzzles == data.num_puzzles + 3
    assert (extended.symmetries.colours[: data.num_puzzles] == data.symmetries.colours).all()
    assert extended.resolve(data.num_puzzles)[:3] == ("recolour", 0, 0)
    assert extended.symmetries.tasks[-3:].tolist() == [2, 2, 2]
    assert find_known(extended, task()) == 2


def test_a_checkpoint_with_a_malformed_task_is_refused_when_it_is_loaded() -> None:
    for text, message in (
        ("{", "data.added is not JSON"),
        ("[]", r"data.added contains \[\], but needs tasks as objects with a name and train pairs"),
        ('{"name": "a", "train": []}', "data.added, task a"),
        ('{"name": "a", "train": [{"input": [[1]], "output": [[11]]}]}', "colours are the numbers 0 to 9"),
        (json.dumps({"name": "a", "train": [{"input": [[1] * 7], "output": [[1]]}]}), "has a grid of 7 rows"),
    ):
        with pytest.raises(InputError, match=message):
            ARC(subsets=("training",), test_subset="training", side=6, added=(text,))


REFUSED = {
    "nothing to write": (["tasks/flip.json", "--steps", "1"], "pass -o FILE"),
    "no end": (["tasks/flip.json", "-o", "x.ckpt"], "adaptation needs an end: pass seconds or steps"),
    "no seconds": (["tasks/flip.json", "-o", "x.ckpt", "--seconds", "0"], "is 0 seconds, but must be greater than 0"),
    "nan": (["tasks/flip.json", "-o", "x.ckpt", "--seconds", "nan"], "seconds is nan, but must be a number"),
    "endless": (["tasks/flip.json", "-o", "x.ckpt", "--seconds", "inf"], "seconds is inf, but must be a number"),
    "no steps": (["tasks/flip.json", "-o", "x.ckpt", "--steps", "0"], "adapt.steps is 0, but must be at least 1"),
    "no slots": (["tasks/flip.json", "-o", "x.ckpt", "--steps", "1", "--slots", "0"], "adapt.slots is 0"),
    "too short": (["tasks/flip.json", "-o", "x.ckpt", "--seconds", "1e-9"], "but the first step ended after"),
    "exists": (["tasks/flip.json", "-o", "old.ckpt", "--steps", "1"], "old.ckpt exists already; --force overwrites it"),
    "input": (["tasks/flip.json", "-o", "../base.ckpt", "--steps", "1", "--force"], "is the file that is read"),
    "missing": (["no.json", "-o", "x.ckpt", "--steps", "1"], "cannot read no.json"),
    "no test": (["no-test.json", "-o", "x.ckpt", "--steps", "1"], "no test pair, but at least one is needed"),
    "pairs alone": (["pairs.json", "-o", "x.ckpt", "--steps", "1"], "but no test input to answer"),
    "no pairs": (["no-pairs.json", "-o", "x.ckpt", "--steps", "1"], "no train pair, but at least one is needed"),
    "large": (["large.json", "-o", "x.ckpt", "--steps", "1"], "grid of 7 rows or columns, but the model's canvas"),
    "larger": (["larger.json", "-o", "x.ckpt", "--steps", "1"], "grids have at most 30 rows and columns"),
    "name": (["tasks/flip.json", "twin/flip.json", "-o", "x.ckpt", "--steps", "1"], "have the name flip; rename one"),
    "folder": (["tasks/", "-o", "tasks", "--steps", "1", "--force"], "it is a folder"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_adapted_is_refused_and_nothing_is_written(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = FLIP["train"]
    files: dict[str, Any] = {
        "no-test.json": {"train": pairs, "test": []},
        "pairs.json": pairs,
        "no-pairs.json": {"train": [], "test": FLIP["test"]},
        "large.json": {"train": [{"input": [[1] * 7], "output": [[1]]}], "test": FLIP["test"]},
        "larger.json": {"train": [{"input": [[1] * 31], "output": [[1]]}], "test": FLIP["test"]},
        "twin/flip.json": {**FLIP, "train": pairs[:1]},
    }
    Path("work", "twin").mkdir(parents=True)
    Path("work", "tasks").symlink_to(tmp_path / "tasks")
    monkeypatch.chdir("work")
    for name, value in files.items():
        Path(name).write_text(json.dumps(value))
    Path("old.ckpt").write_text("old")
    source = Path(__file__).parents[2] / "trm/zoo/arc-toy.ckpt"
    Path("../base.ckpt").write_bytes(source.read_bytes())
    arguments, message = REFUSED[case]
    assert message in refused(capsys, ["adapt", "../base.ckpt", *arguments])
    assert Path("old.ckpt").read_text() == "old"
    assert Path("../base.ckpt").read_bytes() == source.read_bytes()


def test_other_families_and_models_without_puzzle_ids_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    message = "the model solves Sudoku, but only one of ARC can be adapted"
    assert message in refused(capsys, ["adapt", "sudoku-4x4", "tasks/flip.json", "--steps", "1", "-o", "x.ckpt"])
    assert message in refused(capsys, ["solve", "sudoku-4x4", ".2..4..13......4", "--adapt-seconds", "1"])
    sample = ["solve", "arc-toy", "tasks/flip.json", "test:0", "--adapt-seconds", "1"]
    assert "adapt_seconds is 1, but test:0 is no task; pass tasks alone" in refused(capsys, sample)
    _, data = load_checkpoint("arc-toy")
    plain = TRMModule(12, 36, 0, hidden_size=8, num_heads=1, multiple_of=8)
    with pytest.raises(InputError, match="the model has no puzzle embedding"):
        need_arc(plain, data)
    with pytest.raises(InputError, match="solves Sudoku"):
        adapt(plain, Sudoku(size=4), [task()], steps=1)
    with pytest.raises(InputError, match="there is no task to adapt to"):
        adapt(*load_checkpoint("arc-toy"), [], steps=1)
    with pytest.raises(InputError, match="parameters is 'some', but must be one of all, embeddings"):
        adapted(parameters="some")


def test_readable_tasks_are_adapted_to_and_answered_before_the_others_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("trm.adapt.adaptation.Budget", lambda seconds, _: Budget(seconds, count().__next__))
    Path("pairs.json").write_text(json.dumps(FLIP["train"]))
    assert main(["solve", "arc-toy", "pairs.json", "tasks/flip.json", "--adapt-seconds", "3", "--json"]) == 2
    printed = capsys.readouterr()
    assert json.loads(printed.out)["known"]
    assert "trm: error: task pairs has 2 pairs" in printed.err
    assert main(["solve", "arc-toy", "pairs.json", "--adapt-seconds", "3"]) == 2
    assert "adapted" not in capsys.readouterr().err


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_adaptation_ends_it_and_nothing_is_written(
    signum: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(Budget):
        def on_train_batch_end(self, *arguments: Any) -> None:
            super().on_train_batch_end(*arguments)
            os.kill(os.getpid(), signum)

    monkeypatch.setattr("trm.adapt.adaptation.Budget", Interrupted)
    before = set(Path.cwd().rglob("*"))
    assert main(["adapt", "arc-toy", "tasks/flip.json", "--steps", "99", "-o", "x.ckpt"]) == 128 + signum
    assert "stopped before its end" in capsys.readouterr().err
    assert set(Path.cwd().rglob("*")) == before
