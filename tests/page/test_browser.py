"""Pages in a browser: what they answer is what torch answers, and people can use them by hand, eye, key and ear."""

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from browsing import SIZES, Site, hosted
from tasks import random_task

from trm.data import Maze, Sudoku
from trm.data.arc.query import query_task
from trm.data.arc.tasks import to_task
from trm.data.samples import to_batch
from trm.page.write import SOURCES
from trm.solver import Solver

pytestmark = pytest.mark.slow
PATIENCE = 60_000  # milliseconds after which a test that waits for the page gives up
READY = "#solve:enabled"


@pytest.fixture
def open_page(browser: Any) -> Iterator[Any]:
    """A function that opens a page, and fails the test if it asks for anything elsewhere, or reports an error."""
    problems: list[str] = []
    contexts = []

    def opened(address: str, size: str = "desktop", **options: Any) -> Any:
        context = browser.new_context(viewport=SIZES[size], **{"reduced_motion": "reduce", **options})
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: problems.append(message.text))
        tab.on("pageerror", lambda error: problems.append(str(error)))
        inside = (address.removesuffix("/"), "data:", "blob:")
        tab.on("request", lambda sent: None if sent.url.startswith(inside) else problems.append(sent.url))
        tab.goto(address)
        tab.locator(READY).wait_for(timeout=PATIENCE)
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


def solved(tab: Any, text: str = "") -> dict[str, Any]:
    """Solve the puzzle of the page, or a text, and return what it says."""
    if text:
        tab.locator("#text").fill(text)
        tab.locator("#use").click()
    tab.locator("#solve").click()
    tab.locator(READY).wait_for(timeout=PATIENCE)
    said = tab.locator("#verdict").text_content()
    steps = re.search(r"(\d+) supervision step", said)
    return {
        "said": said,
        "answer": tab.locator("#verdict").get_attribute("data-answer"),
        "steps": int(steps[1]) if steps else None,
    }


def boards(site: Site, count: int) -> list[str]:
    return [site.data.write(question) for question in site.data.samples("test").inputs[:count]]


@pytest.mark.parametrize(("size", "single"), [("desktop", False), ("phone", True)])
def test_answers_to_twenty_puzzles_are_those_of_torch(size: str, single: bool, sudoku: Site, open_page: Any) -> None:
    expected = Solver(sudoku.module, sudoku.data).solve(boards(sudoku, 20))
    with hosted(sudoku.folder) as address:
        tab = open_page(sudoku.single.as_uri() if single else address, size)
        for solution in expected:
            found = solved(tab, sudoku.data.write(solution.question))
            assert found["answer"] == sudoku.data.write(solution.answer)
            assert found["steps"] == solution.steps
            verdict = "obeys the rules" if solution.verdict.valid else f"breaks the rules: {solution.verdict.reason}"
            assert found["said"].startswith(f"{verdict}; ")
            assert f"{solution.confidence:.1%}".replace("%", " %") in found["said"]
        assert tab.evaluate("document.documentElement.scrollWidth") == SIZES[size]["width"], "nothing is beside it"
        assert tab.locator("#about").text_content().startswith("<b>, "), "markup in a name stays text"
    assert len({solution.steps for solution in expected}) > 1, "they halt at different steps"


def test_a_page_starts_with_what_tune_chose(tuned: Site, open_page: Any) -> None:
    tab, choice = open_page(tuned.single.as_uri()), tuned.module.inference_choice
    assert choice is not None
    assert (tab.locator("#halt").input_value(), tab.locator("#views").input_value()) == (choice.halt, "2")
    for solution in Solver((tuned.module, tuned.data)).solve(boards(tuned, 3)):
        found = solved(tab, tuned.data.write(solution.question))
        assert (found["answer"], found["steps"]) == (tuned.data.write(solution.answer), solution.steps)


OPTIONS: list[dict[str, Any]] = [
    {"views": 4, "halt": "head"},
    {"depth": 2, "halt": "never"},
    {"halt": "stable"},
    {"views": 5, "select": "verifier", "halt": "rules"},
]


