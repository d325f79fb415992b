"""The page of the service, in a browser: a person solves a puzzle, and reads why one is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import chromium
from command import refused
from serving import BOARD, Held, ask, running

from trm.checkpoints.files import read_checkpoint
from trm.checkpoints.summary import weights_digest
from trm.data.atomic import atomic_folder
from trm.page.runtime import FILES as RUNTIME
from trm.page.write import NAMES, PAGE, page_files
from trm.serve.backend import TorchBackend
from trm.solver import Solver


@pytest.fixture
def tab() -> Iterator[Any]:
    with chromium() as browser:
        yield browser.new_page(viewport={"width": 390, "height": 844})


def test_a_person_solves_a_puzzle_with_the_form(tab: Any) -> None:
    elsewhere: list[str] = []
    with running({"sudoku-4x4": TorchBackend(Solver("sudoku-4x4"))}, key="secret") as url:
        tab.on("request", lambda request: None if request.url.startswith(url) else elsewhere.append(request.url))
        tab.goto(url)
        tab.get_by_label("Puzzle, row by row").fill("\n".join(BOARD[row : row + 4] for row in range(0, 16, 4)))
        tab.get_by_role("button", name="Solve").click()
        verdict = tab.locator("#verdict")
        verdict.get_by_text("the API key is missing or wrong").wait_for()
        tab.get_by_label("API key").fill("secret")
        tab.get_by_label("with the answer after each supervision step").check()
        tab.get_by_role("button", name="Solve").click()
        verdict.get_by_text("obeys the rules").wait_for()
        assert "step 1" in tab.locator("#board").text_content()
        assert tab.locator("#board").text_content().startswith("1243\n4321\n3412\n2134")
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it fits a phone"
        tab.get_by_label("Puzzle, row by row").fill("11..............")
        tab.get_by_role("button", name="Solve").click()
        verdict.get_by_text("row 1 has 1 more than once").wait_for()
    assert not elsewhere


def test_a_page_that_solves_in_the_browser_is_served_beside_the_api(tmp_path: Path) -> None:
    for name, content in {"index.html": "<h1>page</h1>", "model.wasm": "wasm"}.items():
        (tmp_path / name).write_text(content)
    with running({"held": Held()}, key="secret", page=tmp_path) as url:
        assert ask(url).body == "<h1>page</h1>"
        assert ask(f"{url}/model.wasm").headers.get_content_type() == "application/wasm"
        assert ask(f"{url}/health").body == {"status": "ok"}
        assert ask(f"{url}/models").status == 401
        assert ask(f"{url}/..%2f..%2fetc/passwd").status == 404
        assert [model["name"] for model in ask(f"{url}/models", Authorization="Bearer secret").body] == ["held"]


def test_only_a_page_of_a_served_model_is_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = weights_digest(read_checkpoint("sudoku-4x4"))
    sites = {
        "empty": {},
        "foreign": dict.fromkeys(NAMES, b"<h1>mine</h1>"),
        "cut": {PAGE: b"<h1>mine</h1>"},
        "other": page_files({"model": {"name": "six", "weights": "0" * 16}}, b"", b"", dict.fromkeys(RUNTIME, b"")),
        "own": page_files({"model": {"name": "four", "weights": weights}}, b"", b"", dict.fromkeys(RUNTIME, b"")),
    }
    for name, files in sites.items():
        atomic_folder(tmp_path / name, files)
    for name, sentence in {
        "empty": "which has no index.html; accepted is a folder that trm page wrote",
        "cut": "which has no ort.wasm.bundle.min.mjs; accepted is a folder that trm page wrote",
        "foreign": "whose index.html does not name its model; accepted is a folder that trm page wrote",
        "other": "the page of another model, six; accepted is one of sudoku-4x4, maze-11x11",
        "own": "serve.port is 99999",  # which is looked at afterwards
    }.items():
        command = ["serve", "sudoku-4x4", "maze-11x11", "--port=99999", f"--page={tmp_path / name}"]
        assert sentence in refused(capsys, command)
