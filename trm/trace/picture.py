"""Pictures of boards, for animations and for TensorBoard."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

from trm.data import PuzzleData
from trm.data.samples import Tokens
from trm.trace.page import used
from trm.trace.theme import ANSWER, GIVEN, INK, LINE, PAPER, WRONG, Theme, look


def picture(
    data: PuzzleData,
    question: Tokens,
    answer: Tokens,
    label: Tokens | None = None,
    confidence: NDArray[np.float32] | None = None,
    side: int = 240,
) -> Image.Image:
    """Draw a board: givens on grey, colours as strong as a token is probable, wrong cells with a red corner.

    Args:
        data: the family.
        question: tokens, (L,).
        answer: tokens, (L,).
        label: the known answer, with 0 in cells without a label, (L,); None if unknown.
        confidence: probability of each cell's token, (L,).
        side: approximate length of the longer side in pixels.
    """
    seen = look(data)
    boards = [question, answer if label is None else label]
    rows, columns = used(boards, seen.rows, seen.columns) if seen.apart else (seen.rows, seen.columns)
    size = max(3, side // max(rows, columns))
    image = Image.new("RGB", (columns * size + 1, rows * size + 1), PAPER)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=0.6 * size)
    given = data.givens(question)
    for cell in (r * seen.columns + c for r in range(rows) for c in range(columns)):
        left, top = cell % seen.columns * size, cell // seen.columns * size
        token, sure = int(answer[cell]), 1.0 if confidence is None or given[cell] else float(confidence[cell])
        colour = seen.colours[token]
        background = _mixed(colour, PAPER, 0.25 + 0.75 * sure) if colour else GIVEN if given[cell] else PAPER
        draw.rectangle((left, top, left + size, top + size), fill=background, outline=LINE if size > 6 else None)
        ink = PAPER if colour else INK if given[cell] else _mixed(ANSWER, PAPER, 0.25 + 0.75 * sure)
        draw.text((left + size / 2, top + size / 2), seen.symbols[token], fill=ink, font=font, anchor="mm")
        if label is not None and label[cell] and label[cell] != token:
            corner = max(2, size // 4)
            draw.polygon([(left + size, top), (left + size - corner, top), (left + size, top + corner)], fill=WRONG)
    _frame(draw, seen, rows, columns, size)
    return image


def beside(images: list[Image.Image], captions: list[str]) -> Image.Image:
    """Return pictures side by side, each with a caption above."""
    gap, above, font = 12, 18, ImageFont.load_default(size=12)
    width = sum(image.width for image in images) + gap * (len(images) + 1)
    row = Image.new("RGB", (width, max(image.height for image in images) + above + gap), PAPER)
    draw, left = ImageDraw.Draw(row), gap
    for image, caption in zip(images, captions, strict=True):
        draw.text((left, 2), caption, fill=INK, font=font)
        row.paste(image, (left, above))
        left += image.width + gap
    return row


def _frame(draw: ImageDraw.ImageDraw, seen: Theme, rows: int, columns: int, size: int) -> None:
    for row in range(0, rows + 1, seen.box[0]):
        draw.line((0, row * size, columns * size, row * size), fill=INK)
    for column in range(0, columns + 1, seen.box[1]):
        draw.line((column * size, 0, column * size, rows * size), fill=INK)


def _mixed(colour: str, other: str, share: float) -> tuple[int, ...]:
    pairs = zip(ImageColor.getrgb(colour), ImageColor.getrgb(other), strict=True)
    return tuple(round(share * a + (1 - share) * b) for a, b in pairs)
