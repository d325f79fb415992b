"""Links lead to files and headings that exist; the tree that prose names is there."""

import re
from pathlib import Path

import pytest
from pages import FENCED, LINKED, PROSE, anchors, name
from paths import REPO

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", LINKED, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target}: no such file"
        assert file.is_relative_to(REPO), f"{target}: outside the project"
        if anchor:
            assert anchor in anchors(file), f"{target}: no such heading"


@pytest.mark.parametrize("page", PROSE, ids=name)
def test_paths_in_the_text_exist(page: Path) -> None:
    named = re.findall(
        r"`((?:trm|configs|benchmarks|docs|tests|notebooks)/[\w./-]*)`", page.read_text(encoding="utf-8")
    )
    missing = [path for path in named if "NAME" not in path and "QUESTION" not in path and not (REPO / path).exists()]
    assert not missing


def test_every_page_is_reached_from_the_index() -> None:
    index = (REPO / "docs" / "index.md").read_text()
    navigation = (REPO / "mkdocs.yml").read_text()
    for page in (REPO / "docs").glob("*.md"):
        assert page.name == "index.md" or f"({page.name})" in index, page.name
        assert f": {page.name}" in navigation, page.name


def test_every_configuration_is_listed() -> None:
    listed = (REPO / "configs" / "README.md").read_text()
    for path in (REPO / "configs").glob("*.yaml"):
        assert f"| `{path.name}` |" in listed
