"""``trm bench`` in process: what it prints and writes, that its bare loop trains as Lightning does, what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from paths import REPO
from training import BOARDS, SMALL, quiet_trainer

from trm.bench.loop import PARTS, Alternation, BareLoop
from trm.callbacks.ema import StepEMA
from trm.cli.main import main
from trm.data import Sudoku
from trm.module import TRMModule

TINY = ["--trainer.precision=32-true", *SMALL]
FOUR = [*TINY, *BOARDS]
QUICK = ["bench", "--config", str(REPO / "configs" / "quickstart.yaml"), *FOUR]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder to run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time the loader over few batches."""
    monkeypatch.setattr("trm.bench.measure.WINDOW", 0.0)
    monkeypatch.setattr("trm.bench.measure.LEAST_BATCHES", 1)


@pytest.mark.usefixtures("short_windows")
def test_bench_prints_a_table_and_writes_all_it_measured(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--repeats=2", "-o", "bench.json"]) == 0
    assert main([*QUICK, "--repeats=2", "-o", "bench.json"]) == 2  # it exists
    result = json.loads((here / "bench.json").read_text())
    assert list(result) == ["machine", "configuration", "train", "solve", "data"]
    train = result["train"]
    for name in ("steps_per_second", "puzzles_per_second", "tokens_per_second", "flops_per_second", "share_of_peak"):
        assert 0 < train[name]["least"] <= train[name]["median"] <= train[name]["most"]
    assert list(train["parts"]) == [*PARTS, "lightning"]
    assert train["flops"]["total"] == sum(list(train["flops"].values())[:3]) > 0
    assert train["peak_memory_bytes"] >= 0
    assert result["solve"]["weights"] == "random"
    assert result["solve"]["supervision_steps"] == 2  # untrained, it never halts early
    assert all(rate["median"] > 0 for rate in result["data"].values())
    printed = capsys.readouterr().out
    for heading in (*result, "steps per second", "share of peak", "lightning", "rows per second 2 workers"):
        assert heading in printed
    assert {path.name for path in here.iterdir()} == {"bench.json"}


def test_bench_measures_whatever_length_of_run_is_configured(here: Path) -> None:
    lengths = ["--trainer.max_steps=1", "--trainer.limit_train_batches=1", "--trainer.fast_dev_run=true"]
    assert main([*QUICK, "--what=train", "--repeats=3", "-o", "bench.json", *lengths]) == 0
    assert json.loads(Path("bench.json").read_text())["train"]["seconds_per_step"]["least"] > 0


def both_loops(monkeypatch: pytest.MonkeyPatch, **hparams: Any) -> tuple[TRMModule, Alternation, Trainer]:
    """Take four batches in Lightning, and four in the bare loop, from the same weights."""
    torch.manual_seed(0)
    data = Sudoku(size=4, train_size=40, val_size=4, test_size=4, clues=(8, 8), slots=4, steps_per_batch=2, workers=0)
    size = {"hidden_size": 16, "num_heads": 2, "multiple_of": 8, "cycles": 2, "latent_steps": 1, "warmup_steps": 3}
    module = TRMModule(data.vocab_size, data.seq_len, data.num_puzzles, **size, puzzle_tokens=2, **hparams)
    trainer = quiet_trainer(max_epochs=-1, callbacks=[StepEMA(0.9)], limit_val_batches=0)  # as trm bench has it
    bare = BareLoop(trainer, module, data)
    bare.warm_up()
    alternation = Alternation(bare, 2, lambda: None)
    trainer.callbacks.append(alternation)
    trainer.fit(module, datamodule=data)
    return module, alternation, trainer


@pytest.mark.parametrize("hparams", [{"mixer": "mlp"}, {"network": "hrm", "continue_loss": True}], ids=["trm", "hrm"])
def test_the_bare_loop_comes_to_the_weights_of_lightning(
    hparams: dict[str, Any], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live: dict[str, torch.Tensor] = {}
    monkeypatch.setattr(  # at the end the average takes the place of the weights
        StepEMA, "on_train_end", lambda self, trainer, module: live.update(module.core.state_dict())
    )
    _, alternation, trainer = both_loops(monkeypatch, **hparams)
    bare = alternation.bare.module
    assert trainer.global_step == bare.global_step == 8
    assert live.keys() == bare.core.state_dict().keys()
    for name, weights in bare.core.state_dict().items():
        assert torch.equal(weights, live[name]), name


def test_parts_are_positive_and_sum_to_no_more_than_the_whole(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, alternation, _ = both_loops(monkeypatch)
    assert len(alternation.rounds) == 2
    for measured in alternation.rounds:
        assert all(measured.parts[part] > 0 for part in PARTS)
        assert sum(measured.parts.values()) <= measured.bare
        assert measured.fit > 0


def test_solving_takes_the_weights_of_a_checkpoint(here: Path) -> None:
    fit = ["fit", *QUICK[1:], "--trainer.max_steps=2", "--trainer.enable_progress_bar=false"]
    assert main([*fit, "--trainer.enable_model_summary=false", "--trainer.limit_val_batches=0"]) == 0
    path = "runs/quickstart/checkpoints/last.ckpt"
    before = Path(path).read_bytes()
    assert main([*QUICK, "--what=solve", "--repeats=1", f"--ckpt_path={path}", "-o", "bench.json"]) == 0
    assert json.loads(Path("bench.json").read_text())["solve"]["weights"] == path
    assert Path(path).read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--repeats=0"], "bench.repeats is 0, but must be at least 1"),
        (["-o", f"{REPO}/pyproject.toml/bench.json"], "pyproject.toml is not a folder that can be written to"),
        (["--trainer.devices=2"], "trm bench measures one device, not 2: pass --trainer.devices 1"),
        (["--ckpt_path=none.ckpt"], "none.ckpt"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    arguments: list[str], told: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*QUICK, *arguments]) == 2
    assert told in capsys.readouterr().err
    assert not list(here.iterdir())
