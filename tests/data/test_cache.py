"""Downloads and generated puzzles lie in the user's cache folder, or where the user says."""

from pathlib import Path

import platformdirs
import pytest

from trm.data import Maze, PuzzleData, Sudoku
from trm.data.cache import cache_folder

FAMILIES = [Sudoku, Maze]


def test_the_default_is_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRM_CACHE")
    assert cache_folder() == Path(platformdirs.user_cache_dir("trm", appauthor=False))
    monkeypatch.setenv("TRM_CACHE", "")  # as good as not set
    assert cache_folder() == Path(platformdirs.user_cache_dir("trm", appauthor=False))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_environment_names_another_and_the_argument_wins(
    family: type[PuzzleData], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRM_CACHE", str(tmp_path / "shared"))
    assert family().root == tmp_path / "shared"
    assert family(root=str(tmp_path / "own")).root == tmp_path / "own"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert family(root="~/boards").root == tmp_path / "boards"


def test_generated_puzzles_leave_the_working_directory_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TRM_CACHE", str(tmp_path / "cache"))
    data = Sudoku(4, train_size=3, val_size=0, test_size=1, clues=(8, 8))
    assert len(data.samples("train").inputs) == 3
    assert not list(Path.cwd().iterdir())
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".npz"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_stores_no_folder_of_this_machine(family: type[PuzzleData]) -> None:
    assert family().family["init_args"]["root"] is None
