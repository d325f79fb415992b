"""The wheel: what is installed solves puzzles, in any folder, with the models it brings."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from paths import REPO

BOARD = ".3...2.1...4...."


def sent_to_docker() -> set[str]:
    """Return what of a clone the image is built from: ``.dockerignore`` excludes all but that."""
    lines = [line for line in (REPO / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert (lines[0], lines[-1]) == ("*", "**/__pycache__")
    return {line.removeprefix("!") for line in lines[1:-1]}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an installation of the wheel puts on the path of Python."""
    pytest.importorskip("setuptools", "77")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # building leaves files behind
    shutil.copytree(REPO / "trm", source / "trm", ignore=shutil.ignore_patterns("__pycache__"))
    for name in sent_to_docker() - {"trm"}:
        shutil.copy(REPO / name, source)
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-W", "ignore", "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def test_it_brings_every_file_of_the_package(installed: Path) -> None:
    there = {str(path.relative_to(installed)) for path in (installed / "trm").rglob("*.*")}
    tracked = {str(path.relative_to(REPO)) for path in (REPO / "trm").rglob("*.*") if "__pycache__" not in path.parts}
    assert there == tracked


@pytest.mark.slow
def test_it_solves_with_its_own_models(installed: Path, tmp_path: Path) -> None:
    command = "import sys, trm.zoo; from trm.cli.main import main; print(trm.zoo.FOLDER); sys.exit(main(sys.argv[1:]))"
    finished = subprocess.run(
        [sys.executable, "-c", command, "solve", "sudoku-4x4", BOARD],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    folder, *board = finished.stdout.splitlines()
    assert Path(folder) == installed / "trm" / "zoo"
    assert "obeys the rules" in board[-1]
