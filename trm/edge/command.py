"""The command of a kit: solves puzzles given as text or one a line in files, with the model that lies beside it."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from trm.edge.solver import HALTING, SELECTIONS, EdgeSolver
from trm.errors import InputError

REMARK = "  ;"
"""What separates an answer from its remark, so that answers can be read back."""
MODEL = "model.onnx"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the answer to each puzzle; returns 0 if all obey the rules, else 1, and 2 for bad input."""
    parser = argparse.ArgumentParser(prog="solve.pyz", description="Solve puzzles with a Tiny Recursive Model.")
    parser.add_argument("puzzles", nargs="+", help="text of a puzzle, a file with one a line, or - for standard input")
    parser.add_argument("--model", type=Path, help=f"the exported model (default: {MODEL} beside this file)")
    parser.add_argument("--depth", type=int, help="most supervision steps (default: as many as in training)")
    parser.add_argument("--views", type=int, help="symmetric forms of the puzzle to solve (default: as stored, else 1)")
    parser.add_argument("--select", choices=SELECTIONS, default="halting", help="selection among their answers")
    parser.add_argument("--halt", choices=HALTING, default="auto", help="early-exit rule; auto: as stored, else head")
    parser.add_argument("--threads", type=int, default=1)
    options = vars(parser.parse_args(argv))
    puzzles, model = options.pop("puzzles"), options.pop("model") or Path(sys.argv[0]).with_name(MODEL)
    good = True
    try:
        solver = EdgeSolver(model, **options)
        for text in _texts(puzzles):
            solution = solver.solve(text)
            print(solution, flush=True)
            good &= solution.valid is not False
    except InputError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    return 0 if good else 1


def _texts(puzzles: Sequence[str]) -> Iterator[str]:
    """Yield the texts of puzzles, without remarks and empty lines.

    Raises:
        InputError: if a file cannot be read.
    """
    for text in puzzles:
        try:
            is_file = text != "-" and Path(text).is_file()
        except (OSError, ValueError):  # too long for a name
            is_file = False
        if text != "-" and not is_file:
            yield text
            continue
        try:
            lines = (sys.stdin.read() if text == "-" else Path(text).read_text(encoding="utf-8")).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read {text}: {error}") from error
        yield from (line.partition(REMARK)[0] for line in lines if line.strip())
