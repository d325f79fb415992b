"""A file appears whole or not at all."""

from pathlib import Path

import pytest

from trm.data.atomic import atomic_write
from trm.errors import InputError


def test_the_file_gets_its_name_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with atomic_write(path, "w") as file:
        file.write("first")
        assert not path.exists()
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


def test_two_writers_at_once_do_not_mix(tmp_path: Path) -> None:
    """As on two nodes, one of which generates what the other does."""
    path = tmp_path / "file.txt"
    with atomic_write(path, "w") as one, atomic_write(path, "w") as other:
        one.write("first")
        other.write("second")
    assert path.read_text() == "first"  # which ended last
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path, "w") as file:
        file.write("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"cannot write .*; choose another"),
        atomic_write(tmp_path / "file" / "x", "w", "choose another"),
    ):
        pass


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="it names no file"), atomic_write(Path(), "w"):
        pass
