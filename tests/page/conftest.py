"""Small random models as pages, and a browser that opens them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from browsing import Site, chromium
from tasks import random_tasks, write_tasks

from trm.data import ARC, Maze, PuzzleData, Sudoku
from trm.data.atomic import atomic_folder
from trm.errors import InputError
from trm.export.description import describe
from trm.export.graph import add_metadata, to_onnx
from trm.export.model import Exported
from trm.export.step import export_step
from trm.inference import think
from trm.inference.choice import InferenceChoice
from trm.module import TRMModule
from trm.page.content import content
from trm.page.runtime import runtime_files
from trm.page.write import page_files, single_page
from trm.training import checkpoint_keys as keys

SMALL = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "multiple_of": 8, "cycles": 2, "latent_steps": 1}


def page_of(
    data: PuzzleData,
    runtime: dict[str, bytes],
    folder: Path,
    choice: InferenceChoice | None = None,
    **network: Any,
) -> Site:
    """Write the page of a random model, which halts at different steps, with a choice of ``trm tune``."""
    torch.manual_seed(0)
    sizes = {**SMALL, "supervision_steps": 5, "puzzle_tokens": 0, **network}
    module = TRMModule(data.vocab_size, data.seq_len, data.num_puzzles, **sizes).eval()
    torch.nn.init.normal_(module.core.halting_head.weight, std=0.8)
    if module.core.puzzle_embedding is not None:
        module.core.puzzle_embedding.weights.normal_()
    halt_at_different_steps(module, data)
    module.inference_choice = choice
    saved = {keys.STATE: module.state_dict(), keys.HYPER_PARAMETERS: dict(module.hparams)}
    description = {**describe(saved, module, data, "<b>"), "dtype": "float32"}
    step = to_onnx(export_step(module.core, data.seq_len), "float32")
    add_metadata(step, description, {})
    exported = Exported(step.SerializeToString(), description, [])
    shown, vectors = content(exported, module, data)
    parts = (shown, exported.content, vectors, runtime)
    atomic_folder(folder / "site", page_files(*parts))
    (folder / "page.html").write_text(single_page(*parts), encoding="utf-8")
    return Site(module, data, folder / "site", folder / "page.html")


@torch.no_grad()
def halt_at_different_steps(module: TRMModule, data: PuzzleData) -> None:
    """Let half of the puzzles of the test split halt after two steps."""
    samples = data.eval_samples("test", 0, 20)
    inputs, ids = torch.from_numpy(samples.inputs).int(), torch.from_numpy(samples.puzzle_ids)
    bias = module.core.halting_head.bias
    assert bias is not None
    bias[0] -= think(module.core, inputs, ids, 2).halt.median()


@pytest.fixture(scope="session")
def runtime() -> dict[str, bytes]:
    try:
        return runtime_files()
    except InputError as error:
        if "cannot fetch" in str(error):
            pytest.skip(str(error))
        raise


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def sudoku(runtime: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Site:
    data = Sudoku(size=4, train_size=20, val_size=0, test_size=40, clues=(8, 8), workers=0)
    return page_of(data, runtime, tmp_path_factory.mktemp("sudoku"), network="symmetric", num_symbols=4)


@pytest.fixture(params=["stable", "head"])
def tuned(request: Any, runtime: dict[str, bytes], tmp_path: Path) -> Site:
    """A page of a model for which ``trm tune`` chose a rule, and two views."""
    data = Sudoku(size=4, train_size=20, val_size=0, test_size=40, clues=(8, 8), workers=0)
    return page_of(data, runtime, tmp_path, InferenceChoice(request.param, 0.02, 2, 0.01, 0.009, 0.95, 0, 400, 3.5))


@pytest.fixture(scope="session")
def maze(runtime: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Site:
    data = Maze(5, train_size=20, val_size=0, test_size=20, min_moves=4, workers=0)
    return page_of(data, runtime, tmp_path_factory.mktemp("maze"))


@pytest.fixture(scope="session")
def arc(runtime: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("arc")
    source = str(write_tasks(random_tasks(), folder / "tasks"))
    data = ARC(subsets=("training", "evaluation"), source=source, augmentations=5, side=6, val_size=1, workers=0)
    return page_of(data, runtime, folder, puzzle_tokens=1)
