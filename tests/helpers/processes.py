"""Runs commands for the tests that need processes of their own."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from paths import REPO

TIMEOUT = 240  # seconds


def run(folder: Path, *commands: list[str]) -> list[tuple[int, str]]:
    """Run commands side by side and return the status of each and what it printed; none outlives the test."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPO)}  # the code that is tested
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    started = [
        subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **pipes) for command in commands
    ]
    deadline = time.monotonic() + TIMEOUT
    try:
        printed = [process.communicate(timeout=deadline - time.monotonic())[0] for process in started]
    finally:
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
    return [(process.returncode, text) for process, text in zip(started, printed, strict=True)]
