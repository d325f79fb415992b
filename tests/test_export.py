"""``trm export``: official files of models trained here, which come back as they were."""

from pathlib import Path
from typing import Any

import official
import pytest
import torch
from training import quiet_trainer

from trm.checkpoint import read_checkpoint
from trm.cli import main
from trm.data import Sudoku
from trm.export import official_options
from trm.module import ARCHITECTURE, TRMModule


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A 4x4 Sudoku model after one step, in a fresh folder."""
    monkeypatch.chdir(tmp_path)
    data = Sudoku(size=4, train_size=20, val_size=0, test_size=4, clues=(8, 8), slots=4, steps_per_batch=1, workers=0)
    module = TRMModule(6, 16, 1, 24, num_heads=2, multiple_of=8, mixer="mlp", positions="none", puzzle_tokens=2)
    trainer = quiet_trainer(max_steps=1, max_epochs=1, limit_train_batches=1)
    trainer.fit(module, data)
    trainer.save_checkpoint("own.ckpt")
    return "own.ckpt"


def test_a_model_trained_here_comes_back_as_it_was(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", trained, "--format", "official", "-o", "own.pt"]) == 0
    printed = capsys.readouterr().out
    assert "all of which begin with _orig_mod.model.inner.\n" in printed
    assert "arch.L_cycles=4" in printed
    assert "in float32: H_init, L_init" in printed
    assert "rounds SwiGLU widths up to 256, this network to 8" in printed
    exported = torch.load("own.pt", weights_only=True)
    assert {tensor.dtype for tensor in exported.values()} == {torch.float32}
    assert main(["import", "own.pt", "--family", "sudoku", "--data.size=4", "--latent_steps=4", "-o", "back.ckpt"]) == 0
    before, after = read_checkpoint(trained), read_checkpoint("back.ckpt")
    assert after["state_dict"].keys() == before["state_dict"].keys()
    for name, tensor in before["state_dict"].items():
        assert torch.equal(after["state_dict"][name], tensor)
    unused = {"num_heads"}  # by the mlp mixer
    for name in set(ARCHITECTURE) - unused | {"cycles", "latent_steps"}:
        assert after["hyper_parameters"][name] == before["hyper_parameters"][name], name


def test_keys_can_be_those_of_an_uncompiled_model(trained: str) -> None:
    assert main(["export", trained, "--format=official", "--output=own.pt", "--uncompiled"]) == 0
    exported = torch.load("own.pt", weights_only=True)
    assert "model.inner.L_level.layers.1.mlp_t.down_proj.weight" in exported
    assert all(key.startswith("model.inner.") for key in exported)


@pytest.mark.parametrize("name", official.MODELS)
def test_options_are_those_of_the_official_constructor(name: str) -> None:
    model = official.config(name)["model"]
    module = TRMModule(**official.hyper_parameters(model), supervision_steps=model["halt_max_steps"])
    options: dict[str, Any] = official_options(dict(module.hparams))
    assert options.pop("arch") == "trm"
    assert options.pop("arch.mlp_t") == bool(model.get("mlp_t"))
    if not model["puzzle_emb_len"]:  # derived from the other two
        model["puzzle_emb_len"] = -(-model["puzzle_emb_ndim"] // model["hidden_size"])
    for option, value in options.items():
        assert model[option.removeprefix("arch.")] == value, option


def test_what_cannot_be_exported_is_refused(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = read_checkpoint(trained)
    checkpoint["state_dict"]["core.answer_blocks.0.mlp.down.weight"] = torch.ones(1)
    torch.save(checkpoint, "variant.ckpt")
    torch.save(official.state_dict("mlp_t_none"), "official.pt")
    Path("there.pt").write_text("precious")
    before = set(Path.cwd().iterdir())
    for arguments, message in (
        (["variant.ckpt", "-o", "out.pt"], "holds answer_blocks.0.mlp.down.weight, for which the official trm"),
        (["official.pt", "-o", "out.pt"], "official.pt is not a checkpoint written by trm"),
        (["missing.ckpt", "-o", "out.pt"], "there is no checkpoint at missing.ckpt"),
        ([trained, "-o", "there.pt"], "there.pt exists already; --force overwrites it"),
    ):
        assert main(["export", *arguments, "--format=official"]) == 2
        assert message in capsys.readouterr().err
    assert set(Path.cwd().iterdir()) == before
    assert Path("there.pt").read_text() == "precious"
    assert main(["export", trained, "-o", "there.pt", "--format=official", "--force"]) == 0
