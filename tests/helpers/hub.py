"""A stand-in for the Hugging Face hub: repositories in memory behind the requests that huggingface_hub makes."""

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import huggingface_hub.constants
import pytest

TOKEN = "hf_secret"


class Hub(ThreadingHTTPServer):
    """Commits by repository, the last one is main; a data set's name begins with ``datasets/``."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}
        self.asked: list[str] = []  # methods and paths
        self.cut = False  # whether to end a download in its middle
        self.url = f"http://127.0.0.1:{self.server_port}"

    def commit(self, repo: str, files: dict[str, bytes]) -> str:
        """Add a commit, and return its name."""
        history = self.commits.setdefault(repo, {})
        name = hashlib.sha1(f"{repo} {len(history)}".encode()).hexdigest()
        history[name] = {**list(history.values() or [{}])[-1], **files}
        return name


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        found = re.fullmatch(r"/(.+/.+)/resolve/([^/]+)/(.+)", self.path)
        repo, revision, file = found.groups() if found else (self.path, "", "")  # of the latter, nothing is known
        history = self.server.commits.get(repo, {})
        commit = list(history)[-1] if history and revision == "main" else revision
        missing = "RepoNotFound" if not history else "RevisionNotFound" if commit not in history else "EntryNotFound"
        content = history.get(commit, {}).get(file)
        if content is None:
            self.answer(404, b"", {"X-Error-Code": missing})
            return
        facts = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}
        self.answer(200, content, facts, cut=self.server.cut and file.endswith("safetensors"))

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        lines = [json.loads(line) for line in self.rfile.read(int(self.headers["Content-Length"])).splitlines()]
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(401, b"", {"X-Error-Message": "Invalid username or password."})
        elif self.path.startswith("/api/models/") and "/preupload/" in self.path:
            names = [file["path"] for file in lines[0]["files"]]
            mode = {"uploadMode": "regular", "shouldIgnore": False}
            self.json({"files": [{"path": name, **mode} for name in names]})
        elif found := re.fullmatch("/api/models/(.+)/commit/main", self.path):
            files = [line["value"] for line in lines if line["key"] == "file"]
            name = self.server.commit(found[1], {f["path"]: base64.b64decode(f["content"]) for f in files})
            self.json({"success": True, "commitUrl": f"{self.server.url}/{found[1]}/commit/{name}", "commitOid": name})
        else:  # a repository is created, or the head of a card checked
            name = f"{lines[0].get('organization')}/{lines[0].get('name')}"
            self.json({"url": f"{self.server.url}/{name}", "errors": [], "warnings": []})

    def json(self, value: Any) -> None:
        self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def answer(self, status: int, content: bytes, headers: dict[str, str], cut: bool = False) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content)), "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def standing_in(patch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Let huggingface_hub talk to a stand-in, as with ``HF_ENDPOINT``, which it reads when it is imported."""
    with Hub() as hub:
        constants: Any = huggingface_hub.constants
        patch.setattr(constants, "ENDPOINT", hub.url)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
        patch.delenv("HF_TOKEN", raising=False)
        threading.Thread(target=hub.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield hub
        finally:
            hub.shutdown()