def test_options_mean_what_they_mean_in_the_solver(sudoku: Site, open_page: Any) -> None:
    tab = open_page(sudoku.single.as_uri())
    defaults = {"depth": 5, "views": 1, "halt": "head", "select": "halting"}
    for options in OPTIONS:
        for name, value in {**defaults, **options}.items():
            field = tab.locator(f"#{name}")
            field.select_option(value) if isinstance(value, str) else field.fill(str(value))
        for solution in Solver(sudoku.module, sudoku.data, **options).solve(boards(sudoku, 3)):
            found = solved(tab, sudoku.data.write(solution.question))
            assert (found["answer"], found["steps"]) == (sudoku.data.write(solution.answer), solution.steps)
    tab.locator("#views").fill("17")
    tab.locator("#solve").click()
    assert tab.locator("#verdict").text_content() == "the number of views is 17; accepted are 1 to 16"


def test_each_step_is_shown_and_the_slider_goes_back(sudoku: Site, open_page: Any) -> None:
    tab = open_page(sudoku.single.as_uri(), color_scheme="dark")
    tab.locator("#halt").select_option("never")
    (board,) = boards(sudoku, 1)
    answers = {depth: Solver(sudoku.module, sudoku.data, depth=depth, halt="never").solve(board) for depth in (1, 3, 5)}
    solved(tab, board)
    for depth, solution in answers.items():
        tab.locator("#step").fill(str(depth))
        cells = tab.locator("#boards .cell").evaluate_all("cells => cells.map(cell => Number(cell.dataset.token))")
        assert cells == solution.answer.tolist()
        assert tab.locator("#halting").text_content() == f"{100 * solution.confidence:.1f} %"
        assert tab.locator("#where").text_content() == f"Step {depth}"
    ink, paper = tab.evaluate("(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))")
    light, dark = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, paper))
    assert light - dark > 500, "the page is dark where the reader's system is"


def test_a_solution_is_seen_step_by_step_and_played_again(sudoku: Site, open_page: Any) -> None:
    tab = open_page(sudoku.single.as_uri(), reduced_motion="no-preference")
    tab.locator("#halt").select_option("never")
    solved(tab)
    tab.clock.install()
    tab.locator("#play").click()
    assert (tab.locator("#where").text_content(), tab.locator("#play").text_content()) == ("Step 1", "Pause")
    tab.clock.run_for(10_000)
    assert (tab.locator("#where").text_content(), tab.locator("#play").text_content()) == ("Step 5", "Play")


# -- ARC --------------------------------------------------------------------------------------------------------------


def attempts(site: Site, task: Any, views: int) -> list[list[list[list[int]]]]:
    """Return the answers that torch elects, as trm solve does."""
    query = query_task(site.data, task, views)
    rollouts = Solver(site.module, site.data).roll_out(query.samples.inputs, query.samples.puzzle_ids)
    batch = to_batch(query.samples.take(rollouts.puzzles))
    query.votes.update(
        torch.from_numpy(rollouts.answers),
        torch.from_numpy(rollouts.halt),
        batch._replace(puzzle_ids=torch.from_numpy(query.ids[rollouts.puzzles])),
    )
    return [[answer.grid.tolist() for answer in best] for best in query.votes.elected()]


def test_tasks_of_the_training_are_answered_as_by_torch(arc: Site, open_page: Any) -> None:
    tab = open_page(arc.single.as_uri(), "phone")
    for name in ("three", "four"):
        tab.locator("#tasks").select_option(label=name)
        for views in (1, 4):
            tab.locator("#views").fill(str(views))
            found = solved(tab)
            assert json.loads(found["answer"]) == attempts(arc, arc.data.task(name), views)
            assert "not trained" not in found["said"]
    assert tab.locator("#attempts figure").count() > 2, "the attempts at both test inputs are shown"
    tab.locator("#step").fill("1")
    assert "1 of 2" in tab.locator("#boards figcaption").first.text_content()
    assert tab.evaluate("document.documentElement.scrollWidth") == SIZES["phone"]["width"]


def test_a_task_in_a_file_is_answered_and_doubted(arc: Site, open_page: Any, tmp_path: Any) -> None:
    value = random_task(9, 2, 2)
    file = tmp_path / "unseen.json"
    file.write_text(json.dumps(value))
    tab = open_page(arc.single.as_uri())
    tab.locator("#file").set_input_files(file)
    tab.locator("#views").fill("1")
    found = solved(tab)
    assert json.loads(found["answer"]) == attempts(arc, to_task("unseen", value, ""), 1)
    assert found["said"].startswith("the model was not trained on this task")
    tab.locator("#file").set_input_files(file)
    pairs = {"train": value["train"], "test": [{"input": value["test"][0]["input"]}]}
    tab.locator("#text").fill(json.dumps(pairs))
    tab.locator("#use").click()
    tab.locator("#views").fill("16")
    assert len(json.loads(solved(tab)["answer"])) == 1


