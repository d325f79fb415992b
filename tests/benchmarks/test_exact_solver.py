"""What a network saves an exact solver: the study runs from boards to table."""

import json
from pathlib import Path

import hybrid
import pytest
from tables import write_tables


def test_every_order_of_search_is_measured_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tables(tmp_path, "Sudoku")
    monkeypatch.setattr(hybrid, "RESULT", tmp_path / "hybrid.json")
    monkeypatch.setattr(hybrid, "RATING", 1)
    monkeypatch.setattr(hybrid, "MADE_UP", (0.8,))
    hybrid.main("sudoku-9x9", str(tmp_path / "test.csv"), 2)
    measured = json.loads((tmp_path / "hybrid.json").read_text())
    assert (measured["boards"], measured["hard"], len(measured["rows"])) == (2, 10, 10)
    text = (tmp_path / "hybrid.md").read_text()
    assert text.count("\n|") == 2 + 10
    assert "| trained | surest cell | 0.0 ± 0.0 | 0 | 0 |" in text, "40 clues leave nothing to guess"
