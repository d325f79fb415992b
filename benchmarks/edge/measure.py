"""Measure exported models beside torch, one puzzle at a time on one thread: ``make bench-edge``.

For every model of the zoo: size of the file, milliseconds of a core per puzzle, memory of a process that solves, and
test puzzles solved, in torch and in onnxruntime with weights in each type. Processor time is counted, and the runtimes
take turns at every puzzle, so that another load on the machine meets all of them. Memory is that of a process of its
own, libraries included. Takes about 10 minutes, most of them for the exports.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from trm.analysis.report import table
from trm.checkpoints.load import load_checkpoint
from trm.edge import EdgeSolver
from trm.export.model import export_onnx
from trm.export.step import DType
from trm.provenance import PROJECT, commit, environment
from trm.solver import Solver
from trm.zoo import find, names

HERE = Path(__file__).parent
TORCH = "torch"
MEMORY = """
import sys
from pathlib import Path
kind, model, tokens = sys.argv[1], sys.argv[2], [int(token) for token in sys.argv[3].split()]
if kind == "torch":
    import numpy, torch
    from trm import load
    torch.set_num_threads(1)
    load(model).solve_all(numpy.array([tokens], dtype=numpy.uint8))
else:
    from trm.edge import EdgeSolver
    EdgeSolver(model).solve(tokens)
lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
print(int(lines["VmHWM"].split()[0]) * 1024)
"""
"""Solves one puzzle and prints the most bytes that the process has held (Linux)."""


def tables() -> dict[str, str]:
    """Return the table of the committed results."""
    rows = json.loads((HERE / "data.json").read_text())["rows"]
    eager = {row["model"]: row["ms"] for row in rows if row["runtime"] == TORCH}
    head = ["model", "runtime, weights", "file", "ms per puzzle", "torch is slower by", "memory", "solved"]
    lines = [
        [
            row["model"],
            "torch, float32" if row["runtime"] == TORCH else f"onnxruntime, {row['runtime']}",
            f"{row['bytes'] / 1e3:,.0f} kB",
            f"{row['ms']:.1f}",
            f"{eager[row['model']] / row['ms']:.1f}x",
            f"{row['memory'] / 1e6:,.0f} MB",
            f"{row['solved']} of {row['puzzles']}",
        ]
        for row in rows
    ]
    return {"edge": table(head, lines)}


def measure(name: str, dtypes: list[DType], puzzles: int, folder: Path) -> list[dict[str, Any]]:
    """Return a row for torch and one for each type of weights; exports that ``folder`` lacks are written to it."""
    module, data = load_checkpoint(name)
    samples = data.eval_samples("test", 0, min(puzzles, data.eval_size("test")))
    eager = Solver(module, data, batch_size=1)
    vectors = None
    if module.core.puzzle_embedding is not None:
        vectors = module.core.puzzle_embedding(torch.from_numpy(samples.puzzle_ids)).numpy()
    solvers: dict[str, Callable[[int], Any]] = {
        TORCH: lambda n: eager.solve_all(samples.inputs[n : n + 1], samples.puzzle_ids[n : n + 1])[0].answer
    }
    files = {TORCH: find(name)}
    for dtype in dtypes:
        files[dtype] = folder / f"{Path(name).stem}-{dtype}.onnx"
        if not files[dtype].exists():
            folder.mkdir(parents=True, exist_ok=True)
            files[dtype].write_bytes(export_onnx(name, dtype).content)
        edge = EdgeSolver(files[dtype])
        solvers[dtype] = lambda n, edge=edge: (
            edge.solve(  # type: ignore[misc]
                samples.inputs[n].astype(np.int64), None if vectors is None else vectors[n]
            ).answer
        )
    seconds, solved = _take_turns(solvers, samples.labels)
    question = " ".join(map(str, samples.inputs[0]))
    return [
        {
            "model": Path(name).stem,
            "runtime": runtime,
            "bytes": file.stat().st_size,
            "ms": 1e3 * statistics.median(seconds[runtime]),
            "memory": _memory(runtime, name if runtime == TORCH else str(file), question),
            "solved": solved[runtime],
            "puzzles": len(samples.inputs),
        }
        for runtime, file in files.items()
    ]


def _take_turns(
    solvers: dict[str, Callable[[int], Any]], labels: np.ndarray[Any, Any]
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Return the seconds of a core for each puzzle, and the number of answers equal to the label, for each solver."""
    seconds: dict[str, list[float]] = {name: [] for name in solvers}
    solved = dict.fromkeys(solvers, 0)
    for solve in solvers.values():
        solve(0)  # the first call allocates
    for number, label in enumerate(labels):
        for name, solve in solvers.items():
            start = time.process_time()
            answer = solve(number)
            seconds[name].append(time.process_time() - start)
            solved[name] += bool(((answer == label) | (label == 0)).all())
    return seconds, solved


def _memory(runtime: str, model: str, question: str) -> int:
    command = [sys.executable, "-c", MEMORY, runtime, model, question]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main(argv: list[str] | None = None) -> int:
    """Measure all models and write ``data.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=names(), help="models of the zoo, or checkpoints (default: all)")
    parser.add_argument("--dtypes", nargs="+", choices=get_args(DType), default=[*get_args(DType)])
    parser.add_argument("--puzzles", type=int, default=100, help="test puzzles of each model (default: 100)")
    parser.add_argument("--exports", type=Path, help="folder to keep the exported files in, and to take them from")
    parser.add_argument("--into", type=Path, default=HERE, help="folder of the results (default: this one)")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    facts = {"machine": environment(), "commit": commit(PROJECT), "rows": rows}
    with tempfile.TemporaryDirectory() as temporary:
        for name in arguments.models:
            rows += measure(name, arguments.dtypes, arguments.puzzles, arguments.exports or Path(temporary))
            print(*(json.dumps(row) for row in rows[-1 - len(arguments.dtypes) :]), sep="\n", flush=True)
    (arguments.into / "data.json").write_text(json.dumps(facts, indent=1) + "\n")
    print("the table of the page follows by: make tables", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
