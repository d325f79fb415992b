"""The page of a recording: one HTML file that needs no server and no network."""

import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm.data import PuzzleData
from trm.data.samples import Tokens
from trm.trace.record import Recording
from trm.trace.theme import broken, look, scripts, stylesheet

LEVELS = 64
"""Levels of confidence, a letter for each."""
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" + "".join(map(chr, range(192, 384)))
"""A letter for each token and each level of confidence."""


def page(data: PuzzleData, recording: Recording, question: Tokens, label: Tokens | None, title: str, about: str) -> str:
    """Return the HTML of a page that shows a recording.

    Args:
        data: the family.
        recording: the recording, of at least one frame.
        question: tokens, (L,).
        label: the known answer, with 0 in cells without a label, (L,); None if unknown.
        title: title of the page.
        about: text beside the title.
    """
    template = files("trm.trace").joinpath("page.html").read_text(encoding="utf-8")
    template = template.replace("__LOOK__", stylesheet()).replace("__SCRIPTS__", scripts())
    content = json.dumps(_content(data, recording, question, label, title, about), separators=(",", ":"))
    return template.replace("__DATA__", content.replace("<", "\\u003c"))


def _content(
    data: PuzzleData, recording: Recording, question: Tokens, label: Tokens | None, title: str, about: str
) -> dict[str, Any]:
    seen = look(data)
    # The cells beyond the label were not trained, so they are not shown.
    shown = [question, *((frame.answer for frame in recording.steps) if label is None else [label])]
    rows, columns = used(shown, seen.rows, seen.columns) if seen.apart else (seen.rows, seen.columns)

    def cropped(board: NDArray[Any]) -> NDArray[Any]:
        return board.reshape(seen.rows, seen.columns)[:rows, :columns].ravel()

    verdicts = [data.verify(question, frame.answer) for frame in recording.frames]
    reasons = sorted({verdict.reason for verdict in verdicts})
    return {
        "alphabet": ALPHABET[: max(LEVELS, len(seen.symbols))],
        "title": title,
        "about": about,
        "rows": rows,
        "columns": columns,
        "box": seen.box,
        "symbols": seen.symbols,
        "colours": seen.colours,
        "apart": seen.apart,
        "cut": rows * columns < len(question),
        "question": letters(cropped(question)),
        "given": "".join("01"[int(cell)] for cell in cropped(data.givens(question))),
        "label": None if label is None else letters(cropped(label)),
        "reasons": reasons,
        "explained": round(recording.explained, 3),
        "frames": [
            {
                "step": frame.step,
                "cycle": frame.cycle,
                "update": frame.update,
                "answer": letters(cropped(frame.answer)),
                "sure": letters((cropped(frame.confidence.numpy()) * (LEVELS - 1)).round().astype(int)),
                "broken": np.flatnonzero(cropped(broken(data, question, frame.answer))).tolist(),
                "halting": round(frame.halting, 4),
                "stops": frame.stops,
                "change": float(f"{frame.change:.3g}"),
                "drift": [round(place, 3) for place in frame.drift],
                "valid": verdict.valid,
                "reason": reasons.index(verdict.reason),
            }
            for frame, verdict in zip(recording.frames, verdicts, strict=True)
        ],
    }


def letters(numbers: Iterable[int]) -> str:
    """Return a letter for each number below 256, as one string."""
    return "".join(ALPHABET[number] for number in numbers)


def used(boards: list[Tokens], rows: int, columns: int) -> tuple[int, int]:
    """Return the numbers of rows and columns that are not only padding in all boards, (L,) each."""
    filled: NDArray[np.bool_] = np.any(np.stack(boards) > 0, axis=0).reshape(rows, columns)
    height, width = (int(np.flatnonzero(filled.any(axis=axis)).max(initial=0)) + 1 for axis in (1, 0))
    return height, width
