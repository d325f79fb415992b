"""Continual learning: replayed puzzles of before keep what the network has learned, and the run stays reproducible."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import CHECKPOINT, FOUR, refused
from pairs import random_grids, write_lines, write_pairs
from training import assert_same, quiet_trainer

from trm import Maze, Pairs, Sudoku, TRMModule
from trm.checkpoints.finetune import start_from
from trm.cli.main import main
from trm.data.sudoku.solver import solve
from trm.errors import InputError

GRIDS = "1234341221434321", "4321123434122143"
SMALL: dict[str, Any] = {"hidden_size": 32, "multiple_of": 8, "mixer": "mlp", "positions": "none", "puzzle_tokens": 0}
SMALL |= {"cycles": 1, "latent_steps": 2, "supervision_steps": 2, "lr": 3e-3, "warmup_steps": 10}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Boards with one solution, which a network can learn by heart, and boards with another."""
    folder, generator = tmp_path_factory.mktemp("tables"), np.random.default_rng(0)
    paths = folder / "old.csv", folder / "new.csv"
    for path, grid in zip(paths, GRIDS, strict=True):
        cells = np.array(list(grid), dtype=np.uint8)
        questions = np.where(generator.random((600, 16)).argsort(1) < 8, cells, 0).astype(np.uint8)
        proper = questions[solve(questions, 4).counts == 1][:300]
        lines = ["".join(map(str, question)) + "," + grid for question in proper]
        path.write_text("\n".join(["question,answer", *lines]))
    return paths


def boards(source: Path, **arguments: Any) -> Sudoku:
    sizes = {"train_size": 200, "val_size": 0, "test_size": 50}
    return Sudoku(4, source=str(source), symmetries=False, **sizes, slots=16, workers=0, **arguments)


def trained(data: Sudoku, steps: int, start: Path | None = None) -> tuple[TRMModule, Any]:
    torch.manual_seed(0)
    module = TRMModule(data.vocab_size, data.seq_len, **SMALL)
    if start is not None:
        start_from(module, start, data)
    trainer = quiet_trainer(max_steps=steps)
    trainer.fit(module, data)
    return module, trainer


def solved(module: TRMModule, source: Path) -> float:
    return float(quiet_trainer().test(module, boards(source), verbose=False)[0]["test/solved"])


def test_what_was_learned_is_lost_by_training_on_other_puzzles_and_kept_by_replay(
    tables: tuple[Path, Path], tmp_path: Path
) -> None:
    old, new = tables
    module, trainer = trained(boards(old), 150)
    trainer.save_checkpoint(path := tmp_path / "old.ckpt")
    assert solved(module, old) > 0.9
    alone = trained(boards(new), 150, path)[0]
    assert solved(alone, new) > 0.9
    assert solved(alone, old) < 0.2
    both = trained(boards(new, replay=f"{old}:0.3"), 150, path)[0]
    assert solved(both, new) > 0.8
    assert solved(both, old) > 0.8


def test_a_share_of_the_draws_is_of_the_other_source(tables: tuple[Path, Path]) -> None:
    old, new = tables
    data = boards(new, replay=f"{old}:0.3")
    first = data.draw(0, 1000).labels[:, 0]
    assert (first == 5).sum() == 700, "the new boards begin with 4"
    assert (first == 2).sum() == 300
    assert data.training_puzzles > boards(new).training_puzzles
    assert data.pass_size() == round(np.ceil(200 / 0.7))
    torch.testing.assert_close(data.draw(17, 5).inputs, data.draw(0, 1000).inputs[17:22])
    own = boards(new).draw(0, 700)
    assert torch.equal(data.draw(0, 1000).inputs[first == 5], own.inputs), "in the order of a run without replay"


def test_files_of_pairs_replay_pairs_of_the_same_symbols(tmp_path: Path) -> None:
    grids = random_grids(60)
    old = write_pairs(tmp_path / "old.jsonl", grids[:30], lambda grid: grid)
    new = write_pairs(tmp_path / "new.jsonl", grids[30:])
    data = Pairs(str(new), replay=f"{old}:0.25")
    drawn = data.draw(0, 1000)
    assert int((drawn.inputs == drawn.labels).all(-1).sum()) == 250
    write_lines(old, [{"question": [[7, 8, 9]] * 3, "answer": [[7, 8, 9]] * 3}] * 30)
    with pytest.raises(InputError, match=r"old\.jsonl"):
        data = Pairs(str(new), replay=f"{old}:0.25")
        data.prepare("fit")


@pytest.mark.parametrize(
    ("replay", "message"),
    [
        (
            "old.csv",
            r"is 'old.csv'; accepted is SOURCE:SHARE with a share of the draws from 0\.001 to 0\.999",
        ),
        ("old.csv:1.5", "data.replay is 'old.csv:1.5'; accepted is SOURCE:SHARE"),
        ("old.csv:0", "data.replay is 'old.csv:0'; accepted is SOURCE:SHARE"),
        ("old.csv:nan", "data.replay is 'old.csv:nan'; accepted is SOURCE:SHARE"),
        (":0.3", "data.replay is ':0.3'; accepted is SOURCE:SHARE"),
        ("generate:0.3", "but data.source is 'generate' too; name the puzzles of before"),
    ],
)
def test_a_replay_that_names_no_other_source_or_no_share_is_refused(replay: str, message: str) -> None:
    for family in (Sudoku, Maze):
        with pytest.raises(InputError, match=message):
            family(4, replay=replay)


def test_a_run_with_replay_continues_bit_for_bit_and_wrong_sources_are_refused(
    tables: tuple[Path, Path], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tables
    tiny = [option for option in FOUR if not option.startswith("--data.clues")]
    command = ["fit", "--config=configs/quickstart.yaml", *tiny, f"--data.source={new}", f"--data.replay={old}:0.3"]
    nine = here / "nine.csv"
    nine.write_text("question,answer\n" + "1" * 81 + "," + "1" * 81)
    error = refused(capsys, [*command, f"--data.replay={nine}:0.3"])
    assert "nine.csv, line 2: the question has 81 cells, but 16 are needed" in error
    assert "missing.csv" in refused(capsys, [*command, "--data.replay=missing.csv:0.3"])
    assert main([*command, "--data.clues=null"]) == 0
    whole = torch.load(CHECKPOINT, weights_only=True)
    other = "--trainer.logger.save_dir=other"
    assert main([*command, other, "--data.clues=null", "--trainer.max_steps=3"]) == 0
    assert main([*command, other, "--data.clues=null"]) == 0
    assert_same(torch.load("other/checkpoints/last.ckpt", weights_only=True)["state_dict"], whole["state_dict"])
