"""The models that come with the package: small, documented, plain, found by name, and able to solve."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import card as card_of_model
import pytest
import torch
import zoo
from card import percent, render
from paths import REPO
from training import quiet_trainer

import trm.zoo
from trm.analysis.report import labelled
from trm.checkpoints.load import load_checkpoint
from trm.checkpoints.summary import describe
from trm.cli.main import main
from trm.data import Samples, Sudoku
from trm.data.samples import to_batch
from trm.errors import InputError
from trm.module import TRMModule
from trm.nn import solved
from trm.solver import Solver
from trm.zoo import FOLDER, card, names

MEASURED = REPO / "benchmarks" / "zoo"
BOARD = ".3...2.1...4...."
MOST_BYTES = 12_000_000


def facts(name: str) -> dict[str, Any]:
    return dict(json.loads((MEASURED / f"{name}.json").read_text()))


def leaves(tree: Any) -> Iterator[Any]:
    if isinstance(tree, (dict, list, tuple)):
        for branch in [*tree.keys(), *tree.values()] if isinstance(tree, dict) else tree:
            yield from leaves(branch)
    else:
        yield tree


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder to run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_models_together_are_small_enough_to_install() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < MOST_BYTES


def test_every_model_has_a_card_of_what_was_measured() -> None:
    assert names()
    assert names() == sorted(path.stem for path in FOLDER.glob("*.md"))
    assert names() == sorted(path.stem for path in MEASURED.glob("*.json"))
    for name in names():
        measured = facts(name)
        assert card(name) == render(measured)
        assert measured["bytes"] == (FOLDER / f"{name}.ckpt").stat().st_size
        assert measured["steps"] == describe(name)["step"]


@pytest.mark.parametrize("name", names())
def test_a_model_holds_tensors_and_plain_values_and_names_no_folder(name: str) -> None:
    content = torch.load(FOLDER / f"{name}.ckpt", weights_only=True)
    for leaf in leaves(content):
        assert isinstance(leaf, (torch.Tensor, str, int, float, type(None)))
        assert not (isinstance(leaf, str) and leaf.startswith(("/", "~")))
    assert not any("/" in str(value) for value in content["family"]["init_args"].values())
    assert not {"optimizer_states", "slots", "current_model_state"} & content.keys()


@pytest.mark.parametrize("name", names())
def test_a_model_solves_a_puzzle_from_any_folder(name: str, elsewhere: Path) -> None:
    if example := facts(name)["test"]["example"]:
        assert main(["solve", name, example]) == 0
    else:
        module, data = load_checkpoint(name)
        batch = to_batch(next(labelled(data, 16, 16)))
        assert solved(module.solve(batch.inputs, batch.puzzle_ids).logits, batch.labels).any()
    assert not list(elsewhere.iterdir())


def test_a_name_stands_for_a_checkpoint_everywhere(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (
        ["info", "sudoku-4x4"],
        ["trace", "sudoku-4x4", BOARD, "-o", "trace.html"],
        ["analyze", "calibration", "sudoku-4x4", "-o", "calibration.json", "--puzzles=4"],
        ["export", "sudoku-4x4", "--format=trm", "-o", "copy.ckpt"],
    ):
        assert main(command) == 0, command
    assert Path("copy.ckpt").stat().st_size == (FOLDER / "sudoku-4x4.ckpt").stat().st_size
    assert Solver("sudoku-4x4").solve([BOARD])[0].verdict.valid
    small = ["--data.train_size=20", "--data.val_size=4", "--data.test_size=20", "--trainer.enable_progress_bar=false"]
    capsys.readouterr()
    config = ["--config", str(REPO / "configs/quickstart.yaml"), "--ckpt_path=sudoku-4x4", *small]
    assert main(["test", *config]) == 0
    assert "test/solved" in capsys.readouterr().out
    assert main(["fit", *config]) == 2
    assert "sudoku-4x4 holds weights alone, so no training can go on from it" in capsys.readouterr().err


def test_a_file_of_that_name_wins(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("sudoku-4x4").write_text("not a checkpoint")
    assert main(["solve", "sudoku-4x4", BOARD]) == 2
    assert "sudoku-4x4 is not a checkpoint" in capsys.readouterr().err


def test_an_unknown_name_is_refused_with_those_there_are(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["solve", "sudoku-5x5", BOARD], ["info", "../zoo/sudoku-4x4"], ["zoo", "sudoku-5x5"]):
        assert main(command) == 2
        assert ", ".join(names()) in capsys.readouterr().err


def test_the_command_lists_models_and_prints_cards(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == names()
    assert all(" of " in line and " MB." in line for line in lines)
    assert main(["zoo", "sudoku-4x4"]) == 0
    assert capsys.readouterr().out == (FOLDER / "sudoku-4x4.md").read_text()


def test_what_help_and_the_demo_solve_is_solved(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    helpful = re.search(r"trm solve (\S+ \S+)", capsys.readouterr().out)
    greeting = re.search(r"^GREETING := (\S+ \S+)$", (REPO / "Makefile").read_text(), flags=re.MULTILINE)
    for found in (helpful, greeting):
        assert found
        assert main(["solve", *found[1].split()]) == 0


def test_a_model_is_put_into_the_zoo_with_its_card(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Sudoku(4, "generate", 20, 0, 8, (8, 8), slots=4, steps_per_batch=1, workers=0)
    module = TRMModule(6, 16, 1, 24, num_heads=2, multiple_of=8, mixer="mlp", positions="none", puzzle_tokens=0)
    module.seed = 7
    trainer = quiet_trainer(max_steps=1, max_epochs=1, limit_train_batches=1)
    trainer.fit(module, data)
    trainer.save_checkpoint("last.ckpt")
    for owner in (zoo, card_of_model, trm.zoo):
        monkeypatch.setattr(owner, "FOLDER", elsewhere)
    monkeypatch.setattr(zoo, "RESULTS", elsewhere)
    monkeypatch.setattr(zoo, "commit", lambda _: "0123456789")
    monkeypatch.setattr(zoo, "DEPTHS", (1, 2))
    told = ["--what=Tiny", "--command=trm fit", "--puzzles=4", "--scaled=2", "--probed=2"]
    monkeypatch.setattr(sys, "argv", ["zoo.py", "tiny", "last.ckpt", *told])
    zoo.main()
    measured = json.loads(Path("tiny.json").read_text())
    assert measured["training_puzzles"] == 20
    assert measured["test"]["puzzles"] == 4
    assert [point["depth"] for point in measured["scaling"]["points"][:2]] == [1, 2]
    text = card("tiny")
    assert text.startswith("# tiny\n\nTiny: solves ")
    assert f"| test split | all | 4 | {percent(4 * measured['test']['solved'], 4)} |" in text
    assert describe("tiny")["step"] == 1
    assert "| training | 1 steps, core hours: not counted; seeds: weights 7, data 0, exploration 0 |" in text
    assert "| the first 4 of 8, SHA-256 " in text
    measured["started_from"] = {"checkpoint": "a.ckpt", "step": None, "training_puzzles": None, "weights": "0123"}
    assert "| started from | `a.ckpt`, steps unknown, puzzles unknown; weights 0123 |" in render(measured)
    Path("tiny.md").write_text("old")
    monkeypatch.setattr(sys, "argv", ["zoo.py"])
    zoo.main()
    assert card("tiny") == text


def test_a_model_is_not_measured_on_what_it_was_trained_on(elsewhere: Path) -> None:
    module, _ = load_checkpoint("sudoku-4x4")
    data = Sudoku(4, train_size=0, val_size=0, test_size=4, clues=(8, 8))
    with pytest.raises(InputError, match="4 of 4 test puzzles, or symmetric ones, were trained on"):
        zoo.tested(module, data, 4, data.symmetry_keys(data.rows("test")))


def test_solved_boards_are_counted_by_clues_and_guesses() -> None:
    data = Sudoku(4, train_size=0, val_size=0, test_size=0)
    solution = data.parse("1234341221434321")
    questions = solution * 1
    rows = Samples(questions[None].repeat(3, 0), solution[None].repeat(3, 0), torch.zeros(3, dtype=torch.int32).numpy())
    rows.inputs[1, :2] = 1
    rows.inputs[2, :2] = 1
    counted = zoo.groups(data, rows, torch.tensor([True, True, False]).numpy())
    assert counted == {
        "all": (2, 3),
        "clues 14": (1, 2),
        "clues 16": (1, 1),
    }
