"""A kit: the model, a runner in one file and a README, for a machine with Python, numpy and onnxruntime."""

import io
import zipfile
from pathlib import Path
from typing import Any

import trm
from trm.edge.command import MODEL
from trm.inference.choice import InferenceChoice

RUNNER = "solve.pyz"
FILES = (MODEL, RUNNER, "README.md")
PACKAGE = Path(trm.__file__).parent
SOURCES = ("__init__.py", "errors.py", "edge")
"""What the runner consists of; nothing in it imports torch."""
README = """# {name}

A Tiny Recursive Model, exported by {written_by} with `trm export --kit`. It needs Python 3.11 or later and two
packages, but no torch:

    pip install numpy onnxruntime

{usage}
- `{model}`: the model, {dtype}; its description, in JSON, is the metadata `trm` of the file.
- `{runner}`: the runner, a Python zip archive; `unzip -l {runner}` lists its sources.

In Python, with the archive on the path:

    import sys
    sys.path.insert(0, "{runner}")
    from trm.edge import EdgeSolver
    print(EdgeSolver("{model}").solve({argument}))
"""
USAGE = """    python {runner} '{puzzle}'

The answer stands first in the line, then whether it obeys the rules, the supervision steps it took and the model's
confidence. `{runner}` also takes a file with one puzzle a line, or `-` for standard input, and exits with status 0 if
all answers obey the rules, with 1 if one does not, and with 2 if a puzzle cannot be read. `python {runner} --help`
lists its options; `--views {views}` also tries symmetric forms of the puzzle.{default}

A puzzle has {cells} cells, row by row, each one of the characters {symbols}

"""
PYTHON_ONLY = """Its puzzles, {cells} cells of {tokens} tokens, have no notation of one character per cell, so it is
used from Python, as shown below.

"""


def runner() -> bytes:
    """Return the runner, an executable zip archive of Python (PEP 441); its content does not depend on the date."""
    archive = io.BytesIO(b"")
    archive.write(b"#!/usr/bin/env python3\n")
    files = [file for name in SOURCES for file in _python_files(PACKAGE / name)]
    texts = {f"trm/{file.relative_to(PACKAGE).as_posix()}": file.read_text(encoding="utf-8") for file in files}
    texts["__main__.py"] = "import sys\n\nfrom trm.edge.command import main\n\nsys.exit(main())\n"
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as packed:
        for name, text in sorted(texts.items()):
            packed.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def kit(content: bytes, description: dict[str, Any], puzzle: str) -> dict[str, bytes]:
    """Return the files of a kit by name.

    Args:
        content: the exported step model.
        description: its description.
        puzzle: a puzzle as text for the README, "" for a family without such text.
    """
    facts = {name: description[name] for name in ("name", "written_by", "dtype", "cells", "tokens")}
    facts |= {"runner": RUNNER, "model": MODEL, "puzzle": puzzle, "views": len(description["views"]["cells"])}
    facts["symbols"] = " ".join(symbol for symbol in description["symbols"] or "" if symbol.strip())
    chosen = description["inference"]
    facts["default"] = f" Without options: {InferenceChoice(**chosen)}." if chosen else ""
    usage = (USAGE if puzzle else PYTHON_ONLY).format(**facts)
    text = README.format(**facts, usage=usage, argument=repr(puzzle) if puzzle else f"[1] * {facts['cells']}")
    return dict(zip(FILES, (content, runner(), text.encode()), strict=True))


def _python_files(path: Path) -> list[Path]:
    return sorted(path.glob("*.py")) if path.is_dir() else [path]
