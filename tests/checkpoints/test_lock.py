"""Two runs in one folder refuse each other; what a dead run has left behind locks nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from paths import REPO
from ranks import Guess, small_module
from training import quiet_trainer

from trm.callbacks.checkpoints import Checkpoints
from trm.checkpoints.lock import NAME, FolderLock
from trm.errors import InputError

HOLD = """
import sys
from pathlib import Path
from trm.checkpoints.lock import FolderLock
FolderLock().acquire(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def held(folder: Path) -> "subprocess.Popen[str]":
    """Return a process that has locked a folder and waits."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


def test_a_folder_in_use_is_refused_until_its_process_is_dead(tmp_path: Path) -> None:
    process = held(tmp_path)
    trainer = quiet_trainer(
        max_steps=3, val_check_interval=1, enable_checkpointing=True, callbacks=[Checkpoints(str(tmp_path))]
    )
    with pytest.raises(InputError, match=rf"{tmp_path} is in use by process {process.pid} on .+: wait"):
        trainer.fit(small_module(), Guess(size=10, slots=4))
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (tmp_path / NAME).exists()  # left behind, but no lock
    trainer.fit(small_module(), Guess(size=10, slots=4))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.ckpt", "last.ckpt"]


def test_nothing_is_left_behind_by_a_lock_alone(tmp_path: Path) -> None:
    lock = FolderLock()
    lock.acquire(tmp_path / "new" / "folder")
    lock.release()
    lock.release()
    assert not list(tmp_path.iterdir())


def test_a_file_system_without_locks_is_used_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("trm.data.lock.fcntl.lockf", fails)
    lock = FolderLock()
    lock.acquire(tmp_path)
    lock.release()
