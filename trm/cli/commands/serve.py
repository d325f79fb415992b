"""The command ``trm serve``: answers puzzles over HTTP."""

import os
from pathlib import Path
from typing import Literal

from trm.arguments import EarlyExit, SelectionName
from trm.errors import InputError

KEY = "TRM_API_KEY"
"""Environment variable of the API key; not an option, which every user of the machine could read."""
EXTRA = ("fastapi", "uvicorn", "prometheus_client")


def serve(
    models: list[str],
    host: str = "127.0.0.1",
    port: int = 8000,
    batch_size: int = 64,
    wait: float = 5.0,
    queue: int = 1024,
    max_puzzles: int = 256,
    max_body: int = 1_048_576,
    timeout: float = 60.0,
    depth: int | None = None,
    views: int = 1,
    select: SelectionName = "halting",
    halt: EarlyExit = "auto",
    halt_threshold: float = 0.5,
    abstain: float | Literal["auto"] = 0.0,
    complete: bool = False,
    family: str = "",
    module: str = "",
) -> int:
    """Serve trained models over HTTP: JSON at /solve, a page at /, its OpenAPI at /openapi.json.

    Puzzles of concurrent requests are solved together. /health and /ready are for probes, /metrics is for Prometheus.
    If the environment variable TRM_API_KEY is set, requests must send it as "Authorization: Bearer KEY". On SIGTERM or
    SIGINT the service accepts nothing more, answers what it has accepted, and exits with status 0. The log is a line of
    JSON per request, without puzzles.

    Args:
        models: one or more models: a file written by ``trm fit``, or the name of a model of the zoo; NAME=FILE serves a
            file under another name than its own.
        host: address to listen on; the default accepts connections of this machine alone, 0.0.0.0 those of any.
        port: port to listen on; 0 for any free one, which the log names.
        batch_size: most puzzles that are solved together.
        wait: milliseconds that a puzzle waits for others to be solved with.
        queue: most puzzles that are accepted and not yet answered, over all models; more are refused with status 429.
        max_puzzles: most puzzles of a request; more are refused with status 413.
        max_body: most bytes of a request; more are refused with status 413.
        timeout: most seconds to an answer, else status 504.
        depth: most supervision steps of a rollout; null for as many as in training.
        views: symmetric forms of each puzzle to solve.
        select: selection among their answers; see ``trm solve --help``.
        halt: early-exit rule; see ``trm solve --help``.
        halt_threshold: halting probability above which the rule head exits; 0.5 as in training.
        abstain: confidence below which an answer is marked as abstaining; auto for the threshold of each model that the
            latest validation in training chose.
        complete: if an answer breaks the rules, complete it with an exact solver guided by the model.
        family: the class the checkpoints were trained on if it is your own, such as my_puzzles.Futoshiki.
        module: your own classes of the module and its network, separated by a comma, such as my_nets.Gated.
    """
    try:
        from trm.serve.server import bind
        from trm.serve.server import serve as run
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        raise InputError(f"trm serve needs the package {error.name}: pip install 'trm[serve]'") from error
    from trm.serve.backend import TorchBackend
    from trm.serve.limits import Limits
    from trm.solver import Solver

    limits = Limits(batch_size, wait / 1000, queue, max_puzzles, max_body, timeout).check()
    key = os.environ.get(KEY)
    if key == "" or (key and not (key.isascii() and key.isprintable() and " " not in key)):
        raise InputError(f"{KEY} is set, but is no key; accepted are printable ASCII characters without spaces")
    files = _named(models)
    bound = bind(host, port)
    try:
        served = {
            name: TorchBackend(
                name,
                Solver(
                    file,
                    depth=depth,
                    views=views,
                    select=select,
                    halt=halt,
                    halt_threshold=halt_threshold,
                    abstain=abstain,
                    complete=complete,
                    family=family,
                    module=module,
                ),
            )
            for name, file in files.items()
        }
    except BaseException:
        bound.close()
        raise
    run(served, bound, limits, key or "")
    return 0


def _named(models: list[str]) -> dict[str, Path]:
    """Return the files of models by the names that requests use.

    Raises:
        InputError: if a file does not exist, or two have the same name.
    """
    from trm.zoo import find, names

    files: dict[str, Path] = {}
    for text in models:
        name, equals, path = text.partition("=")
        if not equals or Path(text).is_file():  # names of Lightning's checkpoints contain equals signs
            name, path = (text if text in names() else Path(text).stem), text
        if name in files:
            raise InputError(f"two models are named {name!r}; pass NAME={path} to serve the second under another name")
        files[name] = find(path)
    return files
