"""A service in a thread of the test, a client of the standard library, and a backend that the test holds back."""

import asyncio
import contextlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from trm.data import Sudoku
from trm.data.samples import Tokens
from trm.serve.backend import Backend, Puzzle, parse_board
from trm.serve.limits import Limits
from trm.serve.server import Server, address, bind, config

BOARD = ".2..4..13......4"
PATIENCE = 120
"""Seconds after which a test that waits for something gives up."""


class Reply(NamedTuple):
    status: int
    body: Any
    headers: Mapping[str, str]


@contextlib.contextmanager
def running(
    models: Mapping[str, Backend], limits: Limits | None = None, key: str = "", page: Path | None = None
) -> Iterator[str]:
    """Serve models, and yield the address."""
    bound = bind("127.0.0.1", 0)
    server = Server(config(models, limits or Limits(), key, page))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([bound])))
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield address(bound)
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        bound.close()
        assert not thread.is_alive()


def ask(url: str, body: Any = None, **headers: str) -> Reply:
    """Send JSON, or bytes as they are, and return the answer; without a body by GET."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    named = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, named), timeout=PATIENCE) as reply:
            return _read(reply.status, reply)
    except urllib.error.HTTPError as error:
        with error:
            return _read(error.code, error)


def _read(status: int, reply: Any) -> Reply:
    content = reply.read()
    is_json = reply.headers.get_content_type() == "application/json"
    return Reply(status, json.loads(content) if is_json else content.decode(), reply.headers)


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def metric(url: str, name: str) -> float:
    """Return a number of /metrics by its name with labels; 0 if nothing has been counted."""
    lines = ask(f"{url}/metrics").body.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} ")), 0.0)


class Held:
    """A backend of 4x4 Sudoku whose answer is the question itself, and whose batches wait for ``go``."""

    kind, family, cells, parameters = "torch", "Sudoku", 16, 0

    def __init__(self) -> None:
        self.data = Sudoku(size=4)
        self.go, self.batches = threading.Event(), []  # type: ignore[var-annotated]

    def parse(self, puzzle: Puzzle) -> Tokens:
        return parse_board(self.data, puzzle)

    def __call__(self, questions: Sequence[Tokens], traced: Sequence[bool]) -> list[dict[str, Any]]:
        self.batches.append([self.data.write(question) for question in questions])
        assert self.go.wait(PATIENCE)
        return [self.solution(text) for text in self.batches[-1]]

    def solution(self, text: str) -> dict[str, Any]:
        sure = {"confidence": 1.0, "agreement": 1.0, "rollouts": 1, "guesses": None, "alternatives": []}
        spent = {"valid": True, "reason": "", "abstains": False, "abstain_below": 0.0, "steps": 1, "gflop": 0.0}
        return {"question": text, "answer": text, **spent, **sure}