ONE = '{"input": [[1]], "output": [[1]]}'
NO_TASKS = {
    "{": "the pasted task is not JSON: ",
    "[]": 'the pasted task is no task: an object with the lists "train" and "test" is needed',
    "null": "the pasted task is no task",
    '{"train": [], "test": []}': "the pasted task has no train pair, but at least one is needed",
    f'{{"train": [{{"input": [[1]], "output": [[1], [1, 2]]}}], "test": [{ONE}]}}': "has rows of different lengths",
    f'{{"train": [{{"input": [[1]], "output": [[10]]}}], "test": [{ONE}]}}': "not one of the numbers 0 to 9",
    f'{{"train": [{{"input": [[1]]}}], "test": [{ONE}]}}': "the output of the pasted task, train pair 1 is no grid",
    f'{{"train": [{{"input": [[1,1,1,1,1,1,1]], "output": [[1]]}}], "test": [{ONE}]}}': "the model's canvas has 6",
    f'{{"train": [{", ".join([ONE] * 101)}], "test": [{ONE}]}}': "has 101 train pairs, but at most 100 are accepted",
    "[" * 1_000_001: "has 1,000,001 characters, but a task has at most 1,000,000",
}


def test_what_is_no_task_is_refused_in_a_sentence(arc: Site, open_page: Any) -> None:
    tab = open_page(arc.single.as_uri())
    for text, sentence in NO_TASKS.items():
        tab.locator("#text").evaluate("(field, text) => { field.value = text; }", text)
        tab.locator("#use").click()
        assert sentence in tab.locator("#verdict.bad").text_content()
    assert "not trained" not in solved(tab)["said"], "the task before is still there"


# -- by hand ----------------------------------------------------------------------------------------------------------


def test_a_board_is_filled_by_keyboard_and_read_aloud(sudoku: Site, open_page: Any) -> None:
    tab = open_page(sudoku.single.as_uri())
    tab.get_by_role("button", name="Clear").click()
    grid = tab.get_by_role("grid")
    assert "arrow keys" in grid.get_attribute("aria-label")
    assert grid.get_by_role("row").count() == 4
    assert grid.get_by_role("gridcell").count() == 16
    assert tab.locator("[role=gridcell][tabindex='0']").count() == 1, "one stop for the Tab key"
    tab.locator("[role=gridcell]").first.focus()
    for key in ("ArrowUp", "3", "ArrowRight", "ArrowDown", "4", "End", "2", "Home", "x"):
        tab.keyboard.press(key)
    assert tab.locator("#text").input_value() == "3....4.2........"
    assert tab.evaluate("document.activeElement.ariaLabel") == "row 2, column 1: blank"
    assert tab.locator("[role=gridcell][tabindex='0']").count() == 1
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Delete")
    assert tab.locator("#text").input_value() == "3......2........"
    tab.locator("[role=gridcell]").nth(1).click()
    tab.get_by_role("toolbar").get_by_role("button", name="3", exact=True).click()
    assert tab.locator("#text").input_value() == "33.....2........"
    assert tab.locator(".cell.broken").count() == 2
    assert tab.get_by_role("gridcell", name="row 1, column 2: 3, breaks a rule").count() == 1
    tab.get_by_role("button", name="Solve").click()
    assert tab.get_by_role("status").text_content() == "the puzzle is unsolvable: row 1 has 3 more than once"


def test_every_control_has_a_name_and_is_reached_by_the_tab_key(sudoku: Site, open_page: Any) -> None:
    tab = open_page(sudoku.single.as_uri())
    solved(tab)
    reached = []
    tab.locator("[role=gridcell][tabindex='0']").focus()
    for _ in range(16):
        tab.keyboard.press("Tab")
        reached.append(tab.evaluate("document.activeElement.id || document.activeElement.textContent"))
    controls = ["solve", "example", "clear", "play", "step", "text", "use", "depth", "views", "halt", "select"]
    assert reached == ["1", "2", "3", "4", "⌫", *controls]
    for name in ("Most steps", "Views, up to 16", "Early exit", "Answer of", "supervision step", "The puzzle as text"):
        assert tab.get_by_label(name).count() == 1, name


