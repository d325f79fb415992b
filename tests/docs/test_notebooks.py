"""The notebooks run from the first cell to the last, and are committed with what they printed and drew."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from paths import REPO as ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TINY: dict[str, dict[str, Any]] = {
    "01_train_a_tiny_trm": {"EPOCHS": 1, "BATCHES_PER_EPOCH": 1, "TRAIN_BOARDS": 40, "TEST_BOARDS": 8},
    "02_watch_it_think": {
        "EPOCHS": 1,
        "TRAIN_BOARDS": 40,
        "TEST_BOARDS": 20,
        "STEPS": 5,
    },
    "03_your_own_puzzle": {"EPOCHS": 1, "PUZZLES": 60, "COMMAND_STEPS": 2},
    "04_arc_from_task_to_submission": {
        "EPOCHS": 1,
        "STEPS_PER_BATCH": 2,
        "TASKS": ["25ff71a9"],
        "AUGMENTATIONS": 1,
    },
    "05_think_longer": {
        "EPOCHS": 1,
        "TRAIN_BOARDS": 40,
        "TEST_BOARDS": 8,
        "DEPTH": 16,
        "ROLLOUTS": 2,
        "NOISE": [0.5],
    },
    "06_your_own_network": {
        "EPOCHS": 1,
        "TRAIN_BOARDS": 40,
        "TEST_BOARDS": 8,
        "COMMAND_STEPS": 2,
    },
}
"""Parameters with which a notebook takes seconds."""


def read(name: str) -> Any:
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)  # type: ignore[no-untyped-call]


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def set_parameters(notebook: Any, values: dict[str, Any]) -> None:
    cell = code_cells(notebook)[0]
    assert cell.metadata.tags == ["parameters"]
    for name, value in values.items():
        cell.source, found = re.subn(rf"^{name} = .*$", f"{name} = {value!r}", cell.source, flags=re.MULTILINE)
        assert found == 1, f"{name} is no parameter"


def test_every_notebook_is_tested() -> None:
    assert [path.stem for path in NOTEBOOKS] == sorted(TINY)


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_a_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the kernel is a process of its own, in another folder
    notebook = read(name)
    set_parameters(notebook, TINY[name])
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    assert "Traceback" not in printed(notebook)  # of a command, whose failure is no error of the cell


@pytest.mark.parametrize("name", TINY)
def test_a_notebook_is_committed_as_it_ran(name: str) -> None:
    notebook = read(name)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2
    assert "Traceback" not in printed(notebook)
    assert str(ROOT) not in nbformat.writes(notebook)  # type: ignore[no-untyped-call]
    assert (ROOT / "notebooks" / f"{name}.ipynb").stat().st_size < 450_000


def printed(notebook: Any) -> str:
    return "".join(output.get("text", "") for cell in code_cells(notebook) for output in cell.outputs)
