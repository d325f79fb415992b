"""Prose has the field's words, and no measured percentage that is not in a generated table or labelled published."""

import re
from pathlib import Path

import pytest
from pages import PROSE, name, paragraphs, prose

PRIVATE = [
    r"of [\d,]+ weights",
    r"puzzle table",
    r"stops? thinking",
    r"Thought|Thinking|WHEN_DONE|Remembering|whole_file|made_once|shaken",
    r"more thinking",
    r"thinks? (longer|deeper|broader)",
    r"from (more|several) sides",
    r"surest",
    r"changed questions",
    r"trm (curve|scale|calibrate|probe)\b",
    r"\b(tells|knows|says|asks|is told)\b",
    r"likewise",
    r"of which",
]
PERCENTAGE = re.compile(r"\d %")


@pytest.mark.parametrize("page", PROSE, ids=name)
def test_no_private_words(page: Path) -> None:
    text = " ".join(prose(page).split())
    found = [match[0] for word in PRIVATE for match in re.finditer(word, text)]
    assert not found


@pytest.mark.parametrize("page", PROSE, ids=name)
def test_percentages_in_the_text_are_published_ones(page: Path) -> None:
    sentences = re.split(r"(?<=[.;:]) ", paragraphs(page))
    bare = [s for s in sentences if PERCENTAGE.search(s) and not re.search(r"published|intervals", s)]
    assert not bare
