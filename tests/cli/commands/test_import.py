"""``trm import``: official checkpoints of every form give their answers here, and nothing else is taken for one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import official
import pytest
import torch
from paths import REPO
from safetensors.torch import load_file, save_file
from tables import write_tables
from torch import Tensor

from trm.checkpoints.files import read_checkpoint
from trm.checkpoints.load import load_checkpoint
from trm.cli.main import main
from trm.data import ARC, Maze, Sudoku
from trm.data.arc.files import read_task
from trm.data.arc.query import query_task
from trm.inference import think
from trm.module import TRMModule

IDENTIFIERS = json.loads((official.GOLDEN / "arc" / "identifiers.json").read_text())
CELLS = "official.Cells"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder to run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Import what must be refused, without leaving anything behind, and return the one line that is printed."""

    def run(*arguments: str) -> str:
        before = set(here.rglob("*"))
        capsys.readouterr()
        assert main(["import", *arguments]) == 2
        printed = capsys.readouterr()
        (line,) = printed.err.splitlines()
        assert not printed.out
        assert set(here.rglob("*")) == before
        return line

    return run


def import_golden(name: str, file: str, *more: str) -> tuple[TRMModule, dict[str, Any]]:
    """Import a file that holds one of the golden models."""
    true = official.hyper_parameters(official.config(name)["model"])
    dimensions = [f"--data.{key}={true[key]}" for key in ("vocab_size", "seq_len", "num_puzzles")]
    unseen = [f"--{key}={true[key]}" for key in ("cycles", "latent_steps", "num_heads", "puzzle_tokens")]
    assert main(["import", file, "--family", CELLS, "-o", "out.ckpt", *dimensions, *unseen, *more]) == 0
    module, data = load_checkpoint("out.ckpt", family=CELLS)
    assert isinstance(data, official.Cells)
    return module, true


@pytest.mark.parametrize("name", official.MODELS)
def test_imported_models_answer_as_in_the_official_evaluation(name: str, here: Path) -> None:
    torch.save(official.state_dict(name), "step_1")
    module, true = import_golden(name, "step_1")
    if true["puzzle_size"] in (0, true["hidden_size"]):
        true["puzzle_size"] = None
    assert true.items() <= dict(module.hparams).items()
    batch, expected = official.batch(name, 1), load_file(official.GOLDEN / name / "eval.safetensors")
    for k in (1, 2, 3):
        answers = think(module.core, batch.inputs, batch.puzzle_ids, max_steps=k)
        torch.testing.assert_close(answers.logits, expected[f"step{k}.logits"], atol=2e-4, rtol=1e-3)
        torch.testing.assert_close(answers.halt, expected[f"step{k}.q_halt_logits"], atol=5e-5, rtol=1e-4)
        assert torch.equal(answers.tokens.int(), expected[f"step{k}.preds"])


def save_legacy(state: dict[str, Tensor], path: str) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("save", [torch.save, save_legacy, save_file])
@pytest.mark.parametrize("prefix", ["", "model.", "model.inner.", "_orig_mod.", "_orig_mod.model.inner."])
def test_every_prefix_and_kind_of_file_gives_the_same(prefix: str, save: Callable[..., None], here: Path) -> None:
    given = official.state_dict("attn_learned")
    save({prefix + key.removeprefix("model.inner."): tensor for key, tensor in given.items()}, "step_1")
    module, _ = import_golden("attn_learned", "step_1")
    ours = module.core.state_dict()
    for key, tensor in official.weights("attn_learned").items():
        assert torch.equal(ours[key], tensor)


def test_the_state_dict_of_a_module_is_taken_as_it_is_saved(here: Path) -> None:
    inner = torch.nn.Module()
    inner.embed_tokens = torch.nn.Module()
    inner.embed_tokens.register_parameter("embedding_weight", torch.nn.Parameter(torch.ones(11, 32)))
    ordered = inner.state_dict()  # ordered, with metadata
    ordered |= official.state_dict("mlp_t_none") | {"model.inner.embed_tokens.embedding_weight": torch.ones(11, 32)}
    del ordered["embed_tokens.embedding_weight"]
    torch.save(ordered, "step_1")
    module, _ = import_golden("mlp_t_none", "step_1")
    assert (module.core.tokens.weight == 1).all()


