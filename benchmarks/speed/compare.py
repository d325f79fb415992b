"""Time the training step of another commit and of this checkout in turn: ``python benchmarks/speed/compare.py COMMIT``.

Both run in processes of their own, on the same network, weights and puzzles, so that a busy machine slows both.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

REPO = Path(__file__).parents[2]
WARM_UP = 2  # steps


def main() -> None:
    """Print the median of the ratios of neighbouring steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit", help="the one to compare with")
    parser.add_argument("--hidden-size", type=int, default=128)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--mixer", choices=("mlp", "attention"), default="mlp")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args)
        return
    with tempfile.TemporaryDirectory() as folder:
        git = ["git", "-C", str(REPO), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", folder, args.commit], check=True)
        try:
            other, this = (start(root) for root in (folder, REPO))
            seconds = [(step(other), step(this)) for _ in range(WARM_UP + args.steps)][WARM_UP:]
        finally:
            subprocess.run([*git, "remove", "--force", folder], check=True)
    before, after = (median(times) for times in zip(*seconds, strict=True))
    ratio = median(after / before for before, after in seconds)
    print(f"{args.commit}: {before:.4f} s per step, now {after:.4f} s; median of the ratios {ratio:.3f}")


def start(root: str | Path) -> subprocess.Popen[str]:
    """Start a process that takes a step of the code under ``root`` whenever it is asked."""
    command = [sys.executable, __file__, *sys.argv[1:], "--serve"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def step(process: subprocess.Popen[str]) -> float:
    """Ask for a step and return its seconds."""
    assert process.stdin and process.stdout
    print(file=process.stdin, flush=True)
    return float(process.stdout.readline())


def serve(args: argparse.Namespace) -> None:
    """Take a supervision step for each line of the standard input, and print its seconds."""
    import torch

    from trm.nn import TRM, supervision_loss
    from trm.training.optim import AdamATan2

    torch.manual_seed(0)
    positions = "none" if args.mixer == "mlp" else "rotary"
    core = TRM(11, 81, 0, args.hidden_size, num_heads=4, multiple_of=8, mixer=args.mixer, positions=positions)
    if args.compile:
        core.compile()
    optimizer, state = AdamATan2(core.parameters()), core.start(args.slots)
    tokens = torch.randint(1, 11, (args.slots, 81))
    for _ in sys.stdin:
        since = time.perf_counter()
        output = core(state, tokens)
        supervision_loss(output.logits, output.halt, tokens).total().backward()
        optimizer.step()
        optimizer.zero_grad()
        print(time.perf_counter() - since, flush=True)


if __name__ == "__main__":
    main()
