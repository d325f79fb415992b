"""What a row of the ledger says of an evaluation: its results, and everything needed to get them again."""

import hashlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from torch import Tensor

import trm
from trm.bench.command import machine
from trm.checkpoint import read_checkpoint
from trm.data import PuzzleData
from trm.data.arc.votes import Votes
from trm.errors import InputError
from trm.experiments import published
from trm.ledger import Row, check_ledger, wilson, write
from trm.metrics import OVER_PUZZLES, OVER_ROWS
from trm.module import TRMModule

PROJECT = Path(trm.__file__).parent.parent
SHARES = ("solved", "valid")  # of puzzles that are independent of each other
COSTS = ("core_seconds", "device_seconds")  # of training, which the callback Speed counts


class LedgerTrainer(Trainer):
    """Lightning's trainer, whose ``test`` can write down what it measures."""

    command: Sequence[str] = ()
    """How the evaluation was asked for."""

    def test(self, *args: Any, ledger: str = "", claim: str = "", **kwargs: Any) -> Any:
        """Run one evaluation epoch over the test set.

        Args:
            *args: as Lightning's.
            ledger: CSV file to write the results to, with their intervals and where they come from.
            claim: name of the results in the ledger, whose earlier rows they replace; by default runs/ and the name of
                the run's folder.
            **kwargs: as Lightning's.

        Raises:
            InputError: if the ledger cannot be kept; nothing is evaluated then.
        """
        if claim and not ledger:
            raise InputError(f"--claim is {claim!r}, but without --ledger FILE nothing is written under that name")
        if ledger:
            check_ledger(Path(ledger))
        results = super().test(*args, **kwargs)
        if ledger and self.is_global_zero:
            write(Path(ledger), rows(self, claim or f"runs/{Path(self.log_dir or '').resolve().name}"))
        return results


def rows(trainer: LedgerTrainer, claim: str) -> list[Row]:
    """Return what the ledger says of the evaluation that a trainer has just done."""
    module, data = trainer.lightning_module, trainer.datamodule  # type: ignore[attr-defined]
    assert isinstance(module, TRMModule) and isinstance(data, PuzzleData) and trainer.ckpt_path
    checkpoint = read_checkpoint(trainer.ckpt_path)
    here = machine(trainer)
    parts = f"{trainer.world_size} devices" if trainer.strategy.root_device.type == "cuda" else f"{here['cores']} cores"
    facts = {
        "claim": claim,
        "training_puzzles": str(training_puzzles(checkpoint) or ""),
        "seed": str(checkpoint.get("seed", "")),
        "steps": str(checkpoint.get("global_step", "")),
        **{kind.replace("seconds", "hours"): _hours(cost(checkpoint, kind)) for kind in COSTS},
        "command": without_paths(trainer.command),
        "data": digest(data.published("test")),
        "weights": weights_digest(checkpoint),
        "commit": commit(PROJECT),
        "machine": f"{here['device']}, {parts}",
        "date": here["date"],
        "trm": trm.__version__,
    }
    found = []
    for metric, (value, count) in measured(trainer, module, data).items():
        low, high = map(_short, wilson(value, count)) if count else ("", "")
        results = {"value": _short(value), "low": low, "high": high, "puzzles": str(count or "")}
        found.append(Row(metric=metric, **results, **published(claim, metric), **facts))
    return found


def training_puzzles(checkpoint: dict[str, Any]) -> int | None:
    """Return how many puzzles a checkpoint has been trained on, by all runs that led to it; None where one is unknown.

    Those of a run are told apart, those of several runs are added up.
    """
    if "imported_from" in checkpoint:
        return None
    earlier: int | None = checkpoint.get("started_from", {"training_puzzles": 0})["training_puzzles"]
    own = checkpoint.get("training_puzzles") or checkpoint.get("family", {}).get("init_args", {}).get("train_size")
    return int(own) + earlier if own and earlier is not None else None


def cost(checkpoint: dict[str, Any], kind: str) -> float | None:
    """Return the seconds that all runs which led to a checkpoint have cost; None where one of them was not counted.

    Args:
        checkpoint: of a run that had the callback ``Speed``, which counts them; of an exported one what it last logged.
        kind: one of ``COSTS``.
    """
    logged = {name.removeprefix("cost/"): value for name, value in checkpoint.get("metrics", {}).items()}
    counted = next((state for state in checkpoint.get("callbacks", {}).values() if kind in state), logged)
    earlier = checkpoint.get("started_from", {kind: 0.0}).get(kind)
    if earlier is None or not any(name in counted for name in COSTS):
        return None
    return float(counted.get(kind, 0.0) + earlier)


def measured(trainer: Trainer, module: TRMModule, data: PuzzleData) -> dict[str, tuple[float, int]]:
    """Return the value of each metric and of how many independent puzzles it is a mean; 0 where it is none.

    ARC is judged by its votes: the rows of an evaluation are augmentations of a few tasks. The metrics of another
    family's own scorer are means of what only that family knows.
    """
    logged = {
        name.removeprefix("test/"): float(value)
        for name, value in trainer.callback_metrics.items()
        if name.startswith("test/")
    }
    own = {name for name in logged if name not in (*OVER_PUZZLES, *OVER_ROWS) and not name.startswith("halting_")}
    if isinstance(module.scorer, Votes):
        tasks = len(np.unique(module.scorer.tasks[module.scorer.counted]))
        return {name: (logged[name], tasks) for name in logged if name in own}
    batches = int(sum(trainer.num_test_batches)) * trainer.world_size
    puzzles = min(data.eval_size("test"), batches * data.eval_batch_size)
    return {name: (logged[name], puzzles if name in SHARES else 0) for name in logged if name in own.union(SHARES)}


def digest(parts: Iterable[Any]) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of arrays or tensors, shapes and types included."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(f"{part.dtype} {tuple(part.shape)}".encode())
        array = part.contiguous().view(torch.uint8).numpy() if isinstance(part, Tensor) else np.ascontiguousarray(part)
        sha.update(array.tobytes())
    return sha.hexdigest()[:16]


def weights_digest(checkpoint: dict[str, Any]) -> str:
    """Return the digest of the weights of a checkpoint that evaluation uses."""
    return digest(checkpoint["state_dict"][name] for name in sorted(checkpoint["state_dict"]))


def without_paths(command: Sequence[str]) -> str:
    """Return a command as one types it, with FOLDER for the folders of absolute paths, which only this machine has."""
    return shlex.join(re.sub(r"(^|=)/.*?(/[^/]*\.\w+)?$", r"\1FOLDER\2", argument) for argument in command)


def commit(project: Path) -> str:
    """Return the commit of a checkout, with "-dirty" if its package or configurations differ from it, or nothing."""
    if not shutil.which("git") or not _git(project, "ls-files", "trm/__init__.py"):
        return ""  # installed, perhaps into an environment inside some other checkout
    changed = _git(project, "status", "--porcelain", "--", "trm", "configs")
    return _git(project, "rev-parse", "--short=12", "HEAD") + ("-dirty" if changed else "")


def _git(project: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(project), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _hours(seconds: float | None) -> str:
    return _short(seconds / 3600) if seconds else ""


def _short(value: float) -> str:
    return f"{value:.6g}"
