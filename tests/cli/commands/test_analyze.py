"""``trm analyze``: it prints what it measures, writes whole files, overwrites none, and refuses nonsense first."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from training import quiet_trainer

from trm.cli.main import main
from trm.data import Sudoku
from trm.module import TRMModule

ANALYSES = ["halting", "scaling", "calibration", "robustness"]
FEW = {"scaling": ["--depths=[1,2]", "--breadths=[1,2]", "--noises=[0.5]", "--views=2"]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a.ckpt, of a model that has seen two steps of 4x4 Sudoku."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"train_size": 20, "val_size": 0, "test_size": 12, "slots": 4, "steps_per_batch": 2}
    network: dict[str, Any] = {"hidden_size": 16, "num_heads": 2, "multiple_of": 8, "cycles": 1, "latent_steps": 1}
    trainer = quiet_trainer(max_steps=2, limit_train_batches=1)
    module = TRMModule(6, 16, puzzle_tokens=0, supervision_steps=3, **network)
    trainer.fit(module, Sudoku(4, clues=(8, 8), root=str(folder / "data"), workers=0, **sizes))
    trainer.save_checkpoint(folder / "a.ckpt")
    return folder


@pytest.fixture(autouse=True)
def inside(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.ckpt").symlink_to(trained / "a.ckpt")


@pytest.mark.parametrize("name", ANALYSES)
def test_a_table_is_printed_and_nothing_written_unless_a_file_is_named(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", name, "a.ckpt", "--puzzles=4", *FEW.get(name, [])]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert len({len(line) for line in rows}) <= 2  # aligned, empty last cells aside
    assert len(rows) > 5
    assert head
    assert list(Path().iterdir()) == [Path("a.ckpt")]


@pytest.mark.parametrize("name", ANALYSES)
def test_numbers_and_picture_are_written_and_never_overwritten(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["analyze", name, "a.ckpt", "-o", "out/a.json", "--puzzles=10", "--batch_size=4", *FEW.get(name, [])]
    assert main([*command, "--json"]) == 0
    printed = capsys.readouterr().out
    written = Path("out/a.json").read_text()
    assert json.loads(printed) == json.loads(written)
    assert json.loads(written)["family"] == "trm.data.Sudoku"
    assert ElementTree.parse("out/a.svg").getroot().tag.endswith("svg")
    picture = Path("out/a.svg").read_bytes()
    for left in ("out/a.svg", "out/a.json"):
        assert main(command) == 2
        assert "exists already; --force overwrites it" in capsys.readouterr().err
        Path(left).unlink()
    Path("out/a.json").write_text("")
    assert main([*command, "--force"]) == 0
    assert (Path("out/a.json").read_text(), Path("out/a.svg").read_bytes()) == (written, picture)


@pytest.mark.parametrize(
    ("name", "last"),
    [("halting", "10 of 10 puzzles"), ("calibration", "10 of 10 puzzles"), ("robustness", "20 of 25 corruptions")],
)
def test_progress_is_shown_and_not_on_standard_output(
    name: str, last: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        assert main(["analyze", name, "a.ckpt", "--puzzles=10", "--batch_size=4", "--json"]) == 0
    assert f"{name}: {last}" in caplog.messages
    json.loads(capsys.readouterr().out)


def test_the_numbers_are_printed_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device", "a.json")

    monkeypatch.setattr("trm.analysis.report.publish", full_disk)
    assert main(["analyze", "calibration", "a.ckpt", "-o", "a.json", "--puzzles=4"]) == 2
    printed = capsys.readouterr()
    assert "expected calibration error" in printed.out
    assert "No space left on device" in printed.err


@pytest.mark.parametrize("name", ANALYSES)
def test_nonsense_is_refused_before_anything_is_measured(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("folder").mkdir()
    Path("text").write_text("no checkpoint")
    before = set(Path().iterdir())
    for file, options, message in [
        ("a.ckpt", ["-o", "p.svg"], "'p.svg' is a folder, or ends in .svg"),
        ("a.ckpt", ["-o", "folder", "--force"], "'folder' is a folder"),
        ("a.ckpt", ["-o", "."], "'.' is a folder"),
        ("a.ckpt", ["-o", "text/p.json"], "cannot write text/p.json"),
        ("a.ckpt", ["--puzzles", "0"], "analyze.puzzles is 0, but must be at least 1"),
        ("a.ckpt", ["--batch_size", "0"], "analyze.batch_size is 0, but must be at least 1"),
        ("missing", ["-o", "p.json"], "there is no checkpoint at missing"),
        ("folder", [], "folder is a folder without config.json and model.safetensors"),
        ("text", ["-o", "p.json"], "text is not a checkpoint"),
    ]:
        assert main(["analyze", name, file, *options]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert set(Path().iterdir()) == before


@pytest.mark.parametrize(
    ("name", "option", "message"),
    [
        ("robustness", "--seed=-1", "analyze.seed is -1"),
        ("scaling", "--seed=-1", "analyze.seed is -1"),
        ("scaling", "--depths=[0]", "analyze.depths is 0, but must be at least 1"),
        ("scaling", "--breadths=[2,0]", "analyze.breadths is 0, but must be at least 1"),
        ("scaling", "--noises=[-0.5]", "analyze.noises is -0.5, but must be at least 0"),
        ("scaling", "--views=0", "analyze.views is 0, but must be at least 1"),
    ],
)
def test_options_of_one_analysis_are_refused_out_of_range(
    name: str, option: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", name, "a.ckpt", option]) == 2
    assert message in capsys.readouterr().err
