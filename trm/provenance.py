"""Provenance of a measurement: the machine, the commit, and digests."""

import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch import Trainer
from torch import Tensor

import trm

PROJECT = Path(trm.__file__).parent.parent


def digest(parts: Iterable[Any]) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of arrays or tensors, shapes and types included."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(f"{part.dtype} {tuple(part.shape)}".encode())
        array = part.reshape(-1).view(torch.uint8).numpy() if isinstance(part, Tensor) else np.ascontiguousarray(part)
        sha.update(array.tobytes())
    return sha.hexdigest()[:16]


def without_paths(command: Sequence[str]) -> str:
    """Return a command for the shell, with FOLDER in place of the folders of absolute paths, which are local."""
    return shlex.join(re.sub(r"(^|=)/.*?(/[^/]*\.\w+)?$", r"\1FOLDER\2", argument) for argument in command)


def commit(project: Path) -> str:
    """Return the commit of a checkout, with "-dirty" if its package or configurations have changed; "" without git."""
    if not shutil.which("git") or not _git(project, "ls-files", "trm/__init__.py"):
        return ""  # installed, perhaps into an environment inside some other checkout
    changed = _git(project, "status", "--porcelain", "--", "trm", "configs")
    return _git(project, "rev-parse", "--short=12", "HEAD") + ("-dirty" if changed else "")


def _git(project: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(project), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def machine(trainer: Trainer) -> dict[str, Any]:
    """Return what the measurements of a trainer depend on, see ``environment``."""
    return environment(trainer.strategy.root_device)


def environment(device: torch.device | None = None) -> dict[str, Any]:
    """Return what measurements on a device (by default the CPU) depend on: its name, cores, threads, versions, date."""
    return {
        "device": torch.cuda.get_device_name(device) if device and device.type == "cuda" else processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "date": time.strftime("%F"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "trm": trm.__version__,
    }


def processor() -> str:
    """Return the name of the CPU, on Linux from /proc/cpuinfo."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [line for line in cpuinfo.read_text().splitlines() if "model name" in line] if cpuinfo.exists() else []
    return names[0].partition(": ")[2] if names else platform.processor() or platform.machine()
