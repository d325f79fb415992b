"""Peak memory of one training step against n, with and without gradient checkpointing: ``make memory``.

The network is that of configs/sudoku.yaml (MLP mixer, hidden size 512, T = 3) in float32 with 16 slots; activations
grow in proportion to the slots. Every measurement is a process of its own. On a CPU it is the growth of resident memory
from just before the step to the peak, on a GPU what torch has allocated at most.
"""

import json
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

from trm.nn import TRM, supervision_loss

SLOTS = 16
RESULT = Path(__file__).with_suffix(".json")


def measure(latent_steps: int, gradient_checkpointing: bool) -> dict[str, float]:
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
    inputs = torch.randint(1, 11, (SLOTS, 81), device=device)
    rows = core.puzzle_embedding(torch.zeros(SLOTS, dtype=torch.long, device=device))
    before, start = _memory(device), time.perf_counter()
    output = core(core.start(SLOTS), inputs, rows)
    supervision_loss(output.logits, output.halt, inputs).total().backward()
    return {"megabytes": (_memory(device) - before) / 1e6, "seconds": time.perf_counter() - start}


def _memory(device: str) -> float:
    """Return the most bytes held so far; memory before the step is what is held then, as nothing was freed yet."""
    if device == "cuda":
        return float(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def main() -> None:
    """Measure all cases and write ``memory.json``."""
    rows = []
    for latent_steps in (6, 12, 24):
        for gradient_checkpointing in (False, True):
            command = [sys.executable, __file__, str(latent_steps), str(int(gradient_checkpointing))]
            printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            rows.append({"n": latent_steps, "gradient_checkpointing": gradient_checkpointing, **json.loads(printed)})
            print(rows[-1], flush=True)
    machine = {"python": platform.python_version(), "torch": torch.__version__, "threads": torch.get_num_threads()}
    RESULT.write_text(
        json.dumps({"slots": SLOTS, "date": time.strftime("%F"), **machine, "rows": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(int(sys.argv[1]), sys.argv[2] == "1")))
    else:
        main()
