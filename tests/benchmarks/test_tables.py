"""``make tables``: the tables of all pages are those of the committed results."""

from pathlib import Path

import fill_tables
import pytest

from trm.reproduce.ledger import Row, read

ROW = Row(*[""] * len(Row._fields))


def row(claim: str, metric: str = "solved", **fields: str) -> Row:
    return ROW._replace(claim=claim, metric=metric, **{"value": "0.5", "low": "0.4", "high": "0.6", **fields})


@pytest.mark.parametrize("page", fill_tables.PAGES, ids=lambda page: str(page.relative_to(fill_tables.REPO)))
def test_the_tables_of_a_page_are_those_of_the_results(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert fill_tables.filled(text, read(fill_tables.LEDGER)) == text, "run make tables"


def test_a_measured_experiment_stands_beside_what_was_published() -> None:
    rows = [row("sudoku/seed-1"), row("sudoku", value="0.75"), row("sudoku", "valid"), row("sudoku-t2-n2", value="0.1")]
    lines = fill_tables.filled("<!-- ledger: experiments -->\n<!-- end -->", rows).splitlines()
    assert lines[3].startswith(
        "| 1 | TRM, T = 3, n = 6 | 87.4 | 75.6 to 87 | 50.0 (40.0 to 60.0); 75.0 (40.0 to 60.0) |"
    )
    assert sum("(40.0 to 60.0)" in line for line in lines) == 2


def test_the_zoo_and_other_claims_have_tables_without_blank_columns() -> None:
    rows = [
        row("zoo/four", puzzles="1000", training_puzzles="10000", steps="1600", core_hours="0.0312"),
        row("zoo/four", "valid", value="1"),
        row("zoo/toy", "own", value="12.345", low="", high="", puzzles="", core_hours="2"),
        row("sudoku"),
        row("mine", seed="3"),
    ]
    text = "before <!-- ledger: zoo -->\nstale\n<!-- end --> between <!-- ledger: others -->\n<!-- end --> after"
    assert fill_tables.filled(text, rows).splitlines() == [
        "before <!-- ledger: zoo -->",
        "| model | solved | valid | own | test puzzles | training puzzles | steps | core-hours |",
        "|---|---|---|---|---|---|---|---|",
        "| `four` | 50.0 (40.0 to 60.0) | 100.0 (40.0 to 60.0) |  | 1,000 | 10,000 | 1,600 | 0.031 |",
        "| `toy` |  |  | 12.3 |  |  |  | 2 |",
        "<!-- end --> between <!-- ledger: others -->",
        "| model | solved | seed |",
        "|---|---|---|",
        "| `mine` | 50.0 (40.0 to 60.0) | 3 |",
        "<!-- end --> after",
    ]
    empty = "<!-- ledger: zoo -->\n<!-- end -->"
    assert fill_tables.filled(empty, [row("mine")]) == empty
    with pytest.raises(SystemExit, match="no table 'zoos'"):
        fill_tables.filled("<!-- ledger: zoos -->\n<!-- end -->", [])


def test_a_table_of_a_benchmark_is_found_by_its_folder_and_name() -> None:
    text = fill_tables.filled("<!-- table: memory/memory -->\nstale\n<!-- end -->", [])
    assert text == f"<!-- table: memory/memory -->\n{fill_tables.measure('memory').tables()['memory']}<!-- end -->"
    for name in ("memory/other", "memory", "other/memory"):
        with pytest.raises(SystemExit, match=f"no table '{name}'"):
            fill_tables.filled(f"<!-- table: {name} -->\n<!-- end -->", [])


def test_pages_are_filled_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    page.write_text("<!-- table: kills/kills -->\n<!-- end -->\n")
    other.write_text("no table")
    monkeypatch.setattr(fill_tables, "PAGES", [page, other])
    monkeypatch.setattr(fill_tables, "REPO", tmp_path)
    assert fill_tables.main([]) == 0
    assert "| kills | 60 |" in page.read_text()
    assert other.read_text() == "no table"


def test_the_front_page_shows_models_and_what_the_paper_takes() -> None:
    rows = [
        row("zoo/sudoku-4x4", puzzles="1000", training_puzzles="10000", seed="0", core_hours="0.0312"),
        row("zoo/sudoku-4x4", "valid"),
        row("zoo/sudoku-4x4/harder-boards"),
        row("maze", value="0.8"),
    ]
    text = "<!-- table: models -->\n<!-- end --><!-- table: paper -->\n<!-- end -->"
    models, paper = fill_tables.filled(text, rows).split("<!-- end -->")[:2]
    deeper, views = fill_tables.by_depth("sudoku-4x4")
    assert deeper.count("/") == 3
    assert models.splitlines()[3:] == [
        "| `sudoku-4x4` | 4x4 Sudoku of 4 to 8 clues | 50.0 (40.0 to 60.0) "
        f"| {deeper} | {views} | 1,000 | 10,000 | 0 | 0.031 |",
        "| `sudoku-4x4` | harder boards | 50.0 (40.0 to 60.0) |  |  |  |  |  |  |",
    ]
    measured = {line.split(" | ")[1]: line.split(" | ")[-1] for line in paper.splitlines()[3:]}
    assert measured.pop("`trm fit --config configs/maze.yaml`") == "80.0 (40.0 to 60.0) |"
    assert set(measured.values()) == {"unfinished |"}
