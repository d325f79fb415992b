"""A person without code trains on a file of pairs, and every command uses the checkpoint alone."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from command import TINY, refused
from pairs import next_symbol, random_grids, write_pairs
from paths import REPO

from trm import load
from trm.checkpoints.files import read_checkpoint
from trm.checkpoints.load import load_checkpoint
from trm.checkpoints.sharing import shareable
from trm.cli.main import main
from trm.edge import EdgeSolver
from trm.serve.backend import TorchBackend

CONFIG = ["--config", "configs/pairs.yaml"]
CHECKPOINT = "runs/pairs/checkpoints/last.ckpt"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which pairs of a file were trained on, tiny; the file is gone."""
    folder = tmp_path_factory.mktemp("pairs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        shutil.copytree(REPO / "configs", "configs")
        write_pairs(Path("pairs.jsonl"), random_grids(60))
        assert main(["fit", *CONFIG, *TINY, "--data.symmetries=[dihedral]"]) == 0
        Path("pairs.jsonl").rename("moved.jsonl")
    return folder


@pytest.fixture
def there(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(finished)
    return finished


def test_a_checkpoint_answers_without_the_file(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    puzzles = ["012210111", "[[0,1,2],[2,1,0],[1,1,1]]", "test:0", "moved.jsonl"]
    assert main(["solve", CHECKPOINT, *puzzles]) in (0, 1)  # after a few steps, an answer may be no grid
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert len(lines) == 63
    assert lines[0] == lines[1]
    assert any("  ; well formed; no rules are known to check it by; " in line for line in lines)
    assert lines[2].endswith("the known answer")
    assert "verifier" not in printed.err
    assert main(["solve", CHECKPOINT, "012210111", "--json", "--views=8", "--select=vote"]) in (0, 1)
    assert json.loads(capsys.readouterr().out)["question"] == "012210111"
    assert main(["trace", CHECKPOINT, "test:0", "-o", "page.html", "--force"]) == 0
    assert main(["analyze", "calibration", CHECKPOINT]) == 0
    assert main(["info", CHECKPOINT]) == 0
    assert "trm.data.Pairs" in capsys.readouterr().out
    solver = load(CHECKPOINT)
    grid = np.array([[0, 1, 2], [2, 1, 0], [1, 1, 1]])
    assert str(solver.solve(grid + 1)).startswith("0 1 2   ")  # token 1 is the first symbol


def test_a_model_is_served_and_exported_without_the_file(there: Path) -> None:
    backend = TorchBackend(load(CHECKPOINT))
    (answer,) = backend(backend.parse("012210111")[None], np.array([True]))
    assert answer["question"] == "012210111"
    assert answer["trace"]
    pytest.importorskip("onnxruntime")
    assert main(["export", CHECKPOINT, "--format=onnx", "-o", "model.onnx", "--force"]) == 0
    (solution,) = EdgeSolver("model.onnx").solve(["012210111"])
    assert solution.text == answer["answer"]


def test_a_puzzle_that_the_model_cannot_read_is_refused(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for puzzle, sentence in (
        ("01", "the question '01' has 2 cells; accepted are 3x3"),
        ("012210113", "the question '012210113' has '3'; accepted are 0 1 2"),
        ("[[0,1],[2,1,0],[1,1,1]]", "is ragged: row 1 has 2 cells, but row 2 has 3; all rows need as many"),
        ("test:6", "the test split has test:0 to test:5"),
        ("absent.jsonl", "cannot read absent.jsonl: No such file or directory"),
    ):
        assert sentence in refused(capsys, ["solve", CHECKPOINT, puzzle])
    assert "halt is 'rules', but Pairs has no rules" in refused(
        capsys, ["solve", CHECKPOINT, "012210111", "--halt=rules"]
    )


def test_an_evaluation_uses_the_pairs_and_the_tokens_of_the_checkpoint(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = ["--config=runs/pairs/config.yaml", f"--ckpt_path={CHECKPOINT}", "--trainer.limit_test_batches=1.0"]
    assert main(["test", *saved]) == 0
    first = capsys.readouterr().out
    assert "test/solved" in first
    assert main(["test", *saved, "--data.source=moved.jsonl"]) == 0
    assert capsys.readouterr().out == first
    with pytest.warns(
        UserWarning, match=r"In training data.symmetries was \['dihedral'\], so other pairs of .* may have"
    ):
        Path("moved.jsonl").rename("pairs.jsonl")
        try:
            assert main(["test", *saved, "--data.symmetries=[]"]) == 0
        finally:
            Path("pairs.jsonl").rename("moved.jsonl")
    capsys.readouterr()
    fewer = [grid % 2 for grid in random_grids(30)]
    write_pairs(Path("test.jsonl"), fewer, lambda grid: next_symbol(grid) % 2)
    Path("other").mkdir(exist_ok=True)
    Path("test.jsonl").replace("other/test.jsonl")
    assert main(["test", *saved, "--data.source=other"]) == 0
    assert "cannot read pairs.jsonl: No such file" in refused(
        capsys, ["test", "--config=runs/pairs/config.yaml", "--ckpt_path=last"]
    )
    strange = random_grids(30, symbols=4)
    write_pairs(Path("strange.jsonl"), strange)
    sentence = refused(capsys, ["test", *saved, "--data.source=strange.jsonl"])
    origin = f"data.alphabet of {CHECKPOINT}"
    assert f"strange.jsonl, line 1: the question has '3'; accepted are 0 1 2 ({origin})" in sentence
    write_pairs(Path("wide.jsonl"), random_grids(30, shape=(3, 4)))
    sentence = refused(capsys, ["test", *saved, "--data.source=wide.jsonl"])
    assert f"wide.jsonl, line 1: the question has 3x4; accepted are 3x3 (data.size of {CHECKPOINT})" in sentence
    sentence = refused(capsys, ["fit", *saved[:1], "--data.source=moved.jsonl", "--data.replay=wide.jsonl:0.3"])
    assert "wide.jsonl, line 1: the question has 3x4; accepted are 3x3 (data.size of moved.jsonl)" in sentence
    given = ["fit", *saved[:1], "--data.source=wide.jsonl", "--data.size=[3, 3]", "--ckpt_path=null"]
    assert "the question has 3x4; accepted are at most 3x3 (data.size)" in refused(capsys, given)


def test_answers_are_predicted_from_the_checkpoint(there: Path) -> None:
    assert main(["predict", "--config=runs/pairs/config.yaml", f"--ckpt_path={CHECKPOINT}"]) == 0
    (table,) = Path("runs/pairs").glob("predictions*.csv")
    assert len(table.read_text().splitlines()) == 7


def test_a_shared_checkpoint_has_neither_the_folder_nor_the_pairs(there: Path) -> None:
    _, data = load_checkpoint(CHECKPOINT)
    content = shareable(read_checkpoint(CHECKPOINT), data)
    assert content["family"]["init_args"]["source"] == ""
    assert content["family"]["init_args"]["alphabet"] == ("0", "1", "2")
    assert "held_out" not in content
    torch.save(content, "shared.ckpt")
    assert main(["solve", "shared.ckpt", "012210111"]) in (0, 1)


def test_a_hub_folder_solves_pairs(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("safetensors")
    assert main(["export", CHECKPOINT, "--format=hub", "-o", "hub", "--force"]) == 0
    assert "left out: data.source 'pairs.jsonl', now ''" in capsys.readouterr().out
    assert main(["solve", CHECKPOINT, "012210111"]) in (0, 1)
    answer = capsys.readouterr().out
    assert main(["solve", "hub", "012210111"]) in (0, 1)
    assert capsys.readouterr().out == answer


def test_the_kept_pairs_are_checked_without_the_file(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", CHECKPOINT]) == 0
    printed = capsys.readouterr().out
    assert "test: puzzles that are also in val, up to symmetry: 0 of 6, by symmetry_keys" in printed
    assert "skipped train: pairs.jsonl is not there, and a checkpoint keeps pairs for evaluation alone" in printed


def test_a_run_goes_on_and_parameters_are_taken_over(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pairs(Path("pairs.jsonl"), random_grids(60))
    assert main(["fit", *CONFIG, *TINY]) == 0
    assert main(["fit", *CONFIG, *TINY, "--trainer.max_steps=8"]) == 0  # without a warning of other settings
    write_pairs(Path("fewer.jsonl"), [grid % 2 for grid in random_grids(60)], lambda grid: next_symbol(grid) % 2)
    tune = ["fit", *CONFIG, *TINY, "--data.source=fewer.jsonl", "--trainer.logger.save_dir=runs/tuned"]
    assert main([*tune, f"--weights={CHECKPOINT}"]) == 0
    assert load_checkpoint("runs/tuned/checkpoints/last.ckpt")[1].family["init_args"]["alphabet"] == ("0", "1", "2")


def test_pairs_are_checked_by_the_name_of_their_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pairs(Path("pairs.jsonl"), random_grids(60))
    assert main(["data", "check", "pairs.jsonl", "--data.symmetries=[dihedral]"]) == 0
    first = capsys.readouterr().out
    assert "test: puzzles that are also in train, up to symmetry: 0 of 6, by symmetry_keys" in first
    assert "skipped answers against the rules: Pairs has no rules to check answers by" in first
    assert main(["data", "check", *CONFIG, "--data.symmetries=[dihedral]"]) == 0
    assert capsys.readouterr().out == first
    write_pairs(Path("turned.jsonl"), random_grids(200, symbols=2), lambda grid: grid[::-1])
    write_pairs(Path("large.jsonl"), random_grids(20, shape=(4, 4)))
    check = ["data", "check", "pairs.jsonl", "--data.replay=large.jsonl:0.5"]
    renamed = ["--data.symmetries=[symbols]", "--data.alphabet=[0, 1, 2]"]
    write_pairs(Path("kept.jsonl"), random_grids(60), lambda grid: grid)
    assert main(["data", "check", "kept.jsonl", *renamed, "--data.symbols=[1, 2]"]) == 0, "7 and '7' are one symbol"
    sentence = "the question has 4x4; accepted are 3x3 (data.size of pairs.jsonl)"
    assert sentence in refused(capsys, check), "what training would refuse"
    check = ["data", "check", "turned.jsonl", "--data.symmetries=[rows]"]
    assert "data.symmetries has rows, which maps" in refused(capsys, check)
    for files, sentence in (
        (["none.jsonl"], "cannot read none.jsonl: No such file or directory"),
        (["none.ckpt", "--data.size=3"], "trm data check has none.ckpt and --data.size=3; accepted is one source"),
    ):
        assert sentence in refused(capsys, ["data", "check", *files])


def test_nothing_is_written_for_a_malformed_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("pairs.jsonl").write_text('{"question": "01", "answer": "1"}\n')
    sentence = refused(capsys, ["fit", *CONFIG, *TINY])
    assert "pairs.jsonl, line 1: the answer has 1 cell and its question 2 cells; accepted is the same size" in sentence
    Path("pairs.jsonl").write_text('{"question": "01", "answer": "10"}\n')
    assert "has 1 different pair, but the splits need at least 3" in refused(capsys, ["fit", *CONFIG, *TINY])


def test_the_symmetric_network_takes_pairs_with_interchangeable_symbols(here: Path) -> None:
    write_pairs(Path("pairs.jsonl"), random_grids(60), lambda grid: grid[::-1])
    network = ["--model.network=symmetric", "--data.symmetries=[symbols]"]
    assert main(["fit", *CONFIG, *TINY, *network]) == 0
    module, data = load_checkpoint(CHECKPOINT)
    assert module.hparams["num_symbols"] == data.num_symbols == 3
