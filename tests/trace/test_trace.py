"""``trm trace``: the recording is what the model does, and page, animation and terminal show it."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browsing import chromium
from paths import REPO
from PIL import Image, ImageColor
from ranks import Guess
from tasks import random_tasks, write_tasks
from training import BOARDS, SMALL

from trm.cli.main import main
from trm.cli.puzzles import find_puzzle
from trm.data import ARC, Maze, PuzzleData, Sudoku
from trm.data.samples import Tokens
from trm.errors import InputError
from trm.inference import HaltingContext, think
from trm.module import TRMModule
from trm.nn.variants import NetworkName
from trm.trace.page import ALPHABET, letters, page, used
from trm.trace.picture import picture
from trm.trace.record import Recording, principal_directions, probabilities, record
from trm.trace.theme import ANSWER, CHANGED, WRONG, broken, look

CHECKPOINT = "runs/quickstart/checkpoints/last.ckpt"
BOARD = "1...........2..."
STEPS, CYCLES, LATENT = 3, 2, 2


@pytest.fixture
def data(tmp_path: Path) -> Sudoku:
    return Sudoku(4, train_size=20, val_size=5, test_size=5, clues=(8, 8), root=str(tmp_path))


def module_of(data: PuzzleData, **arguments: Any) -> TRMModule:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_heads": 2, "multiple_of": 8, "cycles": CYCLES, "latent_steps": LATENT}
    module = TRMModule(data.vocab_size, data.seq_len, data.num_puzzles, **{**sizes, "puzzle_tokens": 2, **arguments})
    torch.nn.init.normal_(module.core.halting_head.weight)
    return module.eval()


def recorded(module: TRMModule, data: PuzzleData) -> Recording:
    samples = data.samples("test")
    return record(module, samples.inputs[0], int(samples.puzzle_ids[0]), STEPS)


# -- the recording ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "arguments"),
    [
        ("trm", {}),
        ("trm", {"loss": "softmax", "mixer": "mlp", "positions": "none"}),
        ("trm", {"gradient_steps": 1, "damping": 0.1, "pass_noise": 0.1}),
        ("two_networks", {}),
        ("hrm", {"continue_loss": True}),
        ("single_z", {}),
        ("multi_scale", {}),
        ("symmetric", {"num_symbols": 4}),
        ("direct", {"cycles": 1, "latent_steps": 1}),
    ],
)
def test_the_end_of_every_step_is_what_thinking_comes_to(
    network: NetworkName, arguments: dict[str, Any], data: Sudoku
) -> None:
    module, samples = module_of(data, network=network, **arguments), data.samples("test")
    recording = recorded(module, data)
    inputs, puzzles = torch.from_numpy(samples.inputs[:1]).int(), torch.from_numpy(samples.puzzle_ids[:1])
    assert [frame.step for frame in recording.steps] == [1, 2, 3]
    for frame in recording.steps:
        answers = think(module.core, inputs, puzzles, frame.step)
        assert np.array_equal(frame.answer, answers.tokens[0])
        assert frame.halting == pytest.approx(answers.halt.sigmoid().item(), rel=1e-5)
        expected = probabilities(answers.logits, module.hparams["loss"]).amax(-1)[0]
        torch.testing.assert_close(frame.confidence, expected.float())
    done: list[bool] = []

    def watch(context: HaltingContext) -> torch.Tensor:
        done.extend(context.output.done.tolist())
        return torch.zeros_like(context.output.done)

    think(module.core, inputs, puzzles, STEPS, watch)
    assert [frame.stops for frame in recording.steps] == done
    assert "update" not in vars(module.core)


def test_every_update_is_there_and_shows_the_answer_it_would_lead_to(data: Sudoku) -> None:
    module, question = module_of(data), data.samples("test").inputs[0]
    recording = recorded(module, data)
    places = [(frame.step, frame.cycle, frame.update) for frame in recording.frames]
    assert places == [(s, c, u) for s in (1, 2, 3) for c in (1, 2) for u in (1, 2, 0)]
    core = module.core
    with torch.no_grad():
        x = core.embed(torch.from_numpy(question)[None].int(), core.puzzle_embedding(torch.zeros(1).int()))
        y, z = core.start(1)
        new = core.network(z + (y + x))
        answer = core.network(y + new)
        expected = core.answer_head(answer[:, core.puzzle_tokens :]).argmax(-1)[0]
    first = recording.frames[0]
    assert np.array_equal(first.answer, expected)
    assert first.change == pytest.approx(float((new - z).norm() / z.expand_as(new).norm()), rel=1e-4)
    last_latent, its_answer = recording.frames[1], recording.frames[2]
    assert np.array_equal(last_latent.answer, its_answer.answer)
    assert last_latent.drift == pytest.approx(its_answer.drift)


def test_drift_keeps_distances_of_points_in_a_plane() -> None:
    generator = torch.Generator().manual_seed(0)
    plane = torch.linalg.qr(torch.randn(50, 2, generator=generator))[0]
    points = torch.randn(6, 2, generator=generator) * torch.tensor([5.0, 1.0])
    places, explained = principal_directions(points @ plane.T + 3)
    torch.testing.assert_close(torch.cdist(places, places), torch.cdist(points, points).double(), atol=1e-4, rtol=1e-4)
    assert explained == pytest.approx(1)
    assert places[:, 0].std() > places[:, 1].std()
    assert principal_directions(torch.ones(1, 4)) == (pytest.approx(torch.zeros(1, 2)), 1.0)


# -- the page ---------------------------------------------------------------------------------------------------------


def families(tmp_path: Path) -> dict[str, PuzzleData]:
    write_tasks(random_tasks(), tmp_path / "arc")
    return {
        "sudoku": Sudoku(6, train_size=20, val_size=5, test_size=5, clues=(20, 20), root=str(tmp_path)),
        "maze": Maze(7, train_size=20, val_size=5, test_size=5, root=str(tmp_path)),
        "arc": ARC(subsets=["training", "evaluation"], source=str(tmp_path / "arc"), augmentations=1, val_size=1),
    }


@pytest.fixture
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.mark.parametrize("family", ["sudoku", "maze", "arc"])
def test_in_a_browser_the_sliders_show_each_frame(family: str, browser: Any, tmp_path: Path) -> None:
    data = families(tmp_path)[family]
    samples, recording = data.samples("test"), recorded(module_of(data), data)
    file = tmp_path / "trace.html"
    file.write_text(page(data, recording, samples.inputs[0], samples.labels[0], "a <title>", "about"), encoding="utf-8")
    problems: list[str] = []
    tab = browser.new_page()
    tab.on("console", lambda message: problems.append(message.text))
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("request", lambda request: None if request.url.startswith("file:") else problems.append(request.url))
    tab.goto(f"{file.as_uri()}#frame=2")
    content = json.loads(tab.locator("#data").text_content() or "")

    def board() -> list[int]:
        cells = tab.locator("#boards figure:first-child .cell")
        return cells.evaluate_all("cells => cells.map(cell => Number(cell.dataset.token))")

    def expected(frame: int) -> list[int]:
        side = math.isqrt(data.seq_len)
        whole = recording.frames[frame].answer.reshape(side, side)
        return whole[: content["rows"], : content["columns"]].ravel().tolist()

    assert tab.title() == "a <title>"
    assert board() == expected(2)
    tab.locator("#frame").fill("7")
    assert board() == expected(7)
    tab.wait_for_url("**#frame=7")
    assert tab.locator(".would, #strip .here:not(.answer)").count() == 2
    marked = tab.locator("#boards figure:first-child .cell").evaluate_all(
        "cells => cells.flatMap((cell, k) => cell.classList.contains('broken') ? [k] : [])"
    )
    assert marked == content["frames"][7]["broken"]
    assert tab.locator("#where").text_content() == (
        "Step 2 of 3, cycle 1, update 2 of the latent: the answer it would lead to"
    )
    tab.locator("#step").fill("3")
    assert board() == expected(len(recording.frames) - 1)
    tab.evaluate("document.activeElement.blur()")
    tab.keyboard.press("ArrowLeft")
    assert board() == expected(len(recording.frames) - 2)
    tab.keyboard.press("ArrowUp")
    assert board() == expected(11)
    assert tab.locator(".would").count() == 0
    tab.locator("#strip i").first.click()
    assert board() == expected(6)
    tab.locator("#course").click(position={"x": 1, "y": 20})
    assert board() == expected(0)
    tab.keyboard.press("End")
    tab.keyboard.press("ArrowLeft")
    halting = recording.frames[-2].halting
    assert tab.locator("#halting").text_content() == f"{100 * halting:.1f} %"
    assert problems == []


def page_of(data: PuzzleData, folder: Path) -> tuple[str, int]:
    """Write the page of a puzzle of a family, and return its address and its number of frames."""
    samples, recording = data.samples("test"), recorded(module_of(data), data)
    file = folder / "trace.html"
    file.write_text(page(data, recording, samples.inputs[0], samples.labels[0], "title", "about"), encoding="utf-8")
    return file.as_uri(), len(recording.frames)


def test_the_page_opens_on_the_first_step_plays_once_and_stops(data: Sudoku, browser: Any, tmp_path: Path) -> None:
    address, frames = page_of(data, tmp_path)
    tab = browser.new_page()
    tab.clock.install(time=0)
    tab.clock.pause_at(1000)  # time goes on only when the test says so
    tab.goto(address)
    assert (tab.locator("#frame").input_value(), tab.locator("#play").text_content()) == ("0", "Pause")
    tab.clock.run_for(60_000)
    assert (tab.locator("#frame").input_value(), tab.locator("#play").text_content()) == (str(frames - 1), "Play")
    tab.locator("#play").click()
    assert tab.locator("#frame").input_value() == "0"
    tab.clock.run_for(300)
    tab.keyboard.press("ArrowRight")  # whoever touches a control has the page to himself
    here = tab.locator("#frame").input_value()
    tab.clock.run_for(60_000)
    assert (tab.locator("#frame").input_value(), tab.locator("#play").text_content()) == (here, "Play")
    assert 0 < int(here) < frames - 1


def test_readers_who_want_no_motion_see_the_last_step(data: Sudoku, browser: Any, tmp_path: Path) -> None:
    address, frames = page_of(data, tmp_path)
    tab = browser.new_page(reduced_motion="reduce")
    tab.clock.install()
    tab.goto(address)
    tab.clock.run_for(60_000)
    assert (tab.locator("#frame").input_value(), tab.locator("#play").text_content()) == (str(frames - 1), "Play")


def test_all_controls_are_reached_by_the_keyboard(data: Sudoku, browser: Any, tmp_path: Path) -> None:
    address, frames = page_of(data, tmp_path)
    tab = browser.new_page(reduced_motion="reduce")
    tab.goto(address)
    reached = []
    for _ in range(4):
        tab.keyboard.press("Tab")
        reached.append(tab.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert reached == ["step", "frame", "play", "SUMMARY"]
    tab.locator("#frame").focus()
    tab.keyboard.press("ArrowLeft")
    assert tab.locator("#frame").input_value() == str(frames - 2)
    tab.clock.install()
    tab.locator("#play").focus()
    tab.keyboard.press("Space")
    assert tab.locator("#play").text_content() == "Pause"


@pytest.mark.parametrize("family", ["sudoku", "maze", "arc"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_a_desktop_and_a_phone(width: int, family: str, browser: Any, tmp_path: Path) -> None:
    address, _ = page_of(families(tmp_path)[family], tmp_path)
    tab = browser.new_page(viewport={"width": width, "height": 800}, reduced_motion="reduce")
    tab.goto(address)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    board, controls = (tab.locator(name).bounding_box() for name in ("#boards .board >> nth=0", ".controls"))
    assert board["y"] + board["height"] <= controls["y"] < 800  # all in view, none over another


def test_page_pictures_and_plots_share_their_colours(data: Sudoku) -> None:
    samples = data.samples("test")
    html = page(data, recorded(module_of(data), data), samples.inputs[0], None, "title", "about")
    for name, colour in {"accent": ANSWER, "wrong": WRONG, "warm": CHANGED}.items():
        assert f"--{name}: {colour};" in html
    assert "__" not in html.split("</style>")[0]


def test_a_page_holds_everything_itself(data: Sudoku) -> None:
    samples = data.samples("test")
    html = page(data, recorded(module_of(data), data), samples.inputs[0], None, "</script><b>", "about")
    assert not re.search(r"(src|href)\s*=|url\(|@import|fetch\(", html)
    assert "</script><b>" not in html
    content = json.loads(re.search(r'id="data">(.*?)</script>', html, re.DOTALL)[1])  # type: ignore[index]
    assert content["title"] == "</script><b>"
    assert [ALPHABET.index(letter) for letter in content["question"]] == samples.inputs[0].tolist()
    assert content["label"] is None


def test_cells_that_break_a_rule_are_told_from_those_that_are_wrong() -> None:
    sudoku, maze = Sudoku(4), Maze(3, min_moves=2)
    question, answer = sudoku.parse(".3...2.1...4...."), sudoku.parse("1342423131242413")
    assert not broken(sudoku, question, answer).any()
    answer[[1, 4]] = 5, 1  # a given 3 becomes a 4, which stands in row, column and box already; a 4 becomes a blank
    assert np.flatnonzero(broken(sudoku, question, answer)).tolist() == [1, 2, 4, 13]
    question = maze.parse("S.#.G#.#.")
    answer = question.copy()
    answer[[1, 3, 2, 6]] = 5, 5, 2, 1  # two cells of a path; a wall becomes free and a free cell a wall
    assert np.flatnonzero(broken(maze, question, answer)).tolist() == [2, 6]


def test_a_family_of_ones_own_is_a_grid_of_what_it_writes() -> None:
    class Own(Guess):
        seq_len = 12

        def write(self, tokens: Tokens) -> str:
            return "".join("?abcdefgh"[token] for token in tokens)

    assert look(Own())[:4] == (3, 4, (3, 4), list("?abcdefgh"[: Own.vocab_size]))


def test_a_vocabulary_of_any_size_is_written_as_letters() -> None:
    assert len({*letters(range(256))}) == 256


def test_a_canvas_is_cut_to_what_question_and_known_answer_fill(tmp_path: Path) -> None:
    data = families(tmp_path)["arc"]
    samples, recording = data.samples("test"), recorded(module_of(data), data)
    boards = (samples.inputs[0], samples.labels[0])
    height, width = used(list(boards), 30, 30)
    html = page(data, recording, *boards, "", "")
    content = json.loads(re.search(r'id="data">(.*?)</script>', html, re.DOTALL)[1])  # type: ignore[index]
    assert (content["rows"], content["columns"], content["cut"]) == (height, width, True)
    assert height < 30
    assert len(content["frames"][0]["answer"]) == height * width


# -- pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["sudoku", "maze", "arc"])
def test_pictures_mark_wrong_cells_alone(family: str, tmp_path: Path) -> None:
    data = families(tmp_path)[family]
    samples = data.samples("test")
    question, label = samples.inputs[0], samples.labels[0]
    wrong = label.copy()
    cell = int(np.flatnonzero((label > 0) & ~data.givens(question))[0])
    wrong[cell] = label[cell] - 1
    right = np.asarray(picture(data, question, label, label))
    assert np.array_equal(right, np.asarray(picture(data, question, label)))
    marked = (np.asarray(picture(data, question, wrong, label)) == ImageColor.getrgb(WRONG)).all(-1)
    assert marked.any()
    assert not (right == ImageColor.getrgb(WRONG)).all(-1).any()
    faint = np.asarray(picture(data, question, label, confidence=np.zeros(len(label), dtype=np.float32)))
    assert faint.mean() > right.mean()


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    trainer = ["--trainer.max_steps=2", "--trainer.limit_val_batches=0", "--trainer.enable_progress_bar=false"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["fit", f"--config={REPO}/configs/quickstart.yaml", *trainer, *BOARDS, *SMALL]) == 0
    return folder


def test_the_command_writes_page_and_animation_and_draws_in_the_terminal(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(trained)
    files = ["-o", "trace.html", "--gif=trace.gif"]
    assert main(["trace", CHECKPOINT, "test:1", *files, "--terminal", "--depth=3"]) == 0
    printed = capsys.readouterr().out
    assert [line.split(",")[0] for line in printed.splitlines() if line.startswith("step")] == [
        "step 1",
        "step 2",
        "step 3",
    ]
    assert "\033" not in printed
    assert "__DATA__" not in Path("trace.html").read_text()
    with Image.open("trace.gif") as animation:
        assert animation.format == "GIF"
    assert main(["trace", CHECKPOINT, BOARD, *files]) == 2
    assert "trace.html exists already" in capsys.readouterr().err
    assert main(["trace", CHECKPOINT, BOARD, *files, "--force"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["test:10", "-o", "x.html"], "the test split has test:0 to test:9"),
        (["test:x", "-o", "x.html"], "the puzzle is test:x"),
        (["1..", "-o", "x.html"], "3 cells"),
        ([BOARD], "nothing to show the trace in"),
        ([BOARD, "--terminal", "--depth=-1"], "depth is -1"),
    ],
)
def test_what_cannot_be_traced_is_refused(
    arguments: list[str],
    message: str,
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(trained)
    assert main(["trace", CHECKPOINT, *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not Path("x.html").exists()


def test_a_puzzle_table_of_other_tasks_is_refused(tmp_path: Path) -> None:
    data = families(tmp_path)["arc"]
    with pytest.raises(InputError, match="the tasks have changed since"):
        find_puzzle(
            TRMModule(12, 900, data.num_puzzles + 1, hidden_size=16, num_heads=2, multiple_of=8), data, "test:0"
        )
