"""Pictures of measurements: the same file for the same numbers, no colliding texts, axes that say where they break."""

from itertools import combinations
from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib import rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from trm.analysis import calibration, halting, robustness, scaling
from trm.analysis.plots import TEXT, panels, percent, shares, svg

LONG = {"checkpoint": "runs/a-run-with-quite-a-long-name-of-its-own/checkpoints/last.ckpt", "family": "trm.data.Sudoku"}


def drawings() -> dict[str, Figure]:
    """A picture of each analysis, of numbers that crowd at the ends of the axes."""
    fixed = [halting.Point("fixed", t, 0.945 + t / 1000, t, t / 16) for t in range(1, 17)]
    rules = [halting.Point(rule, 0.5, 0.999, 1.01, 0.06) for rule in ("head", "stable", "rules")]
    noisy = [scaling.Point(16, k, noise, select, 0.991 + k / 1e4, 0.9, k, k) for k in (1, 2, 4) for noise in (0.0, 0.5)
             for select in scaling.DRAWN]  # fmt: skip
    places = [("intact", 0), *((kind, strength) for kind in robustness.STYLES for strength in (1, 16))]
    corrupted = [robustness.Point(*place, 100, 0.5, 0.5, 0.5, 0.99, [0.9] * 3, 0.9, 2.0, 0.51, 0.5) for place in places]
    reliability = [{"puzzles": 1, "confidence": 0.3, "solved": 0.0}, {"puzzles": 999, "confidence": 1.0, "solved": 1.0}]
    curve = [{"coverage": 0.5, "wrong": 0.0}, {"coverage": 1.0, "wrong": 0.001}]
    return {
        "halting": halting.draw({**LONG, "puzzles": 1000, "points": [p._asdict() for p in fixed + rules]}),
        "scaling": scaling.draw({**LONG, "puzzles": 1000, "points": [p._asdict() for p in noisy]}),
        "robustness": robustness.draw({**LONG, "points": [p._asdict() for p in corrupted]}),
        "calibration": calibration.draw({**LONG, "puzzles": 1000, "solved": 0.999, "ece": 0.2, "aurc": 0.0001,
                                         "reliability": reliability, "risk_coverage": curve}),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["halting", "scaling", "robustness", "calibration"])
def test_texts_have_one_size_and_none_lies_over_another_or_outside(name: str) -> None:
    figure = drawings()[name]
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    assert {text.get_fontsize() for text in texts} == {TEXT}
    boxes = [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in texts]
    assert len(boxes) > 10
    for (one, box), (other, another) in combinations(boxes, 2):
        assert not box.overlaps(another), f"{one!r} lies over {other!r}"
    for text, box in boxes:
        assert figure.bbox.x0 <= box.x0, text
        assert box.x1 <= figure.bbox.x1, text


def test_the_same_numbers_make_the_same_file_which_holds_everything_itself() -> None:
    for (name, one), other in zip(drawings().items(), drawings().values(), strict=True):
        text = svg(one)
        assert text == svg(other), name
        assert "<text" not in text  # glyphs are paths: no font is needed
        assert "matplotlib.org" not in text  # nor a version or a date named
        linked = [value for node in ElementTree.fromstring(text).iter() for key, value in node.attrib.items()
                  if key.endswith("href")]  # fmt: skip
        assert all(value.startswith("#") for value in linked)


def test_drawing_leaves_the_settings_of_the_program_alone() -> None:
    before: dict[str, Any] = dict(rcParams)
    drawings()
    assert dict(rcParams) == before


@pytest.mark.parametrize(
    ("values", "limits", "name"),
    [
        ([0, 50, 99], (0, 100), "solved, %"),
        ([79, 100], (0, 100), "solved, %"),
        ([91, 100], (90, 100), "solved, % (axis begins at 90)"),
        ([100], (90, 100), "solved, % (axis begins at 90)"),
        ([80, 85], (80, 100), "solved, % (axis begins at 80)"),
        ([0, 0.4], (0, 1), "solved, % (axis ends at 1)"),
        ([0], (0, 1), "solved, % (axis ends at 1)"),
        ([3, 20], (0, 20), "solved, % (axis ends at 20)"),
    ],
)
def test_an_axis_of_shares_is_whole_or_says_where_it_breaks(
    values: list[float], limits: tuple[float, float], name: str
) -> None:
    with panels(1, "finding") as (_, [axes]):
        shares(axes, "y", "solved", values)
    ticks = axes.get_yticks()
    assert (ticks[0], ticks[-1], axes.get_ylabel()) == (*limits, name)
    assert axes.get_ylim()[0] < limits[0] < limits[1] < axes.get_ylim()[1]


def test_shares_are_written_in_percent() -> None:
    written = [percent(share).replace("\N{NO-BREAK SPACE}", " ") for share in (0, 0.0001, 0.0234, 0.9, 1)]
    assert written == ["0 %", "< 0.1 %", "2.3 %", "90.0 %", "100 %"]
