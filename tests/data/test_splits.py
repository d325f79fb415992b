"""Sizes of splits: what is generated, what is refused before any work, and one spelling for all of a table."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from paths import REPO

from trm.checkpoints.load import load_checkpoint
from trm.cli.main import main
from trm.data import ARC, Maze, PuzzleData, Sudoku
from trm.data.maze.generator import generate as generate_mazes
from trm.data.sudoku.generator import generate as generate_boards
from trm.errors import InputError
from trm.training.compatibility import current
from trm.zoo import find


def families(root: Path) -> list[PuzzleData]:
    sizes: dict[str, Any] = {"train_size": 400, "val_size": 20, "test_size": 60, "root": str(root), "workers": 0}
    return [Sudoku(4, clues=(6, 10), **sizes), Maze(7, kind="unique", **sizes)]


def test_a_part_of_a_split_is_the_beginning_of_the_whole() -> None:
    counts = {"train": 3000, "val": 30, "test": 300}
    whole, part = (generate_boards(4, counts, (4, 8), seed=3, only=only) for only in (None, {"test": 5}))
    assert 5 <= len(part["test"].questions) <= 300
    assert np.array_equal(part["test"].questions, whole["test"].questions[: len(part["test"].questions)])
    assert len(part["train"].questions) < 3000
    mazes, few = (generate_mazes(6, counts, "unique", 6, seed=3, only=only) for only in (None, {"val": 5}))
    assert np.array_equal(few["val"], mazes["val"][: len(few["val"])])
    assert len(few["train"]) < 3000


def test_an_evaluation_generates_its_own_split_alone_and_the_same_samples(tmp_path: Path) -> None:
    for few, whole in zip(families(tmp_path / "few"), families(tmp_path / "whole"), strict=True):
        assert few.eval_size("test") == 60
        one = few.eval_samples("test", 3, 1)
        few.prepare("test")
        whole.prepare("fit")
        for field, of_part, of_all in zip(one, few.samples("test"), whole.samples("test"), strict=True):
            assert np.array_equal(field[0], of_all[3])
            assert np.array_equal(of_part, of_all)
    assert sorted(path.name.split("-")[-2] for path in (tmp_path / "few").iterdir()) == ["test", "test"]
    assert len(list((tmp_path / "whole").iterdir())) == 2


def test_a_split_that_is_read_in_batches_of_any_size_is_not_asked_for_more_than_it_has(tmp_path: Path) -> None:
    for data in families(tmp_path):
        batches = [data.eval_samples("test", first, min(9, 60 - first)).inputs for first in range(0, 60, 9)]
        assert np.array_equal(np.concatenate(batches), data.samples("test").inputs)


def test_trace_shows_a_generated_puzzle_without_generating_the_training_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRM_CACHE", str(tmp_path))
    assert main(["trace", "maze-11x11", "test:3", "--terminal", "--depth=1", "--delay=0"]) == 0
    (cached,) = tmp_path.iterdir()
    with np.load(cached) as arrays:
        assert list(arrays) == ["test"]
        assert len(arrays["test"]) < 2000  # the split has 2,000, training 60,000


CONFIGS = sorted(path.name for path in (REPO / "configs").glob("*.yaml") if path.stem not in ("cpu", "arc", "arc2"))


@pytest.mark.parametrize("config", [name for name in CONFIGS if "source: hub" in (REPO / "configs" / name).read_text()])
@pytest.mark.parametrize("command", ["fit", "bench"])
def test_a_generator_without_sizes_is_refused_before_it_begins(
    config: str, command: str, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trm.data.sudoku.sources.generate", None)
    monkeypatch.setattr("trm.data.maze.sources.generate", None)
    small = [
        "--model.hidden_size=16",
        "--model.compile=false",
        "--model.num_heads=2",
        "--trainer.accelerator=cpu",
        "--trainer.precision=32-true",
    ]
    assert main([command, "--config", f"configs/{config}", "--data.source=generate", *small]) == 2
    error = capsys.readouterr().err
    assert "_size is null, which takes all samples of a table, but data.source is 'generate'" in error
    assert not (here / "runs").exists()


def test_an_empty_split_is_refused_before_anything_is_generated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trm.data.sudoku.sources.generate", None)
    data = Sudoku(4, train_size=0, root=str(tmp_path))
    with pytest.raises(InputError, match=r"data\.train_size is 0, but the train split needs at least one sample$"):
        data.prepare("fit")
    with pytest.raises(InputError, match=r"data\.test_size is 0, .*; null takes all of the table"):
        Sudoku(4, source=str(tmp_path), test_size=0).samples("test")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"slots": 10**9}, "data.slots is 1000000000, but must be from 1 to 1048576"),
        ({"steps_per_batch": 10**6}, "data.steps_per_batch is 1000000, but must be from 1 to 4096"),
        ({"slots": 2**20}, "data.slots 1,048,576 x data.steps_per_batch 16 is 16,777,216 samples in a training batch"),
        ({"eval_batch_size": 10**9}, "data.eval_batch_size is 1000000000"),
        ({"workers": 10**6}, "data.workers is 1000000"),
        ({"seed": 10**40}, "data.seed is 1"),
        ({"train_size": 10**12}, "is 1,000,000,002,000, but must be at most 10,000,000"),
        ({"test_size": -1}, "data.test_size is -1, but must be at least 0"),
    ],
)
def test_sizes_without_measure_are_refused_at_once(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(InputError) as refusal:
        Sudoku(4, **{"val_size": 1000, "test_size": 1000, **arguments})
    assert message in str(refusal.value)


def test_augmentations_without_measure_are_refused_at_once() -> None:
    with pytest.raises(InputError, match=r"data\.augmentations is 1000000000, but must be from 0 to 10000"):
        ARC(augmentations=10**9)


def test_checkpoints_with_the_former_spelling_of_null_still_load(tmp_path: Path) -> None:
    content = torch.load(find("sudoku-4x4"), weights_only=True)
    arguments = {"eval_batch_size": 0, "source": str(tmp_path), "train_size": 0, "test_size": 0}
    content["family"]["init_args"] |= arguments
    content["hyper_parameters"] |= {"gradient_steps": 0, "puzzle_size": 0}
    torch.save(content, tmp_path / "former.ckpt")
    module, data = load_checkpoint(tmp_path / "former.ckpt")
    assert data.counts == {"train": None, "val": 1000, "test": None}
    assert data.eval_batch_size == data.slots
    assert module.core.gradient_steps is None
    assert ARC(eval_batch_size=0, tasks_per_subset=0, concept="").init_args["tasks_per_subset"] == 0
    generated = {"source": "generate", "train_size": 0, "test_size": 0, "val_size": 0}
    assert current(generated) == generated  # a generator has never had an end


@pytest.mark.slow
def test_ctrl_c_during_generation_leaves_nothing_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "TRM_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(REPO)}
    command = ["data", "check", "--data=Maze", "--data.size=30", "--data.train_size=100000"]  # hours
    with subprocess.Popen(
        [sys.executable, "-m", "trm", *command], env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        while "Generating" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert not list(tmp_path.rglob("*.npz*"))