@pytest.mark.parametrize(
    ("name", "network", "told"),
    [
        ("trm_singlez_mlp", "single_z", {"mixer": "mlp", "puzzle_tokens": 4, "latent_steps": 2}),
        ("trm_hier6_mlp_L6", "multi_scale", {"mixer": "mlp", "puzzle_tokens": 4, "latent_steps": 6}),
        ("hrm", "hrm", {"puzzle_tokens": 1, "cycles": 2, "latent_steps": 2, "continue_loss": True}),
        ("transformer_baseline", "direct", {"num_layers": 3, "puzzle_tokens": 1, "cycles": 1, "latent_steps": 1}),
    ],
)
def test_other_networks_are_told_by_their_names_and_come_back_exactly(
    name: str, network: str, told: dict[str, Any], here: Path
) -> None:
    given = official.formula_state_dict(name)
    torch.save(given, "step_1")
    dimensions = ["--data.vocab_size=11", "--data.seq_len=9", "--data.num_puzzles=5", "--num_heads=2"]
    more = ["--latent_steps=2"] if network == "single_z" else []
    assert main(["import", "step_1", "--family", CELLS, "-o", "out.ckpt", *dimensions, *more]) == 0
    module, _ = load_checkpoint("out.ckpt", family=CELLS)
    assert {"network": network, **told}.items() <= dict(module.hparams).items()
    b, j = torch.meshgrid(torch.arange(3), torch.arange(9), indexing="ij")
    expected = json.loads((official.GOLDEN / "formula" / "model_golden.json").read_text())[name]["float32"][0]
    answers = think(module.core, (7 * b + 3 * j) % 10 + 1, torch.tensor([1, 2, 2]), max_steps=1)
    assert answers.logits[0, 0].tolist() == pytest.approx(expected["logits_0_0"], abs=2e-4)
    assert answers.tokens.tolist() == expected["preds"]
    assert main(["export", "out.ckpt", "--format=official", "-o", "back", "--uncompiled"]) == 0
    back = torch.load("back", weights_only=True)
    assert back.keys() == given.keys()
    assert all(torch.equal(back[key].float(), tensor) for key, tensor in given.items())


