"""The README says what results/ says: its tables are generated, and each number in its text has a source."""

import re

import pytest
import quotes
import readme

from trm.reproduce.ledger import Row, read

README = readme.README.read_text(encoding="utf-8")
ROW = Row(*[""] * len(Row._fields))


def row(claim: str, metric: str = "solved", **fields: str) -> Row:
    return ROW._replace(claim=claim, metric=metric, **{"value": "0.5", "low": "0.4", "high": "0.6", **fields})


def test_the_tables_are_those_of_the_ledger() -> None:
    assert readme.MARKED.search(README)
    assert readme.filled(README, read(readme.LEDGER)) == README, "run make tables"


def test_the_numbers_in_the_text_have_sources_that_agree() -> None:
    assert quotes.problems(README, quotes.read_quotes(quotes.QUOTES)) == []


def test_a_measured_experiment_stands_beside_what_was_published() -> None:
    rows = [row("sudoku/seed-1"), row("sudoku", value="0.75"), row("sudoku", "valid"), row("sudoku-t2-n2", value="0.1")]
    lines = readme.filled("<!-- ledger: experiments -->\n<!-- end -->", rows).splitlines()
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
    assert readme.filled(text, rows).splitlines() == [
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
    assert readme.filled(empty, [row("mine")]) == empty
    with pytest.raises(SystemExit, match="no table 'zoos'"):
        readme.filled("<!-- ledger: zoos -->\n<!-- end -->", [])


def quote(phrase: str, key: str, **columns: str) -> dict[str, str]:
    return {
        **dict.fromkeys(quotes.COLUMNS, ""),
        "phrase": phrase,
        "file": "benchmarks/kills.json",
        "key": key,
        **columns,
    }


@pytest.mark.parametrize(
    ("text", "row", "problem"),
    [
        ("killed 60\ntimes", quote("killed {60} times", "kills"), None),
        ("killed 61 times", quote("killed {61} times", "kills"), "kills.json has 60, the README 61"),
        ("killed 60.4 times", quote("killed {60.4} times", "kills"), "has 60, the README 60.4"),
        ("dead 60 times", quote("killed {60} times", "kills"), "not once"),
        ("60 times, 60 times", quote("{60} times", "kills"), "not once"),
        ("killed 60 times", quote("killed 60 times", "kills"), "no braces"),
        ("20 % while", quote("{20} % while", "while writing a checkpoint", over="kills", times="100"), None),
        ("solved 12 %", quote("solved {12} %", "kills", file="published"), None),
        ("solved 12 % and 13 %", quote("solved {12} %", "kills", file="setting"), "has no row: solved 12 % and 13 %"),
        ("```\n13 %\n```\n<!-- ledger: zoo -->\n14 %\n<!-- end -->\nsolved {12} %", quote("solved", ""), "no braces"),
    ],
)  # fmt: skip
def test_a_quote_that_is_wrong_missing_or_without_a_row_is_told(
    text: str, row: dict[str, str], problem: str | None
) -> None:
    found = quotes.problems(text, [row])
    assert (found == []) if problem is None else any(re.search(re.escape(problem), told) for told in found)


def test_a_source_must_be_one_number() -> None:
    memory = "rows > n=6 & gradient_checkpointing=True > megabytes"
    assert quotes.source("benchmarks/memory.json", memory) == pytest.approx(495.169536)
    assert quotes.source("benchmarks/kills.json", "1 - kills") == -59
    assert quotes.source("benchmarks/equality.md", r"\| encoding \|.*?\| ([\d,]+) \|") == 12600
    for key in ("rows > n=7 > megabytes", "rows > n=6 > megabytes", "row"):
        with pytest.raises(SystemExit, match="not to one"):
            quotes.source("benchmarks/memory.json", key)
