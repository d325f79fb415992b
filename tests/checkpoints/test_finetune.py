"""``trm fit --weights`` starts from trained weights, afresh in all else, and remembers where they are from."""

import logging
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from command import CHECKPOINT, FOUR, TINY, refused
from tasks import random_tasks, write_tasks
from training import assert_same

from trm.checkpoints.summary import cost
from trm.cli.main import main
from trm.reproduce.ledger import read

FIT = ["fit", "--config", "configs/quickstart.yaml", *FOUR]
ARC = ["fit", "--config", "configs/arc-small.yaml", *TINY, "--data.side=5", "--data.augmentations=3"]


@pytest.fixture
def weights(trained: Path, here: Path) -> str:
    """A checkpoint, in a folder that holds nothing else but the configurations."""
    return str(shutil.copy(trained / CHECKPOINT, here / "trained.ckpt"))


def state(path: str) -> dict[str, Any]:
    return dict(torch.load(path, weights_only=True))


def test_training_starts_from_the_averaged_weights(weights: str) -> None:
    assert main([*FIT, f"--weights={weights}", "--model.lr=0", "--seed_everything=9"]) == 0
    before, after = state(weights), state(CHECKPOINT)
    assert_same(after["state_dict"], before["state_dict"])
    assert before["current_model_state"].keys() == after["current_model_state"].keys()
    assert not all(
        torch.equal(live, before["current_model_state"][name]) for name, live in after["current_model_state"].items()
    )
    assert after["global_step"] == 6
    assert (after["started_from"]["checkpoint"], after["started_from"]["step"]) == ("trained.ckpt", 6)


