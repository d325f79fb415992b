"""Kill a training run again and again, at random moments, and check that nothing is lost: ``make bench-kills``.

A real ``trm fit`` that writes a checkpoint every few steps is killed with SIGKILL after a random delay and started
again by the same command. After every kill the last checkpoint must be readable and never older than the one before.
At last the run is left alone, and its parameters, average, optimizer, slots and schedule must equal those of a run that
was never killed, bit for bit. Takes 10 minutes on 2 cores.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

sys.path.append(str(Path(__file__).parents[2] / "tests" / "helpers"))

from training import STATE, assert_same

from trm.analysis.report import table
from trm.checkpoints.files import read_checkpoint
from trm.cli.main import main as trm
from trm.provenance import PROJECT, environment

HERE = Path(__file__).parent
LONGEST = 5.0  # most seconds from a start to a kill
LAST = "runs/quickstart/checkpoints/last.ckpt"
ARGUMENTS = [
    f"--config={PROJECT}/configs/quickstart.yaml",
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


def tables() -> dict[str, str]:
    """Return the table of the committed results."""
    facts = json.loads((HERE / "data.json").read_text())
    equal = facts["equal to a run without kills"]
    rows = [
        ["kills", f"{facts['kills']}"],
        ["of them before a new checkpoint was written", f"{facts['before a new checkpoint']}"],
        ["of them while a checkpoint was being written", f"{facts['while writing a checkpoint']}"],
        ["training steps", f"{facts['steps']:,}"],
        ["parts of the last checkpoint equal to a run without kills", f"{sum(equal.values())} of {len(equal)}"],
    ]
    return {"kills": table(["", ""], rows)}


def start(folder: Path, steps: int) -> int:
    """Start ``trm fit`` in a process of its own, which has everything imported already, and return its number."""
    if child := os.fork():
        return child
    os.chdir(folder)
    with Path("log.txt").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        os._exit(trm(["fit", *ARGUMENTS, f"--trainer.max_steps={steps}"]))


def kill_again_and_again(folder: Path, kills: int, steps: int, moments: random.Random) -> dict[str, int]:
    """Kill the run at random moments, check what is left each time, and let it finish."""
    last = folder / LAST
    seen = {"kills": 0, "before a new checkpoint": 0, "while writing a checkpoint": 0}
    step = 0
    while seen["kills"] < kills:
        child = start(folder, steps)
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
    finish(folder, steps)
    return seen


def finish(folder: Path, steps: int) -> None:
    """Leave the run alone until it ends."""
    if os.waitpid(start(folder, steps), 0)[1]:
        raise SystemExit(f"the run cannot be finished, see {folder / 'log.txt'}:\n{(folder / 'log.txt').read_text()}")


def same(one: Any, other: Any) -> bool:
    """Compare two trees of values, bit for bit."""
    try:
        assert_same(one, other)
    except AssertionError:
        return False
    return True


def main(argv: list[str] | None = None) -> int:
    """Run the study and write ``data.json``; return 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--steps", type=int, default=20000, help="of the run; it must outlast the kills")
    parser.add_argument("--into", type=Path, default=HERE, help="folder of the results (default: this one)")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        killed, whole = Path(folder, "killed"), Path(folder, "whole")
        killed.mkdir()
        whole.mkdir()
        seen = kill_again_and_again(killed, given.kills, given.steps, random.Random(0))
        finish(whole, given.steps)
        ends = [read_checkpoint(run / LAST) for run in (killed, whole)]
        equal = {key: same(ends[0][key], ends[1][key]) for key in STATE}
    result = {**seen, "steps": given.steps, "equal to a run without kills": equal, "machine": environment()}
    (given.into / "data.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    return 0 if all(equal.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
