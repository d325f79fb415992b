"""Measure how much slower training gets when another process uses one core: ``make bench-busy-machine``.

A process for each network and setting of the threads stands ready. They take turns of two seconds, first on the machine
as it is, then beside a busy loop, so that whatever else the machine does meets all of them alike. Takes 4 minutes on 2
cores.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import torch
import yaml
from lightning.pytorch import Trainer

from trm.analysis.report import table
from trm.bench.loop import BareLoop
from trm.callbacks.threads import threads_for
from trm.data import Sudoku
from trm.module import TRMModule
from trm.provenance import environment

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]

NETWORKS: dict[str, tuple[tuple[str, ...], dict[str, Any], dict[str, Any]]] = {
    "4x4 (64 channels, 64 slots)": (("quickstart", "plain"), {}, {}),
    "4x4, 128 channels": (("quickstart", "plain"), {"hidden_size": 128}, {}),
    "sudoku (512 channels), 8 slots, T = 1, n = 2": (("sudoku",), {"cycles": 1, "latent_steps": 2}, {"slots": 8}),
}
"""Configurations, and what of their network and data is replaced so that a step takes about a second at most."""

SETTINGS: dict[str, dict[str, str]] = {
    "one thread": {"OMP_NUM_THREADS": "1"},
    "a thread per core, spinning": {},
    "a thread per core, passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "a thread per core, 10,000 spins": {"GOMP_SPINCOUNT": "10000"},
}
"""Variables of the environment, which OpenMP reads when torch is loaded; the second is OpenMP's default."""
VARIABLES = {"OMP_NUM_THREADS", *(name for setting in SETTINGS.values() for name in setting)}


def tables() -> dict[str, str]:
    """Return the table of the committed results: medians, with the range of the turns."""
    facts = json.loads((HERE / "data.json").read_text())
    lines = []
    for network, settings in facts["steps_per_second"].items():
        for setting, rates in settings.items():
            quiet, busy = median(rates["quiet"]), median(rates["busy"])
            cells = (f"{median(each):.3g} ({min(each):.2g} to {max(each):.2g})" for each in rates.values())
            lines.append([network, setting, *cells, f"{quiet / busy:.1f} times"])
    return {"speed": table(["network", "threads", "steps/s, quiet", "steps/s, one core busy", "slower"], lines)}


def serve(network: str) -> None:
    """Train a network for as many seconds as each line of the standard input says; print steps per second."""
    files, model, data = NETWORKS[network]
    configs = [yaml.safe_load((PROJECT / "configs" / f"{file}.yaml").read_text()) for file in files]
    settings = {name: value for config in configs for name, value in config["model"].items()}
    boards: dict[str, Any] = {"source": "generate", "train_size": 500, "val_size": 0, "test_size": 0}
    boards |= {"clues": (4, 8) if "quickstart" in files else (60, 60), "steps_per_batch": 1, "workers": 0, "corrupt": 0}
    puzzles = Sudoku(**{**configs[0]["data"]["init_args"], **data, **boards})
    module = TRMModule(puzzles.vocab_size, puzzles.seq_len, 1, **{**settings, **model})
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    loop = BareLoop(trainer, module, puzzles)
    loop.batch()
    print(torch.get_num_threads(), threads_for(module.core, puzzles.slots), flush=True)
    for line in sys.stdin:
        start, steps = time.perf_counter(), 0
        while time.perf_counter() - start < float(line):
            steps += loop.batch()
        print(steps / (time.perf_counter() - start), flush=True)


@contextmanager
def busy_loop() -> Iterator[None]:
    """Use one core."""
    loop = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        loop.kill()
        loop.wait()


def measure(networks: Sequence[str], seconds: float, repeats: int) -> dict[str, Any]:
    """Let all processes take turns; return steps per second of each, quiet and busy, and the threads of each."""
    clean = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    command = [sys.executable, "-W", "ignore", __file__, "--serve"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    servers = {
        (network, setting): subprocess.Popen([*command, network], text=True, env={**clean, **variables}, **pipes)
        for network, (setting, variables) in product(networks, SETTINGS.items())
    }
    threads = {key: _line(server).split() for key, server in servers.items()}
    found: dict[str, Any] = defaultdict(lambda: defaultdict(lambda: {"quiet": [], "busy": []}))
    try:
        for _, load in product(range(repeats), ("quiet", "busy")):
            with busy_loop() if load == "busy" else nullcontext():
                for (network, setting), server in servers.items():
                    server.stdin.write(f"{seconds}\n")  # type: ignore[union-attr]
                    server.stdin.flush()  # type: ignore[union-attr]
                    found[network][setting][load].append(float(_line(server)))
    finally:
        for server in servers.values():
            server.kill()
            server.communicate()  # closes its pipes
    chosen = {network: int(threads[network, setting][1]) for network, setting in servers}
    facts = environment(torch.device("cpu"))
    del facts["threads"]  # each process has its own
    return {"machine": facts, "threads_chosen": chosen, "steps_per_second": found}


def main(argv: list[str] | None = None) -> int:
    """Measure, and write ``data.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a turn")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each process, quiet and busy")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="what to train")
    parser.add_argument("--into", type=Path, default=HERE, help="folder of the results (default: this one)")
    parser.add_argument("--serve", choices=NETWORKS, help=argparse.SUPPRESS)  # one of the processes
    given = parser.parse_args(argv)
    if given.serve:
        serve(given.serve)
        return 0
    facts = measure(given.networks, given.seconds, given.repeats)
    (given.into / "data.json").write_text(json.dumps(facts, indent=1) + "\n")
    return 0


def _line(server: "subprocess.Popen[str]") -> str:
    assert server.stdout is not None
    line = server.stdout.readline()
    if not line:
        raise SystemExit(f"{' '.join(map(str, server.args))} ended early; run it by itself to see why")  # type: ignore[union-attr]
    return line


if __name__ == "__main__":
    sys.exit(main())
