"""The container, without building it: what its Dockerfile starts, its health check, and how long its end may take."""

import json
import re
import urllib.error
from types import SimpleNamespace
from typing import Any

import pytest
from paths import REPO
from serving import Held, running

from trm.cli.main import main
from trm.serve.limits import Limits
from trm.serve.server import config

DOCKERFILE = (REPO / "Dockerfile").read_text()
PAGE = (REPO / "docs" / "deployment.md").read_text()


def words(instruction: str) -> list[str]:
    """Return the words of an instruction that starts a program."""
    (found,) = re.findall(rf"^{instruction} .*?(\[.*\])$", DOCKERFILE, flags=re.MULTILINE)
    return list(json.loads(found))


def test_it_serves_a_model_of_the_zoo_on_the_port_that_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    started: dict[str, Any] = {}
    monkeypatch.setattr("trm.serve.server.bind", lambda host, port: started.update(host=host, port=port))
    monkeypatch.setattr("trm.serve.server.serve", lambda models, *_: started.update(models=list(models)))
    assert words("ENTRYPOINT") == ["trm"]
    assert main(words("CMD")) == 0
    assert started == {"host": "0.0.0.0", "port": 8000, "models": ["sudoku-9x9"]}
    assert "\nEXPOSE 8000\n" in DOCKERFILE
    assert "-p 127.0.0.1:8000:8000" in PAGE


def test_its_health_check_fails_once_nothing_answers() -> None:
    program, flag, code = words("HEALTHCHECK")
    assert (program, flag) == ("python", "-c")
    assert "http://127.0.0.1:8000/" in code
    with running({"held": Held()}, key="secret") as url:
        check = code.replace("http://127.0.0.1:8000", url)
        exec(check, {})
    with pytest.raises(urllib.error.URLError):
        exec(check, {})


def test_what_is_documented_waits_for_the_answers_to_accepted_requests() -> None:
    ending = config({"held": Held()}, Limits()).timeout_graceful_shutdown
    assert ending is not None
    found = SimpleNamespace(
        docker=re.search(r"--stop-timeout (\d+)", PAGE),
        kubernetes=re.search(r"terminationGracePeriodSeconds: (\d+)", PAGE),
        nginx=re.search(r"proxy_read_timeout (\d+)s;", PAGE),
    )
    assert int(found.docker[1]) >= ending
    assert int(found.kubernetes[1]) >= ending
    assert int(found.nginx[1]) > Limits().timeout
