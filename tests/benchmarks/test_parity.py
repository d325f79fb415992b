"""benchmarks/equality.md tells of every comparison with the official code, and what it tells holds."""

import equality
import pytest
from official import Pair


def told(page: str) -> list[list[str]]:
    """The cells of the table under its head."""
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")][2:]


def fixed(cells: list[str]) -> list[str]:
    """Leave out what may depend on the machine."""
    return cells[: equality.MEASURED.start] + cells[equality.MEASURED.stop :]


def test_the_page_tells_of_every_comparison_and_all_are_within_their_tolerance() -> None:
    rows, committed = equality.measure(), told(equality.PAGE.read_text())
    assert not [row for row in rows if row.beyond]
    assert [fixed(cells) for cells in committed] == [fixed(cells) for cells in told(equality.page(rows))]
    for row, cells in zip(rows, committed, strict=True):
        assert float(cells[equality.COLUMNS.index("largest difference")]) <= row.atol + row.rtol * row.largest, cells


def row(*pairs: Pair) -> equality.Row:
    return equality.Row.of(equality.Part("anything", pairs, {"gradients": "grad"}), "gradients", [*pairs])


def test_numbers_that_are_too_far_apart_or_not_numbers_are_counted() -> None:
    far = row(
        Pair("gradients", [1.0, 2.0], [1.05, 2.5], atol=0.1, rtol=0.01),
        Pair("gradients", [float("nan"), 3.0], [1.0, -3.0], atol=0.1, rtol=0.01),
    )
    assert (far.count, far.largest, far.beyond) == (4, 3.0, 3)
    near = row(Pair("gradients", [1.0, 2.0], [1.05, 2.0], atol=0.1, rtol=0.01))
    assert near.beyond == 0
    assert near.cells == ["gradients", "anything", "2", "2", "5.0e-02", "1e-01 + 1e-02 x", "4.3e-07"]


def test_where_no_difference_is_allowed_the_numbers_that_differ_are_told() -> None:
    exact = row(Pair("gradients", [True, True, False], [True, False, True]))
    assert exact.beyond == 2
    assert exact.cells[3:6] == ["1", "2", "exact"]


def test_a_quantity_has_one_tolerance() -> None:
    with pytest.raises(ValueError, match="too many values"):
        row(Pair("gradients", [1.0], [1.0]), Pair("gradients", [1.0], [1.0], atol=0.1))
