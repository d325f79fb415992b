"""Measure the peak memory of one training step, with and without gradient checkpointing: ``make bench-memory``.

The network is that of configs/sudoku.yaml (MLP mixer, hidden size 512, T = 3) in float32; activations grow with the
slots. Every measurement is a process of its own. On a CPU it is the growth of resident memory from just before the step
to the peak, on a GPU the most that torch has allocated. Takes 10 minutes on 2 cores.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

from trm.analysis.report import table
from trm.nn import TRM, supervision_loss
from trm.provenance import environment

HERE = Path(__file__).parent
KINDS = ("without", "with")  # gradient checkpointing


def tables() -> dict[str, str]:
    """Return the table of the committed results."""
    facts = json.loads((HERE / "data.json").read_text())
    megabytes = {(row["n"], row["gradient_checkpointing"]): row["megabytes"] for row in facts["rows"]}
    rows = []
    for n in dict.fromkeys(n for n, _ in megabytes):
        without, checkpointed = (megabytes[n, how] for how in (False, True))
        rows.append([f"{n}", f"{without:,.0f} MB", f"{checkpointed:,.0f} MB", f"{checkpointed / without:.0%}"])
    return {"memory": table(["latent steps n", "without", "with gradient checkpointing", "share"], rows)}


def measure(latent_steps: int, gradient_checkpointing: bool, slots: int) -> dict[str, float]:
    """Take one forward and backward pass and return its peak memory in MB and its seconds."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    core = TRM(
        vocab_size=11,
        seq_len=81,
        num_puzzles=1,
        latent_steps=latent_steps,
        mixer="mlp",
        positions="none",
        gradient_checkpointing=gradient_checkpointing,
    ).to(device)
    assert core.puzzle_embedding is not None
    inputs = torch.randint(1, 11, (slots, 81), device=device)
    embeddings = core.puzzle_embedding(torch.zeros(slots, dtype=torch.long, device=device))
    before, start = _memory(device), time.perf_counter()
    output = core(core.start(slots), inputs, embeddings)
    supervision_loss(output.logits, output.halt, inputs).total().backward()
    return {"megabytes": (_memory(device) - before) / 1e6, "seconds": time.perf_counter() - start}


def _memory(device: str) -> float:
    """Return the most bytes held so far; memory before the step is what is held then, as nothing was freed yet."""
    if device == "cuda":
        return float(torch.cuda.max_memory_allocated())
    if (status := Path("/proc/self/status")).exists():  # ru_maxrss begins with that of the parent process on Linux
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return int(lines["VmHWM"].split()[0]) * 1024.0
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # bytes on macOS


def main(argv: list[str] | None = None) -> int:
    """Measure all cases and write ``data.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latent-steps", type=int, nargs="+", default=[6, 12, 24], help="values of n")
    parser.add_argument("--slots", type=int, default=16, help="puzzles in a step")
    parser.add_argument("--into", type=Path, default=HERE, help="folder of the results (default: this one)")
    parser.add_argument("--case", choices=KINDS, help=argparse.SUPPRESS)  # one measurement, in this process
    given = parser.parse_args(argv)
    if given.case:
        print(json.dumps(measure(given.latent_steps[0], given.case == "with", given.slots)))
        return 0
    rows = []
    for latent_steps in given.latent_steps:
        for case in KINDS:
            options = [f"--latent-steps={latent_steps}", f"--slots={given.slots}", f"--case={case}"]
            done = subprocess.run([sys.executable, __file__, *options], stdout=subprocess.PIPE, text=True, check=True)
            rows.append({"n": latent_steps, "gradient_checkpointing": case == "with", **json.loads(done.stdout)})
            print(rows[-1], flush=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    facts = {"slots": given.slots, "machine": environment(device), "rows": rows}
    (given.into / "data.json").write_text(json.dumps(facts, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
