"""The command ``trm serve``: answers puzzles over HTTP."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trm.arguments import EarlyExit, SelectionName
from trm.errors import InputError, check_range

if TYPE_CHECKING:
    from trm.serve.backend import Backend

KEY = "TRM_API_KEY"
"""Environment variable of the API key; not an option, which every user of the machine could read."""
EXTRA = ("fastapi", "uvicorn", "prometheus_client")


def serve(
    models: list[str],
    backend: Literal["torch", "onnx"] = "torch",
    host: str = "127.0.0.1",
    port: int = 8000,
    batch_size: int = 64,
    wait: float = 5.0,
    queue: int = 1024,
    max_puzzles: int = 256,
    max_body: int = 1_048_576,
    timeout: float = 60.0,
    depth: int | None = None,
    views: int | None = None,
    select: SelectionName = "halting",
    halt: EarlyExit = "auto",
    halt_threshold: float | None = None,
    abstain: float | Literal["auto"] = 0.0,
    complete: bool = False,
    page: str = "",
    family: str = "",
    module: str = "",
) -> int:
    """Serve trained models over HTTP: JSON at /solve, a page at /, its OpenAPI at /openapi.json.

    Puzzles of concurrent requests are solved together. /health and /ready are for probes, /metrics is for Prometheus.
    If the environment variable TRM_API_KEY is set, requests must send it as "Authorization: Bearer KEY". On SIGTERM or
    SIGINT the service accepts nothing more, answers what it has accepted, and exits with status 0. The log is a line of
    JSON per request, without puzzles.

    Args:
        models: one or more models: a file written by ``trm fit`` or ``trm export --format onnx``, a folder of ``trm
            export --format hub``, or the name of a model; see ``trm zoo --help``. NAME=FILE serves a file under another
            name than its own.
        backend: what runs the networks: torch, or onnx for onnxruntime, which is faster on few cores. An exported file
            always runs in onnxruntime, without --complete and with the selections halting and verifier alone.
        host: address to listen on; the default accepts connections of this machine alone, 0.0.0.0 those of any.
        port: port to listen on; 0 for any free one, which the log names.
        batch_size: most puzzles that are solved together.
        wait: milliseconds that a puzzle waits for others to be solved with.
        queue: most puzzles that are accepted and not yet answered, over all models; more are refused with status 429.
        max_puzzles: most puzzles of a request; more are refused with status 413.
        max_body: most bytes of a request; more are refused with status 413.
        timeout: most seconds to an answer, else status 504.
        depth: most supervision steps of a rollout; null for as many as in training.
        views: symmetric forms of each puzzle to solve; null for 64 of an ARC task, else for what ``trm tune``
            stored in the checkpoint, else for 1.
        select: selection among their answers; see ``trm solve --help``.
        halt: early-exit rule; see ``trm solve --help``.
        halt_threshold: halting probability above which the rule head exits; null for the one that is stored, else
            for 0.5, as in training.
        abstain: confidence below which an answer is marked as abstaining; auto for the threshold of each model that the
            latest validation in training chose.
        complete: if an answer breaks the rules, complete it with an exact solver guided by the model.
        page: folder that ``trm page`` wrote for one of the models, to serve at /; without it, a form there sends
            puzzles to the service. The page solves in the browser, and needs no key.
        family: the class the checkpoints were trained on if it is your own, such as my_puzzles.Futoshiki; of a mixture
            the name of the family, such as maze.
        module: your own classes of the module and its network, separated by a comma, such as my_nets.Gated.
    """
    try:
        from trm.serve.server import bind
        from trm.serve.server import serve as run
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        raise InputError(f"trm serve needs the package {error.name}: pip install 'trm[serve]'") from error
    from trm.serve.limits import Limits

    limits = Limits(batch_size, wait / 1000, queue, max_puzzles, max_body, timeout).check()
    key = os.environ.get(KEY)
    if key == "" or (key and not (key.isascii() and key.isprintable() and " " not in key)):
        raise InputError(f"{KEY} is set, but is no key; accepted are printable ASCII characters without spaces")
    files = _named(models)
    if page:
        _check_page(Path(page), files)
    options: dict[str, Any] = {"depth": depth, "select": select, "halt": halt, "halt_threshold": halt_threshold}
    options |= {"abstain": abstain, "complete": complete, "family": family, "module": module}
    bound = bind(host, port)
    try:
        served = {name: _backend(name, file, backend, views, options) for name, file in files.items()}
    except BaseException:
        bound.close()
        raise
    run(served, bound, limits, key or "", Path(page) if page else None)
    return 0


def _backend(name: str, file: Path, kind: str, views: int | None, options: dict[str, Any]) -> "Backend":
    """Return the backend of a model.

    Raises:
        InputError: if it cannot be loaded, or the backend lacks an option.
    """
    from trm.serve.onnx import ENDING, onnx_backend

    check_range("serve", 1, depth=options["depth"], views=views)
    if kind == "torch" and file.suffix != ENDING:
        from trm.serve.backend import torch_backend

        return torch_backend(name, file, views, **options)
    import torch

    given = dict(options)
    if given.pop("complete"):
        raise InputError(f"complete is true, but {name} runs in onnxruntime, which has no exact solver")
    return onnx_backend(name, file, views=views, threads=torch.get_num_threads(), **given)


def _check_page(page: Path, files: dict[str, Path]) -> None:
    """Check that a folder is a page of one of the models that are served.

    Raises:
        InputError: if it is not.
    """
    from trm.checkpoints.files import read_checkpoint
    from trm.checkpoints.summary import weights_digest
    from trm.edge.model import EdgeModel
    from trm.page.write import model_of
    from trm.serve.onnx import ENDING

    shown = model_of(page)
    for file in files.values():
        is_export = file.suffix == ENDING
        weights = EdgeModel(file).about.get("weights") if is_export else weights_digest(read_checkpoint(file))
        if weights == shown["weights"]:
            return
    served = ", ".join(files)
    raise InputError(f"page is {page}, the page of another model, {shown['name']}; accepted is one of {served}")


def _named(models: list[str]) -> dict[str, Path]:
    """Return the files of models by the names that requests use.

    Raises:
        InputError: if a file does not exist, a name is empty, or two are the same.
    """
    from trm.zoo import find

    files: dict[str, Path] = {}
    for text in models:
        name, equals, path = text.partition("=")
        if not equals or Path(text).exists():  # names of Lightning's checkpoints contain equals signs
            name, path = _short(text), text
        if not name:
            raise InputError(
                f"{text!r} names no model; accepted are MODEL, to serve it under its own name, and NAME=FILE"
            )
        if name in files:
            raise InputError(f"two models are named {name!r}; pass NAME={path} to serve the second under another name")
        files[name] = find(path)
    return files


def _short(text: str) -> str:
    """Return the name under which a model is served by default: of the zoo, of a file, or of a repository."""
    from trm.data.hub import PREFIX
    from trm.zoo import names

    if text in names():
        return text
    if text.startswith(PREFIX):
        return text.rpartition("/")[2] if "@" not in text else text.partition("@")[0].rpartition("/")[2]
    path = Path(text)
    return path.resolve().name if path.is_dir() else path.stem  # a folder's name has no ending
