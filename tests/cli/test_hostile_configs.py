"""Whatever the values of a configuration: it trains three steps, or it is refused with one sentence."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paths import REPO

from trm.cli.main import main

SMALL = [
    "fit",
    "--config=quickstart.yaml",
    "--trainer.max_steps=3",
    "--trainer.limit_train_batches=2",
    "--trainer.limit_val_batches=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.logger=false",
    "--data.train_size=20",
    "--data.val_size=4",
    "--data.test_size=4",
    "--data.clues=[8,8]",
    "--data.slots=4",
    "--data.steps_per_batch=2",
    "--model.hidden_size=16",
    "--model.num_heads=2",
    "--ckpt_path=null",
]
COUNT = st.integers(-1, 9)  # of anything that is counted: small enough to train with, or out of range
NUMBER = st.sampled_from([-1.0, 0.0, 1e-12, 0.3, 1.0, 7.0, 1e30, float("inf"), float("nan")])
FOREIGN = st.sampled_from(
    ["", "two", "null", "[]", "{a: 1}", "1e3", "2.5", "true", "../x", "\u2460", "99999999999999999999"]
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "model.hidden_size": st.integers(-1, 40),
    "model.num_layers": COUNT,
    "model.num_heads": COUNT,
    "model.expansion": NUMBER.filter(lambda value: not 7 < value < float("inf")),
    "model.multiple_of": COUNT,
    "model.mixer": st.sampled_from(["mlp", "attention", "none"]),
    "model.positions": st.sampled_from(["rotary", "learned", "none", "sine"]),
    "model.cycles": COUNT,
    "model.latent_steps": COUNT,
    "model.puzzle_tokens": COUNT,
    "model.puzzle_size": st.integers(-1, 80),
    "model.supervision_steps": COUNT,
    "model.explore": NUMBER,
    "model.explore_seed": st.sampled_from([-1, 0, 2**31, 2**63, 2**80]),
    "model.lr": NUMBER,
    "model.weight_decay": NUMBER,
    "model.puzzle_lr": NUMBER,
    "model.puzzle_weight_decay": NUMBER,
    "model.warmup_steps": COUNT,
    "model.min_lr_ratio": NUMBER,
    "model.check_finite": st.sampled_from(["batch", "step", "never", "always"]),
    "model.gradient_checkpointing": st.booleans(),
    "data.slots": COUNT,
    "data.steps_per_batch": COUNT,
    "data.eval_batch_size": COUNT,
    "data.workers": st.sampled_from([-1, 0]),
    "data.seed": st.sampled_from([-1, 0, 2**32, 2**63, 2**80, 2**130]),
    "data.size": COUNT,
    "data.train_size": st.integers(-1, 30),
    "data.val_size": COUNT,
    "data.test_size": COUNT,
    "data.clues": st.sampled_from(["[4,8]", "[8,4]", "[0,0]", "[-1,20]", "[8]", "8"]),
    "data.min_rating": COUNT,
    "trainer.max_steps": st.integers(-1, 3).filter(lambda steps: steps != -1),
    "seed_everything": st.sampled_from([-1, 0, 2**32, "true", "false"]),
}


@st.composite
def options(draw: st.DrawFn) -> list[str]:
    """Draw values for one to four settings; one value in six is of no type at all."""
    names = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=4, unique=True))
    return [f"--{name}={draw(FOREIGN if draw(st.integers(0, 5)) == 0 else VALUES[name])}" for name in names]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    shutil.copy(REPO / "configs" / "quickstart.yaml", folder)
    return folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is of an earlier run")  # the examples share a folder
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(options())
def test_a_configuration_trains_or_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    monkeypatch.chdir(folder)
    capsys.readouterr()
    try:
        status = main([*SMALL, *options])
    except SystemExit as stop:  # jsonargparse leaves this way
        status = stop.code
    errors = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert (status, len(errors)) in ((0, 0), (1, 1), (2, 1)), errors
    if status == 1:  # numbers that are allowed, and too large to learn with
        assert "no longer finite" in errors[0]
