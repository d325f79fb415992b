"""``trm export`` to other runtimes: files that are checked, complete and free of local names, or a sentence."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from command import refused
from exporting import save_random_model
from paths import REPO

from trm.checkpoints.load import load_checkpoint
from trm.cli.main import main
from trm.data import PuzzleData, Samples, Sudoku
from trm.edge import EdgeSolver
from trm.edge.model import KEY, open_session
from trm.errors import InputError
from trm.export.description import describe
from trm.export.parity import compare_answers
from trm.inference import think
from trm.inference.halting import head
from trm.zoo import names

BOARD = ".3...2.1...4...."
WITHOUT_TORCH = """
import runpy, sys
sys.modules.update(dict.fromkeys(["torch", "lightning", "jsonargparse"]))  # importing one fails
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def local_names(content: bytes) -> list[bytes]:
    """Return what a file says of this machine."""
    return [name for name in (str(REPO).encode(), b"site-packages", b"/home/me", b"/trm/nn/") if name in content]


def test_a_kit_solves_without_torch_what_the_package_solves(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(checkpoint), "--format=onnx", "--dtype=int8", "--kit=kit", "-o", "int8.onnx"]) == 0
    printed = capsys.readouterr().out
    assert "int8.onnx: " in printed
    assert "steps of 40 puzzles of the test split differ from torch by at most " in printed
    assert {path.name for path in Path("kit").iterdir()} == {"model.onnx", "solve.pyz", "README.md"}
    content = Path("kit/model.onnx").read_bytes()
    assert content == Path("int8.onnx").read_bytes()
    assert not local_names(content)
    expected = [str(solution) for solution in EdgeSolver("int8.onnx", views=2).solve([BOARD, BOARD[::-1]])]
    Path("boards.txt").write_text(f"{BOARD}  ; a remark\n\n{BOARD[::-1]}\n")
    command = [sys.executable, "-c", WITHOUT_TORCH, "kit/solve.pyz", "--views=2", "boards.txt"]
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": ""}, check=False)
    assert done.stdout.splitlines() == expected, done.stderr
    assert done.returncode == 1  # an untrained network breaks the rules
    wrong = subprocess.run([*command[:4], BOARD[1:]], capture_output=True, text=True, env={"PATH": ""}, check=False)
    assert wrong.returncode == 2
    assert "has 15 cells, but the model takes 16" in wrong.stderr
    readme = Path("kit/README.md").read_text()
    assert "pip install numpy onnxruntime\n" in readme
    question = next(line for line in readme.splitlines() if "python solve.pyz '" in line).split("'")[1]
    assert len(question) == 16


