"""Adaptation to unseen ARC tasks: what is trained, on what, within which budget, and what is written."""

import json
import os
import signal
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import refused
from paths import REPO

from trm import load_checkpoint
from trm.adapt import AdaptationBudget, Adapted, adapt, need_arc
from trm.checkpoints.files import read_checkpoint
from trm.checkpoints.finetune import start_from
from trm.cli.main import main
from trm.data import ARC, PuzzleData, Sudoku
from trm.data.arc.query import find_known
from trm.data.arc.tasks import Pair, Task, to_task
from trm.errors import InputError
from trm.module import TRMModule
from trm.zoo import find

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
    return adapt(*toy(), tasks or (task(),), **{"steps": 2, **options})


@cache
def toy() -> tuple[TRMModule, PuzzleData]:
    """The model of the zoo, which adaptation does not change."""
    return load_checkpoint("arc-toy")


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


def test_no_more_slots_than_there_are_pairs_under_all_augmentations_are_trained_by_default() -> None:
    _, data = load_checkpoint("arc-toy")
    assert adapted(steps=1).data.slots == 2 * 8 < data.slots, "two pairs, as published and under 7 augmentations"
    three = [task(), task(FLIP, "flip"), task({**FLIP, "train": FLIP["train"][:1]}, "half")]
    assert adapted(*three, steps=1).data.slots == data.slots == 32
    assert adapted(steps=1, slots=20).data.slots == 20


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
    monkeypatch.setattr(
        "trm.adapt.adaptation.AdaptationBudget", lambda seconds, _: AdaptationBudget(seconds, count().__next__)
    )
    before = set(Path.cwd().rglob("*"))
    assert main(["solve", "arc-toy", "tasks/recolour.json", "--adapt-seconds", "5", "--json"]) in (0, 1)
    printed = capsys.readouterr()
    assert json.loads(printed.out)["known"]
    assert "adapted to 1 task in 3 steps" in printed.err
    assert "mean little" not in printed.err
    assert set(Path.cwd().rglob("*")) == before


def test_a_budget_ends_before_a_step_that_may_not_fit() -> None:
    assert adapted(steps=None, seconds=5, clock=count().__next__).steps == 3, "at 2, 3 and 4; the next may take 2"
    assert adapted(steps=2, seconds=5, clock=count().__next__).steps == 2
    with pytest.raises(InputError, match=r"is 1 second, but the first step ended after 2: allow more than that"):
        adapted(steps=None, seconds=1, clock=count().__next__)
    for seconds in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InputError, match=f"is {seconds} seconds, but must be a finite number greater than 0"):
            adapted(seconds=seconds)


def test_a_budget_holds_when_steps_differ_and_a_slow_first_step_does_not_use_it_up() -> None:
    slow_first = iter([0, 0, 5, 6, 7, 8, 9, 9])
    result = adapted(steps=None, seconds=10, clock=slow_first.__next__)
    assert (result.steps, result.seconds) == (5, 9)
    slow_last = iter([0, 0, 1, 2, 3, 5, 5])
    result = adapted(steps=None, seconds=6, clock=slow_last.__next__)
    assert (result.steps, result.seconds) == (4, 5)


def test_neither_model_nor_family_is_changed_so_another_task_can_follow() -> None:
    module, data = toy()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(InputError, match="but the first step ended after"):
        adapt(module, data, [task()], seconds=1e-9)
    first = adapt(module, data, [task()], steps=1)
    second = adapt(module, data, [task(FLIP, "flip")], steps=1)
    assert [result.data.puzzles[-1].name for result in (first, second)] == ["recolour", "flip"]
    assert module.hparams["num_puzzles"] == data.num_puzzles
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_a_task_that_is_given_twice_counts_once(capsys: pytest.CaptureFixture[str]) -> None:
    once, twice = adapted(task()), adapted(task(), task())
    assert torch.equal(once.module.core.answer_head.weight, twice.module.core.answer_head.weight)
    given = ["tasks/flip.json", "./tasks/flip.json"]
    assert main(["adapt", "arc-toy", *given, "--steps", "1", "-o", "x.ckpt"]) in (0, 1)
    assert "adapted to 1 task" in capsys.readouterr().out


