"""``make bench-parity``: its data have every comparison with the official code, within the tolerances of the tests."""

import json
from pathlib import Path
from typing import Any

import pytest
from fill_tables import measure as script
from official import Pair

parity = script("parity")


def fixed(cells: list[str]) -> list[str]:
    """Leave out what may depend on the machine."""
    return cells[: parity.MEASURED.start] + cells[parity.MEASURED.stop :]


def test_the_committed_data_have_every_comparison_and_all_are_within_their_tolerance(tmp_path: Path) -> None:
    rows = parity.measure()
    assert not [row for row in rows if row.beyond]
    committed = json.loads((parity.HERE / "data.json").read_text())
    assert committed["numbers"] == sum(row.count for row in rows)
    assert [fixed(cells) for cells in committed["rows"]] == [fixed(row.cells) for row in rows]
    for row, cells in zip(rows, committed["rows"], strict=True):
        assert float(cells[parity.COLUMNS.index("largest difference")]) <= row.atol + row.rtol * row.largest, cells


def test_measuring_writes_the_data_and_fails_beyond_a_tolerance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    near, far = row(Pair("gradients", [1.0], [1.0], atol=0.1)), row(Pair("gradients", [2.0], [1.0], atol=0.1))
    monkeypatch.setattr(parity, "measure", lambda: [near])
    assert parity.main([f"--into={tmp_path}"]) == 0
    assert json.loads((tmp_path / "data.json").read_text())["rows"] == [near.cells]
    monkeypatch.setattr(parity, "measure", lambda: [near, far])
    assert parity.main([f"--into={tmp_path}"]) == 1
    assert "beyond the tolerance: gradients of anything" in capsys.readouterr().err


def row(*pairs: Pair) -> Any:
    return parity.Row.of(parity.Part("anything", pairs, {"gradients": "grad"}), "gradients", [*pairs])


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
