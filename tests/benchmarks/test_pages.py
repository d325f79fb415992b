"""Every benchmark has a page: a question, a finding whose numbers stand on the page, command, machine, date, data."""

import re
from pathlib import Path

import pytest
from fill_tables import FINDING, HERE, questions

PAGES = [HERE / question / "README.md" for question in questions()]
NUMBER = re.compile(r"(?<![\w.])[+-]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]\d+)?")


def paragraphs(page: Path) -> list[str]:
    return page.read_text(encoding="utf-8").split("\n\n")


def test_benchmarks_are_few_and_each_folder_is_one() -> None:
    folders = {path.name for path in HERE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(questions())
    assert len(folders) <= 16


@pytest.mark.parametrize("page", PAGES, ids=questions())
def test_a_page_has_the_question_the_finding_and_where_it_comes_from(page: Path) -> None:
    title, finding, *others = paragraphs(page)
    assert re.fullmatch(r"# .*\?", title)
    assert FINDING.match(finding)
    assert len(finding.splitlines()) <= 4
    facts = next(part for part in others if part.startswith("| | |"))
    assert f"`make bench-{page.parent.name}" in facts
    for fact in ("command", "machine", "date", "data"):
        assert re.search(rf"^\| [\w, ]*{fact}", facts, flags=re.MULTILINE), fact
    assert "<!-- table: " in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=questions())
def test_the_numbers_of_a_finding_stand_in_the_tables_of_its_page(page: Path) -> None:
    _, finding, *others = paragraphs(page)
    there = set(NUMBER.findall(" ".join(others)))
    assert set(NUMBER.findall(finding)) <= there


@pytest.mark.parametrize("page", [HERE / "README.md", *PAGES], ids=["index", *questions()])
def test_links_of_a_page_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_a_number_in_a_finding_is_found_with_its_sign_and_exponent() -> None:
    assert NUMBER.findall("6x6 boards: +38.5 ± 8.5 of 1,000, 7.3e-05 at n = 6, e7b6871.") == [
        "6", "+38.5", "8.5", "1,000", "7.3e-05", "6",
    ]  # fmt: skip
