"""What ``trm tune`` chose for a model comes with all that is exported of it, and is used unless told otherwise."""

import io
import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from exporting import save_random_model

from trm.arguments import EarlyExit
from trm.checkpoints.load import load_checkpoint
from trm.cli.main import main
from trm.data import Sudoku
from trm.edge import EdgeSolver
from trm.edge.command import main as kit_main
from trm.edge.model import KEY, open_session
from trm.edge.solver import SELECTIONS
from trm.export.description import describe
from trm.export.model import Exported, export_onnx
from trm.inference import think
from trm.inference.choice import InferenceChoice, exit_of
from trm.inference.halting import head
from trm.page.content import content
from trm.serve.onnx import onnx_backend
from trm.solver import Solver
from trm.training import checkpoint_keys as keys

STABLE = InferenceChoice("stable", 0.5, 2, 0.01, 0.009, 0.95, 0, 400, 3.5)
HEAD = STABLE._replace(halt="head", halt_threshold=0.02, views=1)


def tuned(path: Path, choice: InferenceChoice) -> Path:
    """Write a checkpoint in which a choice is stored."""
    model = torch.load(save_random_model(path), weights_only=True)
    torch.save({**model, keys.INFERENCE: dict(choice._asdict())}, path)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tuned(tmp_path_factory.mktemp("choice") / "stable.ckpt", STABLE)


@pytest.fixture(scope="module")
def exported(checkpoint: Path) -> Exported:
    return export_onnx(str(checkpoint))


@pytest.fixture(scope="module")
def boards() -> Any:
    data = Sudoku(size=4, train_size=20, val_size=0, test_size=40, clues=(8, 8), workers=0)
    return data.eval_samples("test", 0, 12).inputs


def test_a_file_solves_as_its_checkpoint_does(checkpoint: Path, exported: Exported, boards: Any) -> None:
    expected = Solver(checkpoint).solve(boards)
    found = EdgeSolver(exported.content).solve(boards)
    assert [solution.steps for solution in found] == [solution.steps for solution in expected]
    assert all((mine.answer == theirs.answer).all() for mine, theirs in zip(found, expected, strict=True))
    plain = Solver(checkpoint, views=1, halt="head").solve(boards)
    assert [solution.steps for solution in plain] != [solution.steps for solution in expected], "it makes a difference"
    assert exported.checks[-1] == f"by default {STABLE}"


@pytest.mark.parametrize("choice", [STABLE, HEAD, None], ids=["stable", "head", "none"])
def test_options_win_over_the_choice_as_in_the_solver(choice: InferenceChoice | None, exported: Exported) -> None:
    import onnx

    model = onnx.load_from_string(exported.content)
    (entry,) = (entry for entry in model.metadata_props if entry.key == KEY)
    entry.value = json.dumps({**json.loads(entry.value), "inference": choice and dict(choice._asdict())})
    file = model.SerializeToString()
    for halt in get_args(EarlyExit):
        for threshold in (None, 0.3):
            for select in SELECTIONS:
                solver = EdgeSolver(file, halt=halt, halt_threshold=threshold, select=select)
                rule, wanted = exit_of(halt, threshold, select, choice)
                assert (solver.halt, solver.logit) == (rule, pytest.approx(np.log(wanted / (1 - wanted))))
    assert EdgeSolver(file).views == (choice.views if choice else 1)
    assert EdgeSolver(file, views=3).views == 3


def test_a_kit_solves_with_the_choice_and_names_it(
    checkpoint: Path, exported: Exported, boards: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(checkpoint), "--format=onnx", f"--kit={tmp_path / 'kit'}"]) == 0
    assert f"Without options: {STABLE}." in " ".join((tmp_path / "kit/README.md").read_text().split())
    solver = EdgeSolver(exported.content)
    texts = [solver.write(board) for board in boards[:3]]
    capsys.readouterr()
    kit_main([*texts, f"--model={tmp_path / 'kit/model.onnx'}"])
    assert capsys.readouterr().out.splitlines() == [str(solver.solve(text)) for text in texts]


def test_the_service_solves_with_the_choice(checkpoint: Path, exported: Exported, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(exported.content)
    for file in (checkpoint, tmp_path / "model.onnx"):
        solver = onnx_backend("mine", file).solver
        assert (solver.halt, solver.views) == ("stable", 2)
        solver = onnx_backend("mine", file, views=1, halt="never").solver
        assert (solver.halt, solver.views) == ("never", 1)


def test_hub_folders_programs_and_pages_contain_the_choice(
    checkpoint: Path, exported: Exported, tmp_path: Path
) -> None:
    assert main(["export", str(checkpoint), "--format=hub", "-o", str(tmp_path / "hub")]) == 0
    assert load_checkpoint(tmp_path / "hub")[0].inference_choice == STABLE
    assert f"| inference | {STABLE} |" in (tmp_path / "hub/README.md").read_text()
    assert main(["export", str(checkpoint), "--format=pt2", "-o", str(tmp_path / "model.pt2")]) == 0
    extra = {KEY: ""}
    torch.export.load(io.BytesIO((tmp_path / "model.pt2").read_bytes()), extra_files=extra)
    assert json.loads(extra[KEY])["inference"] == STABLE._asdict()
    shown, _ = content(exported, *load_checkpoint(checkpoint))
    assert shown["about"]["inference"] == STABLE._asdict()


def test_a_whole_loop_exits_at_the_chosen_threshold(boards: Any, tmp_path: Path) -> None:
    chosen = tuned(tmp_path / "head.ckpt", HEAD)
    assert main(["export", str(chosen), "--format=onnx", "--whole", "-o", str(tmp_path / "whole.onnx")]) == 0
    module, data = load_checkpoint(chosen)
    inputs = torch.from_numpy(boards.astype(np.int32))
    ids = torch.full((len(inputs),), data.first_id)
    steps = [
        think(module.core, inputs, ids, 6, head(threshold)).steps.tolist() for threshold in (HEAD.halt_threshold, 0.5)
    ]
    assert steps[0] != steps[1], "it makes a difference"
    assert open_session(tmp_path / "whole.onnx").run(None, {"inputs": inputs.numpy()})[2].tolist() == steps[0]


def test_a_choice_that_the_file_cannot_make_is_left_out(checkpoint: Path) -> None:
    class Own(Sudoku):
        """A family whose rules are not in the file."""

    module, data = load_checkpoint(checkpoint)
    saved = torch.load(checkpoint, weights_only=True)
    own = Own(**data.init_args)
    assert describe(saved, module, own, "mine")["inference"] == STABLE._asdict()
    module.inference_choice = STABLE._replace(halt="rules")
    assert describe(saved, module, data, "mine")["inference"]["halt"] == "rules"
    assert describe(saved, module, own, "mine")["inference"] is None
    module.inference_choice = STABLE._replace(views=17)
    assert describe(saved, module, data, "mine")["inference"] is None