@pytest.mark.slow
def test_a_run_goes_on_from_its_own_checkpoint(weights: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = [*FIT, f"--weights={weights}"]
    assert main(command) == 0
    whole = state(CHECKPOINT)
    shutil.rmtree("runs")
    assert main([*command, "--trainer.max_steps=4"]) == 0
    assert main(command) == 0
    assert_same(state(CHECKPOINT)["state_dict"], whole["state_dict"])
    assert main([*FIT, "--trainer.max_steps=8"]) == 0, "without saying once more where it began"
    assert state(CHECKPOINT)["started_from"] == whole["started_from"]
    shutil.copy(weights, "renamed.ckpt")
    assert main([*FIT, "--weights=renamed.ckpt", "--trainer.max_steps=8"]) == 0, "the same weights under another name"
    shutil.copy(CHECKPOINT, Path(weights))
    capsys.readouterr()
    assert main([*FIT, f"--weights={weights}", "--trainer.max_steps=8"]) == 2
    started, given = re.findall(r"trained\.ckpt \(weights (\w+)\)", capsys.readouterr().err)
    assert started == whole["started_from"]["weights"] != given


def test_a_run_from_elsewhere_is_not_taken_for_one_from_these_weights(
    weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(FIT) == 0
    files = [Path(CHECKPOINT), Path("runs/quickstart/config.yaml")]
    before = [file.read_bytes() for file in files]
    capsys.readouterr()
    assert main([*FIT, f"--weights={weights}", "--trainer.max_steps=8"]) == 2
    assert "started from random weights, not from trained.ckpt (weights " in capsys.readouterr().err
    assert [file.read_bytes() for file in files] == before


def test_weights_that_do_not_fit_are_refused(weights: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no checkpoint at missing.ckpt" in refused(capsys, [*FIT, "--weights=missing.ckpt"])
    error = refused(capsys, [*FIT, f"--weights={weights}", "--model.hidden_size=32"])
    assert "hidden_size 16, but the configuration has 32" in error
    error = refused(capsys, [*FIT, "--weights=sudoku-9x9"])
    assert re.search(r"sudoku-9x9 was trained with \w+ .*, but the configuration has ", error)
    error = refused(capsys, [*FIT, f"--weights={weights}", "--model.puzzle_tokens=1"])
    assert "puzzle_tokens 0, but the configuration has 1" in error
    assert "--weights starts from them" in refused(capsys, [*FIT, "--ckpt_path=sudoku-4x4"])


def test_a_convolution_over_the_grid_may_be_added_to_a_trained_network(
    weights: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lightning.pytorch.utilities.rank_zero")
    plain = ("--model.network=trm", "--trainer.logger.save_dir=runs/plain")
    assert main([*FIT, *plain]) == 0
    fit = [
        *FIT,
        "--model.network=trm",
        "--model.grid_conv=3",
        "--trainer.max_steps=1",
        "--trainer.logger.save_dir=runs/conv",
    ]
    assert main([*fit, "--weights=runs/plain/checkpoints/last.ckpt"]) == 0
    assert "new are core.blocks.0.grid_conv.weight, core.blocks.1.grid_conv.weight" in caplog.text
    assert "grid_conv 3, but the configuration has 0" in refused(
        capsys, [*FIT, *plain, "--ckpt_path=null", "--weights=runs/conv/checkpoints/last.ckpt"]
    )


def test_the_puzzles_and_costs_of_all_runs_are_counted(weights: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FIT, f"--weights={weights}", "--data.seed=1"]) == 0
    before, after = state(weights), state(CHECKPOINT)
    own = after["callbacks"]["Speed"]["core_seconds"]
    assert cost(after, "core_seconds") == pytest.approx(cost(before, "core_seconds") + own)  # type: ignore[operator]
    assert cost(after, "device_seconds") == 0
    assert cost({**after, "started_from": {"training_puzzles": 40}}, "core_seconds") is None
    assert cost({**after, "callbacks": {}, "metrics": {}}, "core_seconds") is None
    test = ["test", "--config", "configs/quickstart.yaml", *FOUR, "--ledger=ledger.csv", "--claim=tuned"]
    assert main([*test, "--data.seed=1"]) == 0
    assert {row.training_puzzles for row in read(Path("ledger.csv"))} == {"80"}
    assert main(["info", CHECKPOINT]) == 0
    assert "from trained.ckpt, step 6, puzzles 40" in capsys.readouterr().out
    assert main(["export", CHECKPOINT, "--format", "trm", "-o", "model.ckpt"]) == 0
    assert main([*FIT, "--weights=model.ckpt", "--data.seed=2", "--trainer.logger.save_dir=second"]) == 0
    assert state("second/checkpoints/last.ckpt")["started_from"]["training_puzzles"] == 80


@pytest.mark.slow
def test_rows_of_the_puzzle_table_stay_with_their_puzzles_or_begin_as_the_mean(
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tasks = random_tasks()
    arc = [*ARC, f"--data.source={write_tasks(tasks, Path('tasks'))}"]
    assert main(arc) == 0
    table = state("runs/arc-small/checkpoints/last.ckpt")["state_dict"]["core.puzzle_embedding.weights"]
    assert table.abs().sum() > 0

    def started(name: str, *options: str) -> torch.Tensor:
        frozen = ["--weights=runs/arc-small/checkpoints/last.ckpt", "--model.puzzle_lr=0", "--trainer.max_steps=2"]
        assert main([*arc, *options, *frozen, f"--trainer.logger.save_dir={name}"]) == 0
        return torch.Tensor(state(f"{name}/checkpoints/last.ckpt")["state_dict"]["core.puzzle_embedding.weights"])

    assert torch.equal(started("same"), table)
    mean = table.mean(dim=0)
    renamed = {subset: {f"other {name}": task for name, task in tasks[subset].items()} for subset in tasks}
    others = f"--data.source={write_tasks(renamed, Path('others'))}"
    for name, options in {
        "otherwise": ["--data.seed=1"],
        "more": ["--data.augmentations=4"],
        "others": [others],
    }.items():
        rows = started(name, *options)
        torch.testing.assert_close(rows, mean.expand_as(rows))
    assert main([*arc, others, "--trainer.max_steps=8"]) == 2
    assert "the puzzle embedding of the checkpoint is of other puzzles" in capsys.readouterr().err
