"""Arguments that had another name in earlier versions: checkpoints and configurations with it are read as before."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from command import FOUR, refused
from training import quiet_trainer

from trm import Sudoku, TRMModule, load_checkpoint
from trm.cli.main import main

QUICKSTART = ["fit", "--config=configs/quickstart.yaml", *FOUR, "--trainer.max_steps=2"]


def earlier(path: Path, root: Path) -> Path:
    """Write a checkpoint as an earlier version did."""
    data = Sudoku(size=4, train_size=8, val_size=4, test_size=4, clues=(8, 8), slots=4, workers=0, root=str(root))
    module = TRMModule(6, 16, num_puzzles=1, hidden_size=16, num_heads=2, puzzle_tokens=0, step_noise=0.25)
    trainer = quiet_trainer(max_steps=1)
    trainer.fit(module, data)
    trainer.save_checkpoint(path)
    content: dict[str, Any] = torch.load(path, weights_only=True)
    content["hyper_parameters"]["noise"] = content["hyper_parameters"].pop("step_noise")
    torch.save(content, path)
    return path


def test_a_checkpoint_with_the_former_name_is_loaded_and_trained_on(tmp_path: Path) -> None:
    path = earlier(tmp_path / "earlier.ckpt", tmp_path)
    loaded, data = load_checkpoint(path)
    by_lightning = TRMModule.load_from_checkpoint(path)
    for module in (loaded, by_lightning):
        assert module.hparams["step_noise"] == 0.25
        assert "noise" not in module.hparams
        assert module.init_args.get("noise") is None
    quiet_trainer(max_steps=2).fit(by_lightning, data, ckpt_path=path, weights_only=True)


def test_a_configuration_with_the_former_name_is_read_and_told_the_new_one(
    here: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO, "lightning.pytorch.utilities.rank_zero")
    Path("mine.yaml").write_text("model: {noise: 0.25}\n")
    assert main([*QUICKSTART, "--config=mine.yaml"]) == 0
    assert "model.noise is now called model.step_noise; it is 0.25." in caplog.messages
    assert "step_noise: 0.25" in Path("runs/quickstart/config.yaml").read_text()
    with pytest.raises(SystemExit):
        main([*QUICKSTART, "--model.noise=0.5", "--print_config"])
    assert "step_noise: 0.5" in capsys.readouterr().out


def test_with_a_class_of_the_users_own_the_error_names_the_new_name(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused(capsys, [*QUICKSTART, "--model=trm.TRMModule", "--model.noise=0.5"])
    assert told.endswith("Option 'noise' is not accepted; it is now called step_noise")
