"""How much slower training becomes when another process uses one core, by the number of threads and how they wait.

    make bench-busy-machine

A process for each network and setting stands ready. They take turns of two seconds, first on the machine as it is, then
beside a busy loop, so that whatever else the machine does meets all of them alike. Writes data.json and the table of
README.md.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
SECONDS, REPEATS = 2.0, 3

NETWORKS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "quickstart (64 channels, 64 slots)": ("quickstart.yaml", {}, {}),
    "quickstart, 128 channels": ("quickstart.yaml", {"hidden_size": 128}, {}),
    "sudoku (512 channels), 8 slots, T = 1, n = 2": ("sudoku.yaml", {"cycles": 1, "latent_steps": 2}, {"slots": 8}),
}
"""A configuration, and what of its network and data is replaced so that a step takes about a second at most."""

SETTINGS: dict[str, dict[str, str]] = {
    "one thread": {"OMP_NUM_THREADS": "1"},
    "a thread per core, spinning": {},
    "a thread per core, passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "a thread per core, 10,000 spins": {"GOMP_SPINCOUNT": "10000"},
}
"""Variables of the environment, which OpenMP reads when torch is loaded; the second is OpenMP's default."""
VARIABLES = {"OMP_NUM_THREADS", *(name for setting in SETTINGS.values() for name in setting)}


def serve(network: str) -> None:
    """Train a network for as many seconds as each line of the standard input says; print steps per second."""
    import torch
    import yaml
    from lightning.pytorch import Trainer

    from trm.bench.loop import BareLoop
    from trm.callbacks.threads import threads_for
    from trm.data import Sudoku
    from trm.module import TRMModule

    file, model, data = NETWORKS[network]
    config = yaml.safe_load((PROJECT / "configs" / file).read_text())
    boards: dict[str, Any] = {"source": "generate", "train_size": 500, "val_size": 0, "test_size": 0}
    boards |= {"clues": (4, 8) if "quickstart" in network else (60, 60), "steps_per_batch": 1, "workers": 0}
    puzzles = Sudoku(**{**config["data"]["init_args"], **data, **boards})
    module = TRMModule(puzzles.vocab_size, puzzles.seq_len, 1, **{**config["model"], **model})
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    loop = BareLoop(trainer, module, puzzles)
    loop.batch()
    print(torch.get_num_threads(), threads_for(module.core, puzzles.slots), flush=True)
    for line in sys.stdin:
        start, steps = time.perf_counter(), 0
        while time.perf_counter() - start < float(line):
            steps += loop.batch()
        print(steps / (time.perf_counter() - start), flush=True)


def measure() -> dict[str, Any]:
    """Let all processes take turns; return steps per second of each, quiet and busy, and the threads of each."""
    clean = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    command = [sys.executable, "-W", "ignore", __file__]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    servers = {
        (network, setting): subprocess.Popen([*command, network], text=True, env={**clean, **variables}, **pipes)
        for network, (setting, variables) in product(NETWORKS, SETTINGS.items())
    }
    threads = {key: _line(server).split() for key, server in servers.items()}
    found: dict[str, Any] = defaultdict(lambda: defaultdict(lambda: {"quiet": [], "busy": []}))
    try:
        for _, load in product(range(REPEATS), ("quiet", "busy")):
            beside = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if load == "busy" else None
            for (network, setting), server in servers.items():
                server.stdin.write(f"{SECONDS}\n")  # type: ignore[union-attr]
                server.stdin.flush()  # type: ignore[union-attr]
                found[network][setting][load].append(float(_line(server)))
            if beside:
                beside.kill()
                beside.wait()
    finally:
        for server in servers.values():
            server.kill()
    chosen = {network: int(threads[network, setting][1]) for network, setting in servers}
    return {"machine": _machine(), "threads_chosen": chosen, "steps_per_second": found}


def table(data: dict[str, Any]) -> str:
    """Return medians with their range, as a table in Markdown."""
    lines = ["| network | threads | quiet, steps/s | one core busy, steps/s | slower |", "|---|---|---|---|---|"]
    for network, settings in data["steps_per_second"].items():
        for setting, rates in settings.items():
            quiet, busy = median(rates["quiet"]), median(rates["busy"])
            cells = (f"{median(r):.3g} ({min(r):.2g} to {max(r):.2g})" for r in (rates["quiet"], rates["busy"]))
            lines.append(f"| {network} | {setting} | {' | '.join(cells)} | {quiet / busy:.2f} x |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and write what was found."""
    if len(sys.argv) > 1:
        serve(sys.argv[1])
        return
    data = measure()
    (HERE / "data.json").write_text(json.dumps(data, indent=1) + "\n")
    readme = HERE / "README.md"
    marked = re.compile("(<!-- table -->\n).*?(\n<!-- end -->)", re.DOTALL)
    readme.write_text(marked.sub(lambda found: f"{found[1]}{table(data)}{found[2]}", readme.read_text()))
    print(table(data))


def _line(server: "subprocess.Popen[str]") -> str:
    assert server.stdout is not None
    line = server.stdout.readline()
    if not line:
        raise SystemExit(f"{' '.join(map(str, server.args))} ended early; run it by itself to see why")  # type: ignore[union-attr]
    return line


def _machine() -> dict[str, Any]:
    import torch

    from trm.provenance import processor

    return {"cpu": processor(), "cores": os.cpu_count(), "torch": torch.__version__, "date": time.strftime("%F")}


if __name__ == "__main__":
    main()
