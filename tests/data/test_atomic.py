"""A file appears whole or not at all; what is no file is written to or refused, never replaced."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from command import refused
from paths import REPO

from trm.cli.main import main
from trm.data.atomic import atomic_folder, atomic_write, check_folder, check_writable, refuse_overwriting
from trm.errors import InputError

BOARD = ".3...2.1...4...."
KILLED = """
import os, signal, sys
from pathlib import Path
from trm.data.atomic import atomic_write
with atomic_write(Path(sys.argv[1]), "w") as file:
    file.write("half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def write(path: Path, text: str) -> None:
    with atomic_write(path, "w") as file:
        file.write(text)


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


def test_an_existing_file_keeps_its_mode_and_a_link_leads_to_the_new_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "file.txt", tmp_path / "link.txt"
    real.write_text("old")
    real.chmod(0o600)
    link.symlink_to(real)
    write(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o600
    assert list(real.parent.iterdir()) == [real]


def test_a_link_to_nothing_yet_leads_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "new" / "file.txt")
    write(tmp_path / "link", "new")
    assert (tmp_path / "new" / "file.txt").read_text() == "new"


def test_what_a_killed_writer_leaves_is_removed_by_the_next_one_in_the_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "one.txt")]
    killed = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(REPO)}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    (tmp_path / "download.part").write_text("of another program")
    with atomic_write(tmp_path / "two.txt", "w") as file:
        file.write("whole")
        write(tmp_path / "three.txt", "while the second is written")
    assert {path.name for path in tmp_path.iterdir()} == {"two.txt", "three.txt", "download.part"}


def test_a_name_as_long_as_file_systems_accept(tmp_path: Path) -> None:
    write(tmp_path / ("\u00fc" * 120), "text")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["text"]


def test_pipes_and_devices_are_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    refuse_overwriting(pipe, force=False)
    write(pipe, "text")
    assert os.read(reader, 100) == b"text"
    os.close(reader)
    assert pipe.is_fifo()
    refuse_overwriting("/dev/null", force=False)
    write(Path("/dev/null"), "text")
    assert Path("/dev/null").is_char_device()


def test_a_pipe_that_nobody_reads_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"cannot write .*pipe"):
        write(tmp_path / "pipe", "text")
    assert (tmp_path / "pipe").is_fifo()


