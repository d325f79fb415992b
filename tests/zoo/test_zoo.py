"""The models that come with the package: small, documented, plain, found by name, and able to solve."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from card import render
from paths import REPO

from trm.analysis.report import labelled
from trm.checkpoints.load import load_checkpoint
from trm.checkpoints.summary import describe
from trm.cli.main import main
from trm.data.samples import to_batch
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
    assert "sudoku-4x4 contains only parameters, so training cannot resume from it" in capsys.readouterr().err


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
