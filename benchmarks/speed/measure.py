r"""Run ``trm bench`` on the shipped configurations: ``make bench-speed``, 4 minutes on 2 cores.

With ``ARGS=--gpu`` it measures those of the paper on a GPU, in about 10 minutes. Options after ``--`` go to every
``trm bench``, so that the cases for a GPU can be tried without one:

    python benchmarks/speed/measure.py --gpu --into /tmp -- --trainer.accelerator=cpu --trainer.precision=32-true \
        --data.slots=2 --data.steps_per_batch=1 --model.hidden_size=16 --model.num_heads=2 --repeats=1
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from trm.analysis.report import table
from trm.provenance import PROJECT

HERE = Path(__file__).parent
CONFIGS = PROJECT / "configs"
CPU = ["--trainer.accelerator=cpu", "--trainer.precision=32-true"]
GENERATED = ["--data.source=generate", "--data.val_size=64", "--data.test_size=64"]  # the same shapes, no download
SUDOKU = [*GENERATED, "--data.train_size=1000"]
MAZE = [*GENERATED, "--data.train_size=64", "--data.val_size=16", "--data.test_size=16"]

TRAINING = (
    *("training", "slots", "precision", "steps/s", "puzzles/s", "tokens/s", "GFLOP per step", "GFLOP/s"),
    *("share of matrix-product peak", "GB"),
)
Case = tuple[str, tuple[str, ...], list[str]]
"""Title, names of configurations, options."""
HIDDEN_128 = [*SUDOKU, "--data.steps_per_batch=4"]
HIDDEN_512 = [*CPU, *SUDOKU, "--what=train", "--repeats=5", "--data.slots=8", "--data.steps_per_batch=2"]
COMPILED = ["--model.compile=true"]
CPU_CASES: list[Case] = [
    ("quickstart + plain: 4x4, hidden 64", ("quickstart", "plain"), ["--what=all"]),
    ("sudoku + cpu: 9x9, hidden 128", ("sudoku", "cpu"), [*HIDDEN_128, "--what=all"]),
    ("the same, compiled", ("sudoku", "cpu"), [*HIDDEN_128, *COMPILED, "--what=train"]),
    ("sudoku with 8 slots: 9x9, hidden 512", ("sudoku",), HIDDEN_512),
    ("the same with 8 slots, compiled", ("sudoku",), [*HIDDEN_512, *COMPILED]),
    ("data of sudoku", ("sudoku",), [*CPU, *SUDOKU, "--what=data"]),
    ("data of arc", ("arc",), [*CPU, "--what=data"]),
]
ONE_GPU = ["--trainer.devices=1", "--what=train", "--repeats=3", "--data.steps_per_batch=4"]
QUARTER = ["--data.slots=192"]  # as published, on four devices: 768 slots on one are estimated to need 160 GB
GPU_CASES: list[Case] = [
    (
        f"{name}, {how}",
        (name,),
        [*options, *ONE_GPU, f"--model.compile={how == 'compiled'}"],
    )
    for name, options in (
        ("sudoku", SUDOKU),
        ("sudoku-attention", SUDOKU),
        ("maze", [*MAZE, *QUARTER]),
        ("arc", QUARTER),
        ("sudoku-symmetric", SUDOKU),
    )
    for how in ("eager", "compiled")
]


def measure(case: Case, others: list[str]) -> dict[str, Any]:
    """Run ``trm bench`` in a process of its own, show its table, and return its results."""
    title, configs, options = case
    print(f"\n== {title}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result.json")
        files = [f"--config={CONFIGS / name}.yaml" for name in configs]
        command = [sys.executable, "-m", "trm", "bench", *files, *options, *others, "-o", str(result)]
        subprocess.run(command, check=True)
        return {"title": title, **json.loads(result.read_text())}


def tables(folder: Path = HERE) -> dict[str, str]:
    """Return the tables of the measured cases: those of the CPU, and of a GPU where they have been run."""
    files = {"cpu": folder / "cpu.json", "gpu": folder / "gpu.json"}
    found = {
        f"{name} {what}".removeprefix("cpu "): text
        for name, path in files.items()
        if path.exists()
        for what, text in report(json.loads(path.read_text())).items()
    }
    return {name.replace(" ", "-"): text for name, text in found.items()}


def report(results: list[dict[str, Any]]) -> dict[str, str]:
    """Lay results out as tables."""
    trained, solved, loaded = ([result for result in results if what in result] for what in ("train", "solve", "data"))
    found = {"training": table(TRAINING, map(_training, trained)), "parts": table(*_step(trained))}
    if solved:
        head = ["solving, random parameters", "puzzles/s", "ms for one alone"]
        found["solving"] = table(head, map(_solving, solved))
    if loaded:
        found["loading"] = table(["training samples per second", "no workers", "2 workers"], map(_loading, loaded))
    return found


def _training(result: dict[str, Any]) -> list[str]:
    train, config = result["train"], result["configuration"]
    rates = (train[name]["median"] for name in ("steps_per_second", "puzzles_per_second", "tokens_per_second"))
    return [
        result["title"],
        f"{config['slots']}",
        config["precision"],
        *(f"{rate:,.2f}" for rate in rates),
        f"{train['flops']['total'] / 1e9:,.1f}",
        f"{train['flops_per_second']['median'] / 1e9:,.0f}",
        f"{train['share_of_peak']['median']:.1%}",
        f"{train['peak_memory_bytes'] / 1e9:.2f}",
    ]


def _step(trained: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of where the time of a step goes."""
    rows = []
    for result in trained:
        train = result["train"]
        times = (1e3 * time["median"] for time in (train["seconds_per_step"], *train["parts"].values()))
        rows.append([result["title"], *(f"{ms:.2f}" for ms in times)])
    return ["milliseconds of a step", "all", *trained[0]["train"]["parts"]], rows


def _solving(result: dict[str, Any]) -> list[str]:
    rate, one = (result["solve"][name]["median"] for name in ("puzzles_per_second", "seconds_for_one"))
    return [result["title"], f"{rate:,.1f}", f"{1e3 * one:.1f}"]


def _loading(result: dict[str, Any]) -> list[str]:
    return [result["title"], *(f"{rate['median']:,.0f}" for rate in result["data"].values())]


def main(argv: list[str] | None = None) -> int:
    """Measure all cases and write ``cpu.json`` or ``gpu.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu", action="store_true", help="the configurations of the paper, eager and compiled")
    parser.add_argument("--cases", type=int, nargs="+", help="positions of the cases to measure (default: all)")
    parser.add_argument("--into", type=Path, default=HERE, help="folder of the results (default: this one)")
    parser.add_argument("others", nargs="*", help="options of trm bench, after --")
    given = parser.parse_args(argv)
    cases = GPU_CASES if given.gpu else CPU_CASES
    results: list[dict[str, Any]] = []
    for place in given.cases or range(len(cases)):
        results.append(measure(cases[place], given.others))
        (given.into / f"{'gpu' if given.gpu else 'cpu'}.json").write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