def test_folders_and_sockets_are_refused_before_anything_is_computed(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for name, kind in (("socket", "socket"), (".", "folder")):
            for check in (check_writable, lambda path: refuse_overwriting(path, force=True)):
                with pytest.raises(InputError, match=f"it is a {kind}"):
                    check(tmp_path / name)
        assert (tmp_path / "socket").is_socket()


@pytest.mark.parametrize(
    "command",
    [
        ["trace", "sudoku-4x4", BOARD, "-o"],
        ["trace", "sudoku-4x4", BOARD, "--gif"],
        ["export", "sudoku-4x4", "--format=trm", "-o"],
        ["export", "arc-toy", "--format=official", "-o"],
    ],
)
def test_no_command_replaces_a_node_even_by_force(command: list[str], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert main([*command, str(tmp_path / "pipe"), "--force"]) == 2
    assert main([*command, str(tmp_path), "--force"]) == 2
    (tmp_path / "file").write_text("old")
    (tmp_path / "file").chmod(0o600)
    (tmp_path / "link").symlink_to("file")
    assert main([*command, str(tmp_path / "link")]) == 2
    assert main([*command, str(tmp_path / "link"), "--force"]) == 0
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "file").read_bytes() != b"old"
    assert len(list(tmp_path.iterdir())) == 3


# -- folders ----------------------------------------------------------------------------------------------------------

OLD, NEW = {"a": b"old", "b": b"old"}, {"a": b"new", "b": b"new"}
KILLED_AT = """
import importlib.util, os, signal, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("atomic", sys.argv[1])
atomic = importlib.util.module_from_spec(spec)
spec.loader.exec_module(atomic)
owner, name, left = (atomic if sys.argv[2] == "atomic" else getattr(atomic, sys.argv[2])), sys.argv[3], int(sys.argv[4])
real = getattr(owner, name)
def counted(*arguments, **options):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    return real(*arguments, **options)
setattr(owner, name, counted)
atomic.atomic_folder(Path(sys.argv[5]), {"a": b"new", "b": b"new"})
"""


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("call", "whole"),
    [
        (("os", "fsync", 0), OLD),
        (("os", "fsync", 1), OLD),
        (("shutil", "copymode", 2), OLD),
        (("shutil", "rmtree", 0), NEW),
    ],
    ids=["in the first file", "in the second file", "before the exchange", "after the exchange"],
)
def test_a_kill_leaves_the_old_folder_or_the_new_one(
    call: tuple[str, str, int], whole: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    atomic_folder(folder, OLD)
    arguments = [str(REPO / "trm/data/atomic.py"), call[0], call[1], str(call[2]), str(folder)]
    done = subprocess.run([sys.executable, "-c", KILLED_AT, *arguments], env={"PYTHONPATH": str(REPO)}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert content(folder) == whole
    assert len(list(tmp_path.iterdir())) == 2, "the kill left something"
    atomic_folder(folder, NEW)
    assert content(folder) == NEW
    assert list(tmp_path.iterdir()) == [folder], "and nothing of it stays"


def test_a_folder_is_replaced_whole_and_keeps_its_permissions_and_its_link(tmp_path: Path) -> None:
    folder, link = tmp_path / "deep" / "folder", tmp_path / "link"
    link.symlink_to(folder)
    atomic_folder(link, {**OLD, "c": b"old"})
    folder.chmod(0o700)
    (folder / "a").chmod(0o600)
    atomic_folder(link, NEW)
    assert link.is_symlink()
    assert content(folder) == NEW
    assert (folder.stat().st_mode & 0o777, (folder / "a").stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_system_that_cannot_exchange_folders_renames_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    folder = tmp_path / "folder"
    for files in (OLD, NEW):
        atomic_folder(folder, files)
        assert content(folder) == files
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_that_cannot_be_written_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    atomic_folder(folder, OLD)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match=r"cannot write .*folder: No space left on device"):
            atomic_folder(folder, NEW)
    assert content(folder) == OLD
    assert list(tmp_path.iterdir()) == [folder]


def test_only_an_earlier_folder_of_the_kind_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    check_folder(folder, ("a", "b"), False, "kit")
    atomic_folder(folder, OLD)
    check_folder(folder, ("a", "b"), True, "kit")
    with pytest.raises(InputError, match="folder/a exists already; --force overwrites it"):
        check_folder(folder, ("a", "b"), False, "kit")
    with pytest.raises(
        InputError, match="contains b, which is no file of a kit; accepted is a new or empty folder, or"
    ):
        check_folder(folder, ("a",), True, "kit")
    with pytest.raises(InputError, match="folder/a is the file that is read"):
        check_folder(folder, ("a", "b"), True, "kit", folder / "a")
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match="is the folder that the command runs in, which cannot be replaced"):
        check_folder(Path(), ("a", "b"), True, "kit")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            ["tune", "sudoku-4x4", "-o", "x.yaml"],
            "a checkpoint is written, not a configuration",
        ),
        (
            ["tune", "--config=configs/quickstart.yaml", "-o", "x.ckpt"],
            "must be a configuration to write",
        ),
        (["adapt", "x.ckpt", "task.json", "-o", "x.json"], "a checkpoint is written, not JSON"),
        (["import", "x.pt", "--family=sudoku", "-o", "x.csv"], "a checkpoint is written, not a table"),
        (["export", "sudoku-4x4", "--format=trm", "-o", "x.onnx"], "a checkpoint is written, not an ONNX model"),
        (["export", "sudoku-4x4", "--format=official", "-o", "x.yml"], "a checkpoint is written, not a configuration"),
        (["export", "sudoku-4x4", "--format=onnx", "-o", "x.CKPT"], "an ONNX model is written, not a checkpoint"),
        (["analyze", "halting", "sudoku-4x4", "-o", "x.csv"], "JSON is written, not a table"),
        (["trace", "sudoku-4x4", "test:0", "-o", "x.gif"], "a page is written, not a GIF"),
        (["trace", "sudoku-4x4", "test:0", "--gif", "x.png"], "'x.png', but a GIF is written, not a PNG"),
        (["page", "sudoku-4x4", "--single", "-o", "x.json"], "a page is written, not JSON"),
        (["bench", "--config=configs/quickstart.yaml", "-o", "x.yaml"], "JSON is written, not a configuration"),
    ],
)
def test_a_file_is_not_named_like_one_of_another_format(
    command: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(capsys, command)
