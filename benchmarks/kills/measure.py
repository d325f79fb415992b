"""Kill a training run again and again, at random moments, and see that nothing is lost: ``make kills``.

A real ``trm fit`` that writes a checkpoint every few steps is killed with SIGKILL after a random delay and started
again by the same command. After every kill the last checkpoint must be readable and never older than the one before.
At last the run is left alone, and its weights, average, optimizer, slots and schedule must equal those of a run that
was never killed, bit for bit.
"""

import json
import os
import platform
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

sys.path.append(str(Path(__file__).parent.parent / "tests" / "helpers"))

from training import STATE, assert_same

from trm.checkpoints.files import read_checkpoint
from trm.cli.main import main as trm

KILLS, MAX_STEPS, LONGEST = 60, 20000, 5.0  # kills; steps of the run; most seconds from a start to a kill
RESULT = Path(__file__).with_suffix(".json")
CONFIG = Path(__file__).parent.parent / "configs" / "quickstart.yaml"
ARGUMENTS = [
    f"--config={CONFIG}",
    f"--trainer.max_steps={MAX_STEPS}",
    "--trainer.val_check_interval=100",
    "--trainer.limit_val_batches=2",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--data.train_size=500",
    "--data.val_size=64",
    "--data.slots=8",
    "--data.steps_per_batch=4",
    "--trainer.callbacks.every_n_train_steps=4",
    "--model.cycles=1",
    "--model.latent_steps=1",
]


def start(folder: Path) -> int:
    """Start ``trm fit`` in a process of its own, which has everything imported already, and return its number."""
    if child := os.fork():
        return child
    os.chdir(folder)
    with Path("log.txt").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        os._exit(trm(["fit", *ARGUMENTS]))


def kill_again_and_again(folder: Path, moments: random.Random) -> dict[str, int]:
    """Kill the run at random moments, check what is left each time, and let it finish."""
    last = folder / "runs/quickstart/checkpoints/last.ckpt"
    seen = {"kills": 0, "before a new checkpoint": 0, "while writing a checkpoint": 0}
    step = 0
    while seen["kills"] < KILLS:
        child = start(folder)
        time.sleep(moments.uniform(0, LONGEST))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            raise SystemExit(f"the run ended by itself after {seen['kills']} kills, see {folder / 'log.txt'}")
        seen["kills"] += 1
        seen["while writing a checkpoint"] += any(last.parent.glob("*.part"))
        now = read_checkpoint(last)["global_step"] if last.exists() else 0
        if now < step:
            raise SystemExit(f"the checkpoint went back from step {step} to {now}")
        seen["before a new checkpoint"] += now == step
        step = now
        print(seen, "at step", step, flush=True)
    _, status = os.waitpid(start(folder), 0)
    if status:
        raise SystemExit(f"the run cannot be finished, see {folder / 'log.txt'}")
    return seen


def same(one: Any, other: Any) -> bool:
    """Compare two trees of values, bit for bit."""
    try:
        assert_same(one, other)
    except AssertionError:
        return False
    return True


def main() -> None:
    """Run the study and write ``kills.json``."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        killed, whole = Path(folder, "killed"), Path(folder, "whole")
        killed.mkdir()
        whole.mkdir()
        seen = kill_again_and_again(killed, random.Random(0))
        if os.waitpid(start(whole), 0)[1]:
            raise SystemExit("the run without kills failed")
        ends = [read_checkpoint(run / "runs/quickstart/checkpoints/last.ckpt") for run in (killed, whole)]
        equal = {key: same(ends[0][key], ends[1][key]) for key in STATE}
    result = {**seen, "steps": MAX_STEPS, "equal to a run without kills": equal, "date": time.strftime("%F")}
    RESULT.write_text(
        json.dumps({**result, "python": platform.python_version(), "torch": torch.__version__}, indent=1) + "\n"
    )
    print(json.dumps(result, indent=1))
    sys.exit(0 if all(equal.values()) else 1)


if __name__ == "__main__":
    main()
