"""The files of a page: a folder for a web server, or one file that holds everything."""

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from trm.data.atomic import atomic_write, check_writable, refuse_overwriting
from trm.errors import InputError
from trm.page.runtime import FILES as RUNTIME
from trm.trace.theme import scripts, stylesheet

PAGE, STYLE, SCRIPT, MODEL, VECTORS = "index.html", "page.css", "page.js", "model.onnx", "vectors.bin"
NAMES = (*RUNTIME, MODEL, VECTORS, STYLE, SCRIPT, PAGE)
"""Files of a folder, in the order in which they are written: the page last."""
SOURCES = ("rules.js", "solver.js", "arc.js", "files.js", "player.js", "boards.js", "tasks.js", "main.js")
"""The scripts, which are joined in this order to one module."""
INSIDE = dict(zip(("runtime", "wasm", "model", "vectors"), (*RUNTIME, MODEL, VECTORS), strict=True))
"""Names of the files inside a single one; see files.js."""
POLICY = "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "


def page_files(content: dict[str, Any], model: bytes, vectors: bytes, runtime: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files of a folder by name.

    Args:
        content: what the page reads; see ``trm.page.content``.
        model: the exported step.
        vectors: puzzle vectors; b"" for none.
        runtime: files of onnxruntime-web by name.
    """
    policy = f"{POLICY}script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'"
    style, script = f'<link rel="stylesheet" href="{STYLE}">', f'<script type="module" src="{SCRIPT}"></script>'
    parts = {MODEL: model, STYLE: _style().encode(), SCRIPT: _script().encode()}
    return {
        **runtime,
        **parts,
        **({VECTORS: vectors} if vectors else {}),
        PAGE: _filled(policy, style, content, script).encode(),
    }


def single_page(content: dict[str, Any], model: bytes, vectors: bytes, runtime: Mapping[str, bytes]) -> str:
    """Return the page with everything in it, which also works from disk; arguments as of ``page_files``."""
    parts = {**runtime, MODEL: model, **({VECTORS: vectors} if vectors else {})}
    style, script = _style(), _script()
    policy = (
        f"{POLICY}script-src '{_digest(script)}' blob: 'wasm-unsafe-eval'; style-src '{_digest(style)}'; "
        "connect-src 'none'"
    )
    inside = [
        f'<script type="application/gzip" id="file-{name}">{_packed(parts[file])}</script>'
        for name, file in INSIDE.items()
        if file in parts
    ]
    return _filled(
        policy,
        f"<style>{style}</style>",
        content,
        "\n".join([*inside, f'<script type="module">{script}</script>']),
    )


def check_folder(folder: Path, force: bool) -> None:
    """Check that a page can be written to a folder: new, empty, or with ``force`` that of an earlier page.

    Raises:
        InputError: if not.
    """
    check_writable(folder / PAGE)
    try:
        present = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror}") from error
    strange = [name for name in present if name not in NAMES]
    if strange:
        raise InputError(
            f"{folder} contains {strange[0]}, which is no file of a page; accepted is a new or empty folder, or with "
            "--force that of an earlier page"
        )
    for name in present:
        refuse_overwriting(folder / name, force)


def write_folder(folder: Path, parts: Mapping[str, bytes]) -> None:
    """Write the files of a folder, the page last, and remove what an earlier page had besides."""
    for name in NAMES:
        if name in parts:
            with atomic_write(folder / name, "wb") as file:
                file.write(parts[name])
        else:
            (folder / name).unlink(missing_ok=True)


def _style() -> str:
    return stylesheet() + files("trm.page").joinpath("page.css").read_text(encoding="utf-8")


def _script() -> str:
    folder = files("trm.page")
    return scripts() + "".join(folder.joinpath(name).read_text(encoding="utf-8") for name in SOURCES)


def _filled(policy: str, style: str, content: dict[str, Any], end: str) -> str:
    """Return the HTML with its parts in place."""
    text = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    html = files("trm.page").joinpath("page.html").read_text(encoding="utf-8")
    for name, part in {"POLICY": policy, "STYLE": style, "FILES": end, "DATA": text}.items():
        html = html.replace(f"__{name}__", part)
    return html


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()
