"""The page of the service, in a browser: a person solves a puzzle, and reads why one is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import chromium
from serving import BOARD, Held, ask, running

from trm.cli.main import main
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


def test_a_folder_without_a_page_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "sudoku-4x4", "--port=0", f"--page={tmp_path}"]) == 2
    assert f"page is {tmp_path}, which has no index.html" in capsys.readouterr().err
