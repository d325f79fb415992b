"""Fixtures of the command line: a fresh folder, and one in which the quickstart was run."""

import shutil
from pathlib import Path

import pytest
from command import FOUR
from paths import REPO

from trm.cli.main import main


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder to run in."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(REPO / "configs", tmp_path / "configs")
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the quickstart was run, tiny."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        shutil.copytree(REPO / "configs", folder / "configs")
        assert main(["fit", "--config", "configs/quickstart.yaml", *FOUR]) == 0
    return folder
