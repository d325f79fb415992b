"""``make bench-exact-solver`` runs from boards to table."""

import json
from pathlib import Path

import pytest
from fill_tables import measure as script
from tables import write_tables

exact_solver = script("exact-solver")


def test_every_order_of_search_is_measured_and_tabulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tables(tmp_path, "Sudoku")
    monkeypatch.setattr(exact_solver, "HERE", tmp_path)
    monkeypatch.setattr(exact_solver, "RATING", 1)
    monkeypatch.setattr(exact_solver, "MADE_UP", (0.8,))
    assert exact_solver.main(["sudoku-9x9", str(tmp_path / "test.csv"), "--count=2", f"--into={tmp_path}"]) == 0
    measured = json.loads((tmp_path / "data.json").read_text())
    assert (measured["boards"], measured["hard"], len(measured["rows"])) == (2, 10, 10)
    (text,) = exact_solver.tables().values()
    assert text.count("\n") == 2 + 10
    assert "| trained | surest cell | 0.0 ± 0.0 | 0 | 0 |" in text, "40 clues leave nothing to guess"