def test_a_maze_is_drawn_with_the_pointer_and_answered_as_by_torch(maze: Site, open_page: Any) -> None:
    tab = open_page(maze.single.as_uri())
    tab.locator("#clear").click()
    cells = [tab.locator("[role=gridcell]").nth(k).bounding_box() for k in range(25)]
    middles = [(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in cells]
    tab.mouse.move(*middles[5])
    tab.mouse.down()
    for k in (6, 7, 8):
        tab.mouse.move(*middles[k])
    tab.mouse.up()
    for name, k in (("start", 3), ("start", 0), ("goal", 10), ("free", 5), ("wall", 24)):
        tab.get_by_role("toolbar").get_by_role("button", name=name).click()
        tab.mouse.click(*middles[k])
    text = "S.....###.G............. #".replace(" ", "")
    assert tab.locator("#text").input_value() == text
    assert tab.get_by_role("button", name="wall").get_attribute("aria-pressed") == "true"
    for solution in Solver(maze.module, maze.data).solve([text, *boards(maze, 3)]):
        found = solved(tab, maze.data.write(solution.question))
        assert (found["answer"], found["steps"]) == (maze.data.write(solution.answer), solution.steps)
        assert found["said"].startswith(
            "obeys" if solution.verdict.valid else f"breaks the rules: {solution.verdict.reason}"
        )


WRONG_BOARDS = {
    "12": "the puzzle 12 has 2 cells, but the model takes 16",
    ".2..4..13......9": 'has "9" in cell 16; accepted are ',
    "": "there is no puzzle; type it into the board or paste it below",
    "1" * 1_000_000: "has 1,000,000 cells, but the model takes 16",
    " " * 1_000_000 + "1": "the puzzle 1 has 1 cell, but the model takes 16",
    "<img src=x onerror=alert(1)>": "cells, but the model takes 16",
}
PASTED = [".2.. | 4..1\n-----+-----\n3... | ...4", " .2..\n 4..1\n 3...\n ...4 ", ".2..\r\n4..1\r\n3...\r\n...4\r\n"]


def test_boards_are_pasted_as_people_keep_them_and_wrong_ones_refused(sudoku: Site, open_page: Any) -> None:
    tab = open_page(sudoku.single.as_uri())
    for text in PASTED:
        tab.locator("#text").fill(text)
        tab.locator("#use").click()
        assert tab.locator("#text").input_value() == ".2..4..13......4"
    for text, sentence in WRONG_BOARDS.items():
        tab.locator("#text").evaluate("(field, text) => { field.value = text; }", text)
        tab.locator("#use").click()
        assert sentence in tab.locator("#verdict.bad").text_content()
        assert len(tab.locator("#verdict").text_content()) < 250
    assert tab.locator(".cell.given").count() == 5, "the board is as it was"


# -- the rules --------------------------------------------------------------------------------------------------------


def test_rules_in_the_browser_are_those_of_the_families(browser: Any, tmp_path: Any) -> None:
    from importlib.resources import files

    from trm.export.description import rules_as_data

    rng, cases = np.random.default_rng(0), []
    sudoku = Sudoku(size=4, train_size=20, val_size=0, test_size=20, clues=(8, 8), workers=0)
    maze = Maze(5, train_size=20, val_size=0, test_size=20, min_moves=4, workers=0)
    for data in (sudoku, maze):
        for question, label in zip(*data.samples("test")[:2], strict=True):
            for changes in range(4):
                answer = label.copy()
                answer[rng.integers(len(label), size=changes)] = rng.integers(1, data.vocab_size, changes)
                cases.append((rules_as_data(data), question, answer, data.verify(question, answer).reason))
    tab = browser.new_page()
    tab.add_script_tag(content=files("trm.page").joinpath(SOURCES[0]).read_text(encoding="utf-8"))
    given = [[rules, question.tolist(), answer.tolist()] for rules, question, answer, _ in cases]
    found = tab.evaluate("cases => cases.map(([rules, question, answer]) => broken(rules, question, answer))", given)
    assert found == [reason for *_, reason in cases]
    assert len(set(found)) > 10
    tab.close()
