"""Estimate steps per second and hours of the paper's runs on 1 to 64 H100s: ``make bench-scaling-gpus``.

Nothing is timed. Operations, kernels and bytes of a step are counted on a CPU, in a minute; all else is assumed.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from torch.utils._python_dispatch import TorchDispatchMode

from trm.analysis.report import table
from trm.nn import TRM
from trm.nn.flops import count_flops
from trm.provenance import PROJECT, commit, environment

HERE = Path(__file__).parent
SIZES = {"Sudoku": (11, 81, 1), "Maze": (6, 900, 1), "ARC": (12, 900, 8)}
"""Tokens, cells and puzzle ids (as many as it takes) of a family."""
CONFIGS = ("sudoku", "sudoku-attention", "maze", "arc", "arc2")
DEVICES = (1, 8, 64)

PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12}  # dense bfloat16, published by NVIDIA
UTILISATION = (0.2, 0.4)
LAUNCH = 5e-6  # seconds per kernel that the host starts
PER_NODE = 8
BANDWIDTH = {
    "node": 450e9,
    "cluster": 50e9,
}  # bytes per second, each way and device: NVLink 4; InfiniBand NDR, 400 Gb/s
LATENCY = {"node": 30e-6, "cluster": 60e-6}  # seconds per collective
COLLECTIVES = 4  # two buckets of gradients, ids of the puzzle embedding and their gradients

ESTIMATES = (
    *("run", "TFLOP per step", "kernels per step", "H100s", "slots each", "compute ms", "launches ms"),
    *("communication MB", "ms", "steps/s", "hours"),
)
PUBLISHED = (  # who, configuration, device, how many, hours, whether they are a bound
    ("official README", "sudoku", "L40S", 1, 36, "less than"),
    ("CGAR's baseline", "sudoku", "A100", 1, 10.93, ""),
    ("gaoxin492, batch 4608", "sudoku", "H200", 8, 40 / 60, ""),
    ("official README", "maze", "L40S", 4, 24, "less than"),
    ("gaoxin492, batch 4608", "maze", "H200", 8, 2, ""),
    ("official README", "arc", "H100", 4, 72, "about"),
    ("gaoxin492, batch 4608", "arc", "H200", 8, 15.5, ""),
    ("official README", "arc2", "H100", 4, 72, "about"),
    ("gaoxin492, batch 4608", "arc2", "H200", 8, 23.5, ""),
)


class Workload(NamedTuple):
    """A run of the paper."""

    flops: float
    """Of a supervision step of one slot, forward and backward."""
    kernels: int
    """Operations that the host starts per step, not compiled."""
    parameters: int
    row: int
    """Bytes of a puzzle embedding and its id."""
    slots: int
    steps: int


class Estimate(NamedTuple):
    """A step on a number of devices, in seconds."""

    compute: float
    communication: float
    launches: float

    @property
    def step(self) -> float:
        """Communication is taken not to overlap with anything; the host runs ahead while a device computes."""
        return max(self.compute, self.launches) + self.communication


class _Kernels(TorchDispatchMode):
    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def workload(name: str) -> Workload:
    """Count the step of a configuration by taking one of a single slot on the CPU."""
    config = yaml.safe_load((PROJECT / "configs" / f"{name}.yaml").read_text())
    data, model = config["data"], config["model"]
    vocab, cells, puzzles = SIZES[data["class_path"]]
    names = ("hidden_size", "mixer", "positions", "cycles", "latent_steps", "puzzle_tokens")
    core = TRM(vocab, cells, puzzles, **{name: model[name] for name in names})
    with _Kernels() as kernels:
        output = core(core.start(1), torch.zeros(1, cells, dtype=torch.long), torch.zeros(1, model["hidden_size"]))
        output.logits.sum().backward()
    parameters = sum(parameter.numel() for parameter in core.parameters())
    row = 4 * model["hidden_size"] + 4
    flops = count_flops(core, 1).total
    return Workload(flops, kernels.count, parameters, row, data["init_args"]["slots"], config["trainer"]["max_steps"])


def estimate(work: Workload, devices: int, utilisation: float) -> Estimate:
    """Estimate a step whose slots are shared out to H100s: rings over the slowest link, after all else."""
    compute = work.flops * work.slots / devices / (PEAK["H100"] * utilisation)
    if devices == 1:
        return Estimate(compute, 0.0, LAUNCH * work.kernels)
    link = "node" if devices <= PER_NODE else "cluster"
    share = (devices - 1) / devices
    sent = share * (2 * 4 * work.parameters + work.slots * work.row)  # reduce and spread gradients; gather rows
    return Estimate(compute, sent / BANDWIDTH[link] + COLLECTIVES * LATENCY[link], LAUNCH * work.kernels)


def implied_utilisation(work: Workload, device: str, devices: int, hours: float) -> float:
    """Return the share of the peak that a run of all steps within so many hours would have needed."""
    return work.flops * work.slots * work.steps / (3600 * hours * devices * PEAK[device])


def tables() -> dict[str, str]:
    """Return the committed counts, the estimates that follow from them, and what others published."""
    works = {name: Workload(**counts) for name, counts in json.loads((HERE / "data.json").read_text())["runs"].items()}
    low, high = UTILISATION
    return {
        "estimates": table(
            ESTIMATES, [_estimated(work, name, devices) for name, work in works.items() for devices in DEVICES]
        ),
        "limits": table(
            ["run", f"devices at {high:.0%} of the peak", f"at {low:.0%}"],
            [_limits(work, name) for name, work in works.items()],
        ),
        "published": table(
            ["run", "who", "devices", "hours, published", "share of the peak"],
            [_implied(works, *run) for run in PUBLISHED],
        ),
    }


def _estimated(work: Workload, name: str, devices: int) -> list[str]:
    slow, fast = (estimate(work, devices, share) for share in UTILISATION)
    sent = 0.0 if devices == 1 else (4 * work.parameters + work.slots * work.row) / 1e6
    return [
        name,
        f"{work.flops * work.slots / 1e12:.1f}",
        f"{work.kernels:,}",
        f"{devices}",
        f"{work.slots // devices}",
        f"{1e3 * fast.compute:.1f} to {1e3 * slow.compute:.1f}",
        f"{1e3 * fast.launches:.1f}",
        f"{sent:.1f}",
        f"{1e3 * fast.communication:.2f}",
        f"{1 / slow.step:.1f} to {1 / fast.step:.1f}",
        f"{work.steps * fast.step / 3600:.2f} to {work.steps * slow.step / 3600:.2f}",
    ]


def _limits(work: Workload, name: str) -> list[str]:
    return [name, *(f"{stops_at(work, share):.0f}" for share in reversed(UTILISATION))]


def _implied(
    works: dict[str, Workload], who: str, run: str, device: str, devices: int, hours: float, bound: str
) -> list[str]:
    share = implied_utilisation(works[run], device, devices, hours)
    more = {"less than": "more than ", "about": "about ", "": ""}[bound]
    return [run, who, f"{devices} {device}", f"{bound} {hours:.3g}".strip(), f"{more}{share:.1%}"]


def stops_at(work: Workload, utilisation: float) -> float:
    """Return the number of devices at which computing takes as long as launches and communication do."""
    alone = estimate(work, 1, utilisation)
    floor = max(alone.launches, estimate(work, PER_NODE, utilisation).communication)
    return max(1.0, alone.compute / floor)


def main(argv: list[str] | None = None) -> int:
    """Count the runs of the paper and write ``data.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", choices=CONFIGS, default=CONFIGS, help="configurations to count")
    parser.add_argument("--into", type=Path, default=HERE, help="folder of the results (default: this one)")
    given = parser.parse_args(argv)
    runs = {name: workload(name)._asdict() for name in given.runs}
    facts = {"machine": environment(), "commit": commit(PROJECT), "runs": runs}
    (given.into / "data.json").write_text(json.dumps(facts, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