@pytest.mark.parametrize(
    ("family", "mixer", "vocab", "cells", "weights"),
    [
        ("sudoku", "mlp", 11, 81, 5_028_866),
        ("sudoku", "attention", 11, 81, 6_828_034),
        ("maze", "attention", 6, 900, 6_822_914),
        ("arc", "attention", 12, 900, 6_829_058),
        ("sudoku", "attention", 11, 81, 27_275_266),
    ],
)
def test_official_models_have_their_size_and_come_back_exactly(
    family: str, mixer: str, vocab: int, cells: int, weights: int, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = len(IDENTIFIERS["identifiers"]) if family == "arc" else 1
    hrm = weights > 20_000_000
    given = official.random_state_dict(mixer, vocab, cells, rows, hrm=hrm)
    torch.save(given, "step_1")
    more = official_tasks(here) if family == "arc" else []
    assert main(["import", "step_1", "--family", family, "-o", "out.ckpt", *more]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"out.ckpt: {weights:,} parameters and {rows} puzzle id")
    assert f"latent_steps {2 if hrm else 6 if family == 'sudoku' else 4}" in printed
    assert ("num_heads 8, positions rotary" in printed) == (mixer == "attention")
    assert f"puzzle_tokens {1 if hrm else 16}" in printed

    module, data = load_checkpoint("out.ckpt")
    assert sum(parameter.numel() for parameter in module.core.parameters()) == weights
    assert (data.vocab_size, data.seq_len, data.num_puzzles) == (vocab, cells, rows)
    assert type(data) is {"sudoku": Sudoku, "maze": Maze, "arc": ARC}[family]

    assert main(["export", "out.ckpt", "--format", "official", "-o", "back"]) == 0
    back = torch.load("back", weights_only=True)
    assert back.keys() == given.keys()
    for key, tensor in given.items():
        assert back[key].dtype == tensor.dtype
        assert torch.equal(back[key], tensor)


def test_every_command_takes_an_imported_checkpoint(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(official.random_state_dict("mlp", 11, 81, hidden=16), "step_1")
    assert main(["import", "step_1", "--family", "sudoku", "-o", "out.ckpt", "--latent_steps", "1"]) == 0
    assert "as given: latent_steps 1\nassumed from the recipe: cycles 3\n" in capsys.readouterr().out
    board = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
    assert main(["solve", "out.ckpt", board, "--depth=1"]) in (0, 1)
    assert main(["info", "out.ckpt"]) == 0
    assert "imported from step_1" in capsys.readouterr().out

    shutil.copytree(REPO / "configs", "configs")
    write_tables(here / "tables", "Sudoku")
    config = ["--config=configs/sudoku.yaml", "--ckpt_path=out.ckpt", "--data.source=tables", "--data.slots=4"]
    config += ["--data.workers=0", "--data.val_size=4", "--trainer.accelerator=cpu", "--trainer.precision=32-true"]
    config += [
        "--model.hidden_size=16",
        "--model.latent_steps=1",
        "--model.compile=false",
        "--trainer.enable_progress_bar=false",
    ]
    assert main(["test", *config]) == 0
    assert "test/solved" in capsys.readouterr().out
    assert main(["predict", *config]) == 0
    assert main(["test", *config, "--model.hidden_size=32"]) == 2
    assert "hidden_size 16" in capsys.readouterr().err
    assert main(["fit", *config]) == 2
    assert "out.ckpt contains only parameters, so training cannot resume from it" in capsys.readouterr().err


# -- ARC --------------------------------------------------------------------------------------------------------------


def official_tasks(folder: Path, subsets: str = "training,evaluation,concept") -> list[str]:
    """Write the tasks of the golden numbering as Kaggle's files, and return the options that name them."""
    for subset, tasks in IDENTIFIERS["subsets"].items():
        solutions = {name: [pair["output"] for pair in task["test"]] for name, task in tasks.items()}
        (folder / f"arc-agi_{subset}_challenges.json").write_text(json.dumps(tasks))
        (folder / f"arc-agi_{subset}_solutions.json").write_text(json.dumps(solutions))
    return [
        f"--data.source={folder}",
        f"--data.augmentations={IDENTIFIERS['augmentations']}",
        f"--data.subsets=[{subsets}]",
    ]


@pytest.fixture
def arc(here: Path) -> list[str]:
    """Options to import an ARC model of the golden tasks, whose row of the table k holds the number k."""
    rows = len(IDENTIFIERS["identifiers"])
    weights = official.random_state_dict("attention", 12, 900, rows, hidden=16)
    weights["_orig_mod.model.inner.puzzle_emb.weights"] = torch.arange(rows).float()[:, None].expand(-1, 16).clone()
    torch.save(weights, "step_1")
    return ["step_1", "--family", "arc", "-o", "out.ckpt"]


def test_an_arc_task_is_asked_by_its_official_rows(arc: list[str], here: Path) -> None:
    assert main(["import", *arc, *official_tasks(here)]) == 0
    module, data = load_checkpoint("out.ckpt")
    assert isinstance(data, ARC)
    (here / "ddd.json").write_text(json.dumps(IDENTIFIERS["subsets"]["evaluation"]["ddd"]))
    question = query_task(data, read_task(here / "ddd.json"), views=64)
    assert question.known
    names = IDENTIFIERS["identifiers"]
    expected = {names.index(name) for name in names if name.split("|||")[0] == "ddd"}
    assert set(question.samples.puzzle_ids.tolist()) == expected
    assert (
        module.core.puzzle_embedding(torch.from_numpy(question.samples.puzzle_ids))[:, 0].tolist()
        == question.samples.puzzle_ids.tolist()
    )


def test_rows_of_concept_arc_are_left_out_where_its_tasks_are_not_known(
    arc: list[str], here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = IDENTIFIERS["identifiers"]
    kept = min(names.index(task) for task in IDENTIFIERS["subsets"]["concept"])
    monkeypatch.setattr("trm.checkpoints.conversion.OFFICIAL_ROWS", {len(names): ("training", "evaluation", "concept")})
    monkeypatch.setattr("trm.checkpoints.conversion.CONCEPT_ROWS", len(names) - kept)
    assert main(["import", *arc, *official_tasks(here, "training,evaluation")]) == 0
    assert f"left out: the last {len(names) - kept} puzzle ids" in capsys.readouterr().out
    checkpoint = read_checkpoint("out.ckpt")
    assert checkpoint["hyper_parameters"]["num_puzzles"] == kept
    assert checkpoint["state_dict"]["core.puzzle_embedding.weights"][:, 0].tolist() == list(range(kept))
    assert Path("out.ckpt").stat().st_size < Path("step_1").stat().st_size + 5000


def test_a_table_of_unknown_rows_is_refused(arc: list[str], here: Path, refused: Callable[..., str]) -> None:
    options = official_tasks(here, "training,evaluation")
    rows = len(IDENTIFIERS["identifiers"])
    assert f"has {rows} puzzle ids, but ARC with these arguments has" in refused(*arc, *options)


def test_rows_that_stand_for_other_puzzles_are_refused_in_a_test(
    arc: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = official_tasks(here)
    assert main(["import", *arc, *options]) == 0
    test = ["test", "--data=ARC", *options, "--ckpt_path=out.ckpt", "--model.hidden_size=16", "--data.workers=0"]
    test += ["--trainer.logger=false", "--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]
    test += ["--trainer.limit_test_batches=1", "--data.slots=2", "--model.supervision_steps=1"]
    test += ["--data.numbering=official"]
    assert main(test) == 0
    assert "test/pass@1" in capsys.readouterr().out
    checkpoint = read_checkpoint("out.ckpt")
    arguments = checkpoint["family"]["init_args"]
    for name, value in {"numbering": "own", "seed": 1, "augmentations": 13}.items():
        checkpoint["family"]["init_args"] = {**arguments, name: value}  # as many rows, for other puzzles
        torch.save(checkpoint, "out.ckpt")
        assert main(test) == 2
        assert f"those of data.{name} {value!r}, but data.{name} is" in capsys.readouterr().err


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_what_is_no_plain_state_dict_is_refused(here: Path, refused: Callable[..., str]) -> None:
    weights = official.state_dict("mlp_t_none")
    torch.save(weights, "whole.pt")
    save_file(weights, "whole.safetensors")
    for name in ("whole.pt", "whole.safetensors"):
        content = Path(name).read_bytes()
        Path(f"short-{name}").write_bytes(content[: len(content) // 2])
    Path("text.pt").write_text("not a checkpoint")
    Path("empty.pt").touch()
    torch.save({"model": weights, "optimizer": {"state": {}}, "step": 7}, "nested.pt")
    torch.save(list(weights.values()), "list.pt")
    torch.save({**weights, "code": Path()}, "code.pt")
    torch.save({"state_dict": {}, "hyper_parameters": {}, "trm_version": "0.1.0"}, "ours.ckpt")
    for name, message in {
        "missing.pt": "there is no checkpoint at missing.pt",
        "short-whole.pt": "is truncated or corrupt",
        "short-whole.safetensors": "is truncated or corrupt",
        "text.pt": "text.pt is not a checkpoint",
        "empty.pt": "empty.pt is truncated or corrupt",
        "nested.pt": "is not a plain state dict: model, optimizer, step in it are not tensors",
        "list.pt": "list.pt contains a list, not a state dict",
        "code.pt": "contains Python objects; only tensors",
        "ours.ckpt": "is a checkpoint of trm already",
    }.items():
        assert message in refused(name, "--family", "sudoku", "-o", "out.ckpt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--family=sudko"], "--family is not one of sudoku, maze, arc but sudko"),
        (["--family=pathlib.Path"], "pathlib.Path, which is not a PuzzleData"),
        (["--family=maze"], "has 11 tokens, but Maze with these arguments has 6"),
        (["--family=sudoku", "--data.size=4"], "has 11 tokens, but Sudoku with these arguments has 6"),
        (
            ["--family=sudoku", "--data.sise=4"],
            "--data does not fit Sudoku: Group 'data' does not accept option 'sise'",
        ),
        (["--family=sudoku", "--data.size=x"], '--data does not fit Sudoku: Parser key "data.size"'),
        (
            ["--family=sudoku", "--puzzle_tokens=4"],
            "--puzzle_tokens is 4, but step_1 has the shapes of puzzle_tokens 16",
        ),
        (
            ["--family=sudoku", "--positions=rotary"],
            "--positions is rotary, but step_1 has the shapes of positions none",
        ),
        (["--family=sudoku", "--cycles=0"], "model.cycles is 0, but must be from 1 to 1000"),
        (["--family=sudoku", "--force=false"], "out.ckpt exists already; --force overwrites it"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    arguments: list[str], message: str, here: Path, refused: Callable[..., str]
) -> None:
    torch.save(official.random_state_dict("mlp", 11, 81, hidden=16), "step_1")
    if "--force=false" in arguments:
        Path("out.ckpt").write_text("precious")
    assert message in refused("step_1", *arguments, "-o", "out.ckpt")


def test_an_output_is_overwritten_if_asked(here: Path) -> None:
    torch.save(official.random_state_dict("mlp", 11, 81, hidden=16), "step_1")
    Path("out.ckpt").write_text("old")
    assert main(["import", "step_1", "--family", "sudoku", "-o", "out.ckpt", "--force"]) == 0
    assert load_checkpoint("out.ckpt")[0].hparams["hidden_size"] == 16


def test_tokens_are_those_of_the_official_data() -> None:
    blank_then_digits = "." * 72 + "123456789"
    assert Sudoku().parse(blank_then_digits).tolist() == [1] * 72 + list(range(2, 11))
    maze = Maze(size=3, source="folder").parse("S.G" + "###" * 2)
    assert maze.tolist() == [3, 2, 4] + [1] * 6
    assert Maze(size=3, source="folder").write(np.array([5] * 9, dtype=np.uint8)) == "o" * 9
    grid = ARC().parse("[[0, 9]]").reshape(30, 30)
    assert grid[:2, :3].tolist() == [[2, 11, 1], [1, 1, 0]]
