"""A clone is often named trm as well: the folder that holds it must not hide the package."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from paths import REPO

LEFT_BEHIND = ("data", "runs", "runs/quickstart/checkpoints", ".venv", "build")
IMPORTS = "import trm; from trm.data import Sudoku; from trm.module import TRMModule; trm.__version__"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder named trm that holds the project, and what runs of any version leave behind."""
    clone = tmp_path / "trm"
    shutil.copytree(REPO / "trm", clone / "trm", ignore=shutil.ignore_patterns("__pycache__", "*.ckpt"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPO / name, clone)
    for name in LEFT_BEHIND:
        (clone / name).mkdir(parents=True, exist_ok=True)
    return clone


@pytest.mark.slow
def test_an_editable_install_is_imported_from_the_parent_of_a_used_clone(clone: Path) -> None:
    pytest.importorskip("setuptools", "77")
    folder = clone.parent
    build = f"from setuptools import build_meta; build_meta.build_editable({str(folder)!r})"
    subprocess.run([sys.executable, "-W", "ignore", "-c", build], cwd=clone, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    command = f"import site; site.addsitedir({str(site)!r}); {IMPORTS}"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [path.suffix for path in site.glob("*trm*") if path.is_file()] == [".pth"]  # no import hook
