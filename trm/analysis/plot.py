"""A small line plot as SVG, which needs no library and no fonts."""

import math
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 40, 50
COLOURS = ("#7f7f7f", "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e")


class Line(NamedTuple):
    """Points that belong together, and what to write beside some of them."""

    name: str
    points: list[tuple[float, float]]
    labels: list[str]
    """One for each point; empty for none."""


def plot(lines: list[Line], title: str, x_label: str, y_label: str, doubling: bool = False, right: int = RIGHT) -> str:
    """Draw lines of points over a common pair of axes; at most as many as there are ``COLOURS``.

    Names stand in the lower right corner; empty ones take no room. With ``doubling`` the horizontal axis is
    logarithmic, with a tick at powers of two. ``right`` is the width of the margin there, which can hold the labels of
    last points.
    """
    if doubling:
        lines = [line._replace(points=[(math.log2(x), y) for x, y in line.points]) for line in lines]
    xs, ys = (ticks([point[axis] for line in lines for point in line.points]) for axis in (0, 1))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - xs[0]) / (xs[-1] - xs[0]) * (WIDTH - LEFT - right)
        up = (y - ys[0]) / (ys[-1] - ys[0]) * (HEIGHT - TOP - BOTTOM)
        return round(LEFT + across, 1), round(HEIGHT - BOTTOM - up, 1)

    parts = [_text(WIDTH / 2, 22, title, "middle"), _text(WIDTH / 2, HEIGHT - 10, x_label, "middle")]
    parts.append(f'<g transform="translate(16 {HEIGHT / 2}) rotate(-90)">{_text(0, 0, y_label, "middle")}</g>')
    for x in xs:
        (across, bottom), (_, top) = place(x, ys[0]), place(x, ys[-1])
        parts += [
            _grid(across, bottom, across, top),
            _text(across, bottom + 18, f"{2**x if doubling else x:.3g}", "middle"),
        ]
    for y in ys:
        (left, up), (end, _) = place(xs[0], y), place(xs[-1], y)
        parts += [_grid(left, up, end, up), _text(left - 6, up + 4, f"{y:g}", "end")]
    for number, (line, colour) in enumerate(zip(lines, COLOURS, strict=False)):
        places = [place(*point) for point in line.points]
        path = " ".join(f"{across},{up}" for across, up in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for (across, up), label in zip(places, line.labels, strict=True):
            parts.append(f'<circle cx="{across}" cy="{up}" r="3" fill="{colour}"/>')
            if label:
                beside = (across + 6, "start") if across < WIDTH - 50 or right > RIGHT else (across - 6, "end")
                parts.append(_text(beside[0], up + 14, label, beside[1], colour))
        parts.append(_text(WIDTH - right - 8, HEIGHT - BOTTOM - 12 - 18 * number, line.name, "end", colour))
    view = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12"'
    background = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {view}>', background, *parts, "</svg>\n"])


def ticks(values: list[float]) -> list[float]:
    """Return four to ten round numbers, evenly spaced, of which the first and the last enclose the values."""
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 1, high + 1
    unit = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(unit * factor for factor in (1, 2, 5, 10) if (high - low) / (unit * factor) <= 8)
    return [round(k * step, 10) for k in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _text(x: float, y: float, text: str, anchor: str, colour: str = "black") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def _grid(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#dddddd"/>'