def test_the_whole_loop_answers_as_the_loop_in_torch(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "whole.onnx"
    with_vectors = save_random_model(tmp_path / "vectors.ckpt", puzzle_tokens=1)
    assert main(["export", str(with_vectors), "--format=onnx", "--whole", "-o", str(path)]) == 0
    module, data = load_checkpoint(with_vectors)
    samples = data.eval_samples("test", 0, 12)
    inputs, ids = (torch.from_numpy(part.astype(np.int32)) for part in (samples.inputs, samples.puzzle_ids))
    found = think(module.core, inputs, ids, module.hparams["supervision_steps"], head())
    assert len(set(found.steps.tolist())) > 1
    session = open_session(path)
    vectors = module.core.puzzle_embedding(ids).numpy()
    for count in (1, 12):
        feed = {"inputs": inputs.numpy()[:count], "puzzle_vectors": vectors[:count]}
        tokens, confidence, steps = session.run(None, feed)
        assert (tokens == found.tokens.numpy()[:count]).all()
        assert (steps == found.steps.numpy()[:count]).all()
        np.testing.assert_allclose(confidence, found.halt.sigmoid().numpy()[:count], atol=1e-4)
    with pytest.raises(InputError, match="contains the whole loop, for runtimes without a host language"):
        EdgeSolver(path)


def test_a_program_of_torch_carries_its_description(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    assert main(["export", str(checkpoint), "--format=pt2", "-o", str(path)]) == 0
    content, extra = path.read_bytes(), {KEY: ""}
    assert not local_names(content)
    torch.export.load(io.BytesIO(content), extra_files=extra)
    assert json.loads(extra[KEY])["family"]["class_path"] == "trm.data.Sudoku"


def test_the_description_names_the_family_and_no_folder(exported: Any, model_file: Path) -> None:
    facts = {entry.key: entry.value for entry in onnx.load(model_file).metadata_props}
    about = json.loads(facts[KEY])
    assert about == json.loads(json.dumps(exported.description))
    assert about["family"]["class_path"] == "trm.data.Sudoku"
    assert about["family"]["init_args"]["root"] is None
    assert about["write"] == "?.1234"
    assert about["name"] == "random.ckpt"
    assert "licence" not in facts  # of a model that is not ours
    assert not local_names(exported.content)


@pytest.mark.parametrize("name", names())
def test_every_model_of_the_zoo_can_be_described(name: str) -> None:
    from trm.checkpoints.files import read_checkpoint

    module, data = load_checkpoint(name)
    about = json.loads(json.dumps(describe(read_checkpoint(name), module, data, name)))
    views = data.views(len(about["views"]["cells"]))
    assert about["views"] == {"cells": views.cells.tolist(), "tokens": views.tokens.tolist()}
    family = name.partition("-")[0]
    assert (about["rules"] is None) == (family == "arc")
    assert len(about["views"]["cells"]) == {"arc": 1, "maze": 8, "sudoku": 16}[family]


def test_an_export_that_loses_puzzles_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module, data = load_checkpoint("sudoku-4x4")
    samples = Sudoku(size=4, test_size=20, train_size=20, val_size=0, clues=(8, 8)).eval_samples("test", 0, 10)
    answered = compare_answers(module, data, lambda samples: samples.labels, samples)
    assert answered.torch == answered.file == 10

    def wrong(samples: Samples) -> Any:
        return samples.inputs

    with pytest.raises(InputError, match="torch solves 10 of 10 puzzles, of which the export does not solve 10"):
        compare_answers(module, data, wrong, samples)


def test_what_cannot_be_exported_is_refused_and_nothing_written(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there").write_text("precious")
    Path("old").mkdir()
    Path("old/README.md").write_text("precious")
    model = str(checkpoint)
    for arguments, message in (
        (["--format=onnx"], "there is nothing to write: pass -o FILE, or --format onnx with --kit FOLDER"),
        (["--format=trm", "--output=a", "--dtype=int8"], "dtype is int8, but is accepted only with --format onnx"),
        (["--format=pt2", "--output=a", "--whole"], "whole is true, but is accepted only with --format onnx"),
        (["--format=pt2", "--kit=a"], "kit is a, but is accepted only with --format onnx"),
        (["--format=onnx", "--whole", "--kit=a"], "the runner of a kit needs the step model; pass one"),
        (["--format=onnx", "--output=there"], "there exists already; --force overwrites it"),
        (["--format=onnx", "--kit=old"], "old/README.md exists already; --force overwrites it"),
        (["--format=onnx", "--kit=there/kit", "--force"], "cannot write there/kit/model.onnx: "),
        (["--format=pt2", "--output=there/model.pt2"], "cannot write there/model.pt2: "),
    ):
        assert message in refused(capsys, ["export", model, *arguments])
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    message = "--format onnx needs the package onnxscript: pip install 'trm[export]'"
    assert message in refused(capsys, ["export", model, "--format=onnx", "--output=a"])


def test_lightnings_own_exports_name_the_command() -> None:
    module, _ = load_checkpoint("sudoku-4x4")
    for export, format in ((module.to_onnx, "onnx"), (module.to_torchscript, "pt2"), (module.to_tensorrt, "pt2")):
        with pytest.raises(InputError, match=f"trm export CHECKPOINT --format {format} -o FILE"):
            export("model.file")


def test_puzzles_that_cannot_be_read_are_replaced_by_random_ones() -> None:
    from trm.export.parity import PUZZLES, sample_puzzles

    data: PuzzleData = Sudoku(size=4, source="/no/such/folder")
    samples, what = sample_puzzles(data)
    assert samples.inputs.shape == (PUZZLES, 16)
    assert what.startswith(f"{PUZZLES} random questions, since ")
