"""The command ``trm trace``: how the answer to a puzzle develops, as a page, an animation, or in the terminal."""

import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from trm.errors import InputError, check_range, counted

if TYPE_CHECKING:
    from trm.data import PuzzleData
    from trm.data.samples import Tokens
    from trm.trace.record import Recording

FRAME = 700  # milliseconds a supervision step is shown for in an animated picture


def trace(
    checkpoint: str,
    puzzle: str,
    *,
    output: str = "",
    gif: str = "",
    terminal: bool = False,
    depth: int | None = None,
    delay: float = 0.5,
    force: bool = False,
    family: str = "",
    module: str = "",
) -> int:
    """Show how the answer to one puzzle develops, update by update.

    Args:
        checkpoint: a file written by ``trm fit``, or the name of a model; see ``trm zoo --help``.
        puzzle: one puzzle as for ``trm solve``, of an ARC task the first test input; test:N is sample N of the test
            split, counted from 0, with its label.
        output: the page to write, -o for short: one HTML file that works offline, with a slider over supervision
            steps and over the updates inside them.
        gif: an animated picture to write, with a frame per supervision step.
        terminal: show the answer after each supervision step in the terminal.
        depth: supervision steps; null for as many as in training.
        delay: seconds between the steps in the terminal.
        force: overwrite files that exist.
        family: the class the checkpoint was trained on if it is your own, such as my_puzzles.Futoshiki; of a mixture
            the name of the family, such as maze.
        module: your own classes of the module and its network, separated by a comma, such as my_nets.Gated.
    """
    from trm.checkpoints.load import load_checkpoint, resized
    from trm.cli.puzzles import find_puzzle
    from trm.data.atomic import atomic_write, check_ending, refuse_overwriting
    from trm.trace.page import page
    from trm.trace.picture import beside, picture
    from trm.trace.record import record
    from trm.zoo import local

    check_range("trace", 1, depth=depth)
    check_range("trace", 0, delay=delay)
    if not (output or gif or terminal):
        raise InputError("nothing to show the trace in: pass -o trace.html, --gif trace.gif or --terminal")
    for path in filter(None, (output, gif)):
        refuse_overwriting(path, force, local(checkpoint), puzzle)
    check_ending(output, "a page", ".html")
    check_ending(gif, "a GIF", ".gif")
    model, data = load_checkpoint(checkpoint, family, module)
    question, label, row = find_puzzle(model, data, puzzle)
    data = data.resized(len(question))
    model = resized(model, data)
    recording = record(model, question, row, depth or model.hparams["supervision_steps"])
    name = type(data).__name__
    if output:
        about = f"{Path(checkpoint).name}, {Path(puzzle).name if puzzle.endswith('.json') else puzzle}"
        html = page(data, recording, question, label, f"{name}: how a model solves it", about)
        with atomic_write(Path(output), "w") as file:
            file.write(html)
    if gif:
        boards = [
            beside([picture(data, question, frame.answer, label, frame.confidence.numpy(), 360)], [caption])
            for frame in recording.steps
            for caption in [f"step {frame.step}, halting probability {frame.halting:.0%}"]
        ]
        with atomic_write(Path(gif), "wb") as file:
            boards[0].save(file, "GIF", save_all=True, append_images=boards[1:], duration=FRAME, loop=0)
    for path in filter(None, (output, gif)):
        print(f"written: {path}")
    if terminal:
        _animate(data, recording, question, delay)
    return 0


def _animate(data: "PuzzleData", recording: "Recording", question: "Tokens", delay: float) -> None:
    """Print the answer of each supervision step; in a terminal, each replaces the one before."""
    live = sys.stdout.isatty()
    changes = [
        "",
        *(f", {counted(int((a.answer != b.answer).sum()), 'cell')} changed" for a, b in pairwise(recording.steps)),
    ]
    height = 0
    for frame, change in zip(recording.steps, changes, strict=True):
        rules = data.verify(question, frame.answer).in_words
        board = data.render_board(frame.answer, question, color=live)
        lines = [f"step {frame.step}, halting probability {frame.halting:.1%}{change}", *board.split("\n"), rules]
        if live and height:
            print(f"\033[{height}F\033[J", end="")
        print("\n".join(lines), flush=True)
        height = len(lines)
        if live:
            time.sleep(delay)
