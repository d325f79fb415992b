"""``trm data check`` finds what was planted and passes what is clean."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trm.cli.main import main
from trm.data import ARC, Maze, PuzzleData, Sudoku, Verdict
from trm.data import integrity as module
from trm.data.integrity import Report, check_data
from trm.data.maze.paths import FREE, START, WALL, symmetry_cells
from trm.data.samples import Samples, Tokens
from trm.data.sampling import DrawGenerator
from trm.errors import InputError


def sudoku(tmp_path: Path) -> Sudoku:
    return Sudoku(4, train_size=40, val_size=8, test_size=10, clues=(6, 8), root=str(tmp_path))


def found(report: Report) -> dict[str, int]:
    return {fault: count for fault, count in report.faults.items() if count}


class Grids(PuzzleData):
    """Asks for the marked cell of a random 4x4 grid of 20 tokens; turns and reflections do not change a puzzle."""

    vocab_size, seq_len, num_puzzles = 22, 16, 0

    def __init__(self, **splits: Samples) -> None:
        super().__init__(slots=4, workers=0)
        self.given = splits

    def load(self, split: str) -> Samples:
        return self.given.get(split) or some_grids(20, seed=("train", "val", "test").index(split))

    def augment(self, samples: Samples, generator: DrawGenerator) -> Samples:
        cells = symmetry_cells(4)[sum(generator.coins().astype(np.intp) << bit for bit in range(3))]
        inputs, labels = (np.take_along_axis(part, cells, axis=1) for part in samples[:2])
        return Samples(inputs, labels, samples.puzzle_ids)

    def parse(self, text: str) -> Tokens:
        return np.frombuffer(text.encode(), dtype=np.uint8)

    def write(self, tokens: Tokens) -> str:
        return bytes(tokens).decode()

    def verify(self, question: Tokens, answer: Tokens) -> Verdict:
        return Verdict(bool(((question == answer) | (question == 1)).all()), "")


def some_grids(count: int, seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, 22, (count, 16)).astype(np.uint8)
    return Samples(np.where(rng.random((count, 16)) < 0.3, 1, labels).astype(np.uint8), labels, np.zeros(count, int))


def turned(samples: Samples) -> Samples:
    cells = symmetry_cells(4)[5]
    return Samples(samples.inputs[:, cells], samples.labels[:, cells], samples.puzzle_ids)


def test_leaks_of_an_own_family_are_found_without_code_of_its_own_for_that() -> None:
    train = some_grids(20, seed=0)
    assert check_data(Grids()).clean
    report = check_data(Grids(train=train, test=turned(train.take(slice(7)))))
    assert found(report) == {
        "test: puzzles that are also in train, up to symmetry": 7,
        "test: solutions that are also in train, up to symmetry": 7,
    }
    (how,) = {finding.how for finding in report.findings if finding.what.startswith("test: puzzles that are also")}
    assert "draws of augment per sample, which find 100% of symmetric images" in how


def test_solutions_seen_in_training_are_found_under_other_questions() -> None:
    train = some_grids(20, seed=0)
    others = turned(train)._replace(inputs=np.where(np.arange(16) % 2, turned(train).labels, np.uint8(1)))
    assert found(check_data(Grids(test=others))) == {"test: solutions that are also in train, up to symmetry": 20}
    few = train._replace(labels=np.where(np.arange(20)[:, None] % 2, np.uint8(2), np.uint8(3)) + 0 * train.labels)
    few = few._replace(inputs=np.where(train.inputs == 1, np.uint8(1), few.labels))
    notes = [finding for finding in check_data(Grids(train=few, test=few)).findings if not finding.fault]
    assert ("test: solutions that are also in train, up to symmetry", 20) in [note[:2] for note in notes]


def test_symmetries_that_are_too_many_to_draw_are_not_called_checked(tmp_path: Path) -> None:
    class Own(Sudoku):
        symmetry_keys = PuzzleData.symmetry_keys

    data = Own(9, clues=(40, 45), train_size=20, val_size=0, test_size=5, root=str(tmp_path))
    data._splits["test"] = data.augment(data.samples("train").take(slice(5)), DrawGenerator(7, 0, 5))
    report = check_data(data)
    assert "never coincide" in report.unchecked["test: symmetric images of puzzles in train"]
    assert "test: puzzles that are also in train" in report.faults
    assert not any("up to symmetry" in finding.what for finding in report.findings)


def changed(**fields: Any) -> Samples:
    return some_grids(20, seed=1)._replace(**fields)


LABELS = some_grids(20, seed=1).labels


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (
            changed(inputs=np.where(LABELS == 21, 22, LABELS)),
            r"\('val'\) returns inputs with 22 in sample \d+",
        ),
        (
            changed(labels=LABELS.astype(int) - 102),
            r"labels with -\d+ in sample 0, cell 0; accepted are 0 to 21",
        ),
        (changed(labels=LABELS.astype(float)), r"\(20, 16\) float64, \(20,\) int64; expected are inputs \(N, 16\)"),
        (changed(labels=LABELS[:, :9]), r"returns \(20, 16\) uint8, \(20, 9\) uint8"),
        (changed(puzzle_ids=np.zeros(3, int)), r"\(3,\) int64; expected"),
        ("grids", r"returns str; expected are inputs"),
    ],
)
def test_malformed_samples_are_refused_by_fit_and_check_alike(samples: Any, message: str) -> None:
    for refuse in (check_data, lambda data: data.prepare("fit")):
        with pytest.raises(InputError, match=message):
            refuse(Grids(val=samples))


def test_a_malformed_augmentation_is_refused() -> None:
    class Wrong(Grids):
        def augment(self, samples: Samples, generator: DrawGenerator) -> Samples:
            return samples._replace(inputs=samples.inputs + np.uint8(9))

    class Unfair(Grids):
        def augment(self, samples: Samples, generator: DrawGenerator) -> Samples:
            return samples._replace(labels=samples.labels[:, ::-1])

    with pytest.raises(InputError, match=r"Wrong\.augment returns inputs with \d+ in sample"):
        check_data(Wrong())
    assert found(check_data(Unfair()))["train: right answers that an augmentation makes wrong"] == 20


def test_a_verifier_that_returns_no_verdict_is_named() -> None:
    class Hasty(Sudoku):
        valid = PuzzleData.valid

        def verify(self, question: Any, answer: Any) -> Any:
            return True

    with pytest.raises(InputError, match=r"Hasty.verify returns bool; expected is trm.data.Verdict"):
        check_data(Hasty(size=4, train_size=8, val_size=4, test_size=4))


def test_padding_contradictions_and_missing_labels_are_counted() -> None:
    train, test = some_grids(20, seed=0), some_grids(20, seed=2)
    train.inputs[1], train.labels[1] = train.inputs[0], np.where(train.inputs[0] == 1, 2, train.labels[0])
    train.inputs[2, 3] = 0
    train.labels[3] = 0
    test.labels[4:9] = 0
    test.labels[1, test.inputs[1] == 1] = 0
    report = check_data(Grids(train=train, test=test))
    assert found(report) == {
        "train: questions with token 0, padding, though the family is not padded": 1,
        "train: samples without labels": 1,
        "train: duplicate questions": 1,
        "train: duplicate questions with different answers": 1,
        "train: answers that break the rules": 1,
    }
    notes = {finding.what: finding.found for finding in report.findings if not finding.fault}
    assert notes["test: samples without labels"] == 5
    assert notes["test: samples with some cells that have no label (0), so are neither trained nor scored"] == 1


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
    assert found(report) == {
        "test: puzzles that are also in train, up to symmetry": 1,
        "test: solutions that are also in train, up to symmetry": 1,
    }
    assert "ARC has no rules" in report.unchecked["answers against the rules"]


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "config.yaml"
    arguments = "{size: 4, clues: [8, 8], train_size: 20, source: generate}"
    config.write_text(f"model: {{lr: 1}}\ndata:\n  class_path: Sudoku\n  init_args: {arguments}\n")
    sizes = ["--data.val_size=4", "--data.test_size=4"]
    assert main(["data", "check", "--config", str(config), *sizes]) == 0
    assert "checks found faults" in (printed := capsys.readouterr().out)
    assert "ok      train: answers that break the rules: 0 of 20\n" in printed
    assert "test: puzzles that are also in train, up to symmetry: 0 of 4, by symmetry_keys" in printed
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
    assert "cannot read missing.yaml: No such file" in capsys.readouterr().err
    assert main(["data", "check", "--config", str(config), "--data.source=nowhere"]) == 2
    assert "cannot read nowhere: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "trm data check needs a file of pairs, --config FILE, such as configs/quickstart.yaml, or --data FAMILY"),
        (["--data=Sudoku", "--data.sizes=9"], "'sizes' is not accepted; did you mean size?"),
        (["--data=Sudoku", "--data.size=five"], "size is five, but must be a whole number"),
        (["--data=Sudoku", "--data.size=5"], "data.size: "),
        (["--data=Chess"], "there is no class Chess; there are ARC, Maze, Mixture, Pairs, Sudoku, and your own as"),
        (["--datta=Sudoku"], "datta"),
    ],
)
def test_the_command_refuses_in_one_sentence(
    options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(["data", "check", *options])
    except SystemExit as stop:  # jsonargparse leaves this way
        status = stop.code
    error = capsys.readouterr().err
    assert status == 2
    assert sentence in error
    assert error.startswith("trm: error: ")
    assert error.count("\n") == 1
