"""The style of all pictures of measurements: one size of text, accessible colours, axes labelled where they end.

matplotlib is imported when something is drawn, and only its object-oriented interface is used.
"""

import io
import math
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trm.analysis.report import Facts
from trm.errors import counted
from trm.trace.theme import INK, LINE, PAPER, SOFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEXT = 10.0  # points
WIDTHS, HEIGHT = (7.2, 10.4), 4.6  # inches, of a figure of one and of two panels
LETTERS = 12  # of a title in an inch
MARGIN = 20  # percent: if all values are this close to 0 or 100, an axis of shares may omit the rest
STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": TEXT,
    **{f"{part}.labelsize": TEXT for part in ("axes", "xtick", "ytick")},
    **{f"{part}.titlesize": TEXT for part in ("axes", "figure")},
    "legend.fontsize": TEXT,
    "legend.frameon": False,
    "axes.titlelocation": "left",
    "axes.titlecolor": SOFT,
    **{f"axes.spines.{side}": False for side in ("top", "right", "bottom", "left")},
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    **{f"{axis}.{part}.size": 0 for axis in ("xtick", "ytick") for part in ("major", "minor")},
    **{f"{axis}.color": INK for axis in ("xtick", "ytick")},
    "text.color": INK,
    "axes.labelcolor": INK,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "svg.hashsalt": "trm",  # the same picture is the same file
    "svg.fonttype": "path",  # looks the same without the font
}


@contextmanager
def panels(count: int, finding: str) -> "Iterator[tuple[Figure, list[Axes]]]":
    """Open a figure with one or two panels side by side; the style applies within the block.

    Args:
        count: 1 or 2.
        finding: the title, which states the finding.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        width = WIDTHS[count - 1]
        figure = Figure(figsize=(width, HEIGHT), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)  # type: ignore[union-attr, call-arg]
        title = textwrap.fill(finding, int(LETTERS * width))
        figure.suptitle(title, x=0.1 / width, ha="left", weight="bold")
        yield figure, list(figure.subplots(1, count, squeeze=False)[0])


def svg(figure: "Figure") -> str:
    """Return a figure as SVG that needs no font and no network, the same text for the same figure."""
    from matplotlib import rc_context

    file = io.StringIO()
    with rc_context(STYLE):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def legend(figure: "Figure", columns: int) -> None:
    """Add one legend below a figure; equal names of two panels appear once."""
    named = {
        label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(named.values(), named.keys(), loc="outside lower left", ncols=columns)


def shares(axes: "Axes", axis: Literal["x", "y"], name: str, values: Iterable[float]) -> None:
    """Set an axis to 0 to 100 %, or to a part of that, stated in its label, if all values are close to one end.

    Args:
        axes: the panel.
        axis: which of its axes.
        name: label of the axis.
        values: all values drawn along it, in percent.
    """
    values = list(values)
    low, high, note = 0.0, 100.0, ""
    if min(values) >= 100 - MARGIN:
        low = 10.0 * min(9, math.floor(min(values) / 10))
        note = f" (axis begins at {low:g})"
    elif max(values) <= MARGIN:
        high = next(top for top in (1.0, 2.0, 5.0, 10.0, 20.0) if max(values) <= top)
        note = f" (axis ends at {high:g})"
    ticks, room = [low + (high - low) * k / 5 for k in range(6)], 0.03 * (high - low)  # room for markers at the ends
    axes.set(**{f"{axis}label": f"{name}, %{note}", f"{axis}ticks": ticks, f"{axis}lim": (low - room, high + room)})
    axes.set(**{f"{axis}ticklabels": [f"{tick:g}" for tick in ticks]})


def doublings(axes: "Axes", name: str, values: Iterable[float]) -> None:
    """Set the horizontal axis to a logarithmic scale, with at most eight ticks at powers of two around the values."""
    values = list(values)
    low, high = math.floor(math.log2(min(values))), math.ceil(math.log2(max(values)))
    ticks = [2.0**power for power in range(low, high + 1, 1 + (high - low) // 8)]
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks], minor=False)
    axes.minorticks_off()
    axes.set_xlabel(name)


def subject(facts: Facts, puzzles: int) -> str:
    """Return the line under a title: the model, the number of puzzles and their family."""
    *_, run, folder, name = ["", "", *Path(facts["checkpoint"]).parts]
    model = run if folder == "checkpoints" else name
    return textwrap.shorten(f"{model}: {counted(puzzles, 'test puzzle')}, {facts['family'].rpartition('.')[2]}", 55)


def percent(share: float) -> str:
    """Return a share of 0 to 1 in percent, with one decimal unless it is 0 or 1."""
    if 0 < share < 0.0005:
        return "<\N{NO-BREAK SPACE}0.1\N{NO-BREAK SPACE}%"
    return f"{100 * share:.{0 if share in (0, 1) else 1}f}\N{NO-BREAK SPACE}%"
