"""The files of a page: a folder for a web server, or one file that holds everything."""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from trm.errors import InputError
from trm.page.runtime import FILES as RUNTIME
from trm.trace.theme import scripts, stylesheet

PAGE, STYLE, SCRIPT, MODEL, VECTORS = "index.html", "page.css", "page.js", "model.onnx", "vectors.bin"
NAMES = (*RUNTIME, MODEL, VECTORS, STYLE, SCRIPT, PAGE)
"""Files of a folder."""
DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
"""What the page reads, in its HTML."""
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


def model_of(folder: Path) -> dict[str, str]:
    """Return the name and the digest of the weights of the model in the folder of a page.

    Raises:
        InputError: if the folder is not one that ``trm page`` wrote, whole.
    """
    accepted = "accepted is a folder that trm page wrote"
    missing = [name for name in (PAGE, *NAMES) if name != VECTORS and not (folder / name).is_file()]
    if missing:
        raise InputError(f"page is {folder}, which has no {missing[0]}; {accepted}")
    try:
        data = DATA.search((folder / PAGE).read_text(encoding="utf-8"))
        model = json.loads(data[1])["model"] if data else {}
        return {name: str(model[name]) for name in ("name", "weights")}
    except OSError as error:
        raise InputError(f"cannot read {folder / PAGE}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError, RecursionError):
        raise InputError(f"page is {folder}, whose {PAGE} does not name its model; {accepted}") from None


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
