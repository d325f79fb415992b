"""``make bench-speed``: every case is a ``trm bench``, whose results become tables."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fill_tables import measure as script
from training import BOARDS, SMALL

from trm.cli.main import main

speed = script("speed")
TINY = ["--trainer.accelerator=cpu", "--trainer.precision=32-true", *SMALL, "--repeats=1", "--model.compile=false"]


@pytest.fixture
def in_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the commands of the cases in this process, in a fresh folder, and time the loader over few batches."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("trm.bench.measure.WINDOW", 0.0)
    monkeypatch.setattr("trm.bench.measure.LEAST_BATCHES", 1)

    def run(command: list[str], check: bool) -> None:
        if status := main(command[3:]):
            raise subprocess.CalledProcessError(status, command)

    monkeypatch.setattr(speed.subprocess, "run", run)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("options", "file", "title", "names"),
    [
        (["--cases=0"], "cpu.json", "quickstart + plain: 4x4, hidden 64", {"training", "parts", "solving", "loading"}),
        (["--gpu", "--cases=3"], "gpu.json", "sudoku-attention, compiled", {"gpu-training", "gpu-parts"}),
    ],
)
def test_a_case_is_measured_and_tabulated(
    options: list[str], file: str, title: str, names: set[str], tmp_path: Path
) -> None:
    boards = BOARDS if file == "cpu.json" else ["--data.train_size=8"]
    assert speed.main([*options, f"--into={tmp_path}", "--", *TINY, *boards]) == 0
    results: list[dict[str, Any]] = json.loads((tmp_path / file).read_text())
    assert [result["title"] for result in results] == [title]
    tables = speed.tables(tmp_path)
    assert tables.keys() == names
    training = next(text for name, text in tables.items() if name.endswith("training"))
    assert f"| {title} | 4 | 32-true |" in training