def test_tasks_may_come_from_a_generator_and_have_lists_for_grids() -> None:
    by_hand = Task("flip", [Pair([[5, 6, 0]], [[0, 6, 5]])], [Pair([[8, 9]], None)])  # type: ignore[arg-type]
    result = adapt(*toy(), (each for each in [by_hand]), steps=1)
    assert result.data.puzzles[-1].train_pairs[0][0].tolist() == [[5, 6, 0]]


GRID = np.array([[1, 2]], dtype=np.uint8)
WRONG: dict[str, tuple[Any, dict[str, Any], str]] = {
    "seconds of text": ([task()], {"seconds": "3"}, "the budget of adaptation is '3', but must be a finite number"),
    "seconds of truth": ([task()], {"seconds": True}, "the budget of adaptation is True, but must be"),
    "half a step": ([task()], {"steps": 2.5}, "adapt.steps is 2.5, but must be a whole number"),
    "steps of text": ([task()], {"steps": "2"}, "adapt.steps is '2', but must be a whole number"),
    "half a slot": ([task()], {"slots": 1.5}, "adapt.slots is 1.5, but must be a whole number"),
    "half a seed": ([task()], {"seed": 1.5}, "adapt.seed is 1.5, but must be a whole number"),
    "no seed": ([task()], {"seed": None}, "adapt.seed is None, but must be a whole number"),
    "a task alone": (task(), {}, r"tasks is a Task, but a list of tasks is needed, as in adapt\(..., \[task\]\)"),
    "a path": ("tasks/flip.json", {}, "tasks is a str, but a list of tasks is needed"),
    "nothing": (None, {}, "tasks is a NoneType, but a list of tasks is needed"),
    "paths": (
        ["tasks/flip.json"],
        {},
        'tasks has "tasks/flip.json", a str; accepted are tasks, as .*read_task',
    ),
    "decoded JSON": ([FLIP], {}, "tasks has .*, a dict; accepted are tasks"),
    "no train pair": ([Task("a", [], task().test)], {}, "task a has no train pair, but at least one is needed"),
    "no test pair": ([Task("a", task().train, [])], {}, "task a has no test pair, but at least one is needed"),
    "no output": ([Task("a", [Pair(GRID, None)], task().test)], {}, "train pair 1 is .*, but an object with an input"),
    "a row": (
        [Task("a", [Pair(GRID[0], GRID)], task().test)],
        {},
        r"the input of train pair 1 is \[1, 2\], but",
    ),
    "colour 12": ([Task("a", [Pair(GRID, GRID + 10)], task().test)], {}, "has 11 in row 1, column 1; colours are"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_values_in_python_are_refused_in_a_sentence(case: str) -> None:
    tasks, options, message = WRONG[case]
    with pytest.raises(InputError, match=message):
        adapt(*toy(), tasks, **{"steps": 1, **options})


def test_what_is_no_model_of_arc_is_refused_in_python() -> None:
    module, data = toy()
    with pytest.raises(InputError, match="module is a NoneType, but a TRMModule is adapted"):
        adapt(None, data, [task()], steps=1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="the model solves NoneType, but only one of ARC can be adapted"):
        adapt(module, None, [task()], steps=1)  # type: ignore[arg-type]


def test_no_file_that_is_read_is_overwritten_even_with_force(capsys: pytest.CaptureFixture[str]) -> None:
    Path("flip").write_text(json.dumps(FLIP))
    message = "is the file that is read; choose another one to write to"
    assert message in refused(capsys, ["adapt", "arc-toy", "flip", "--steps", "1", "-o", "flip", "--force"])
    assert message in refused(capsys, ["trace", "arc-toy", "flip", "-o", "flip", "--force"])
    Path("link.ckpt").symlink_to(find("arc-toy"))
    assert message in refused(capsys, ["adapt", "arc-toy", "flip", "--steps", "1", "-o", "link.ckpt", "--force"])
    assert json.loads(Path("flip").read_text()) == FLIP


def test_a_sample_is_no_task_and_a_task_of_an_adapted_model_needs_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    sample = refused(capsys, ["adapt", "arc-toy", "test:0", "--steps", "1", "-o", "x.ckpt"])
    assert "test:0 is a sample of the test split, but a task is needed here: a file such as TASK.json" in sample
    adapted().save("x.ckpt", "arc-toy")
    known = refused(capsys, ["solve", "x.ckpt", "recolour"])
    assert "the model was adapted to the task recolour, but has not kept its test inputs: pass its file" in known
    assert "the name of one of its 46 tasks" in refused(capsys, ["solve", "x.ckpt", "another"])


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

    evaluate = ["test", f"--config={REPO / 'configs/arc-small.yaml'}", "--ckpt_path=one.ckpt"]
    assert main([*evaluate, "--trainer.limit_test_batches=1", "--data.eval_batch_size=8"]) == 0
    assert "test/pass@2" in capsys.readouterr().out, "on the test inputs of the model, with the ids of all tasks"

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
    "no seconds": (["tasks/flip.json", "-o", "x.ckpt", "--seconds", "0"], "is 0 seconds, but must be a finite number"),
    "nan": (["tasks/flip.json", "-o", "x.ckpt", "--seconds", "nan"], "seconds is nan, but must be a number"),
    "endless": (["tasks/flip.json", "-o", "x.ckpt", "--seconds", "inf"], "seconds is inf, but must be a number"),
    "no steps": (["tasks/flip.json", "-o", "x.ckpt", "--steps", "0"], "adapt.steps is 0, but must be at least 1"),
    "no slots": (["tasks/flip.json", "-o", "x.ckpt", "--steps", "1", "--slots", "0"], "adapt.slots is 0"),
    "too short": (["tasks/flip.json", "-o", "x.ckpt", "--seconds", "1e-9"], "but the first step ended after"),
    "exists": (["tasks/flip.json", "-o", "old.ckpt", "--steps", "1"], "old.ckpt exists already; --force overwrites it"),
    "input": (["tasks/flip.json", "-o", "../base.ckpt", "--steps", "1", "--force"], "is the file that is read"),
    "truth": (["tasks/flip.json", "-o", "x.ckpt", "--seconds", "true"], "seconds is true, but must be a number"),
    "NUL": (["tasks/flip.json", "-o", "x\0.ckpt", "--steps", "1"], r"cannot write 'x\x00.ckpt': embedded null byte"),
    "text": (["tasks/flip.json", "-o", "x.txt", "--steps", "1"], "but a checkpoint is written, not text"),
    "key twice": (["twice.json", "-o", "x.ckpt", "--steps", "1"], "twice.json has the key 'train' twice in an object"),
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
    Path("twice.json").write_text('{"train": [], "train": [], "test": []}')
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
    monkeypatch.setattr(
        "trm.adapt.adaptation.AdaptationBudget", lambda seconds, _: AdaptationBudget(seconds, count().__next__)
    )
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
    class Interrupted(AdaptationBudget):
        def on_train_batch_end(self, *arguments: Any) -> None:
            super().on_train_batch_end(*arguments)
            os.kill(os.getpid(), signum)

    monkeypatch.setattr("trm.adapt.adaptation.AdaptationBudget", Interrupted)
    before = set(Path.cwd().rglob("*"))
    assert main(["adapt", "arc-toy", "tasks/flip.json", "--steps", "99", "-o", "x.ckpt"]) == 128 + signum
    assert "stopped before its end" in capsys.readouterr().err
    assert set(Path.cwd().rglob("*")) == before
