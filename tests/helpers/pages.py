"""Reads the pages of prose: their code blocks, headings, links and text."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

from paths import REPO

PAGES = [REPO / "README.md", *sorted((REPO / "docs").glob("*.md"))]
"""Whose every code block is run."""
PROSE = [*PAGES, REPO / "CONTRIBUTING.md", REPO / "configs" / "README.md"]
LINKED = [*PROSE, REPO / "CHANGELOG.md", *sorted((REPO / "benchmarks").glob("**/README.md"))]

FENCED = re.compile(r"^```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
GENERATED = re.compile(r"<!-- table: [\w/-]+ -->.*?<!-- end -->", flags=re.DOTALL)
INDENTED = re.compile(r"^    .*$", flags=re.MULTILINE)


class Block(NamedTuple):
    """A fenced code block."""

    language: str
    title: str
    """Name of the file that it is, or nothing."""
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(*match.groups(default="")) for match in FENCED.finditer(page.read_text(encoding="utf-8"))]


def name(page: Path) -> str:
    return str(page.relative_to(REPO))


def prose(page: Path) -> str:
    """Return a page without code blocks and generated tables."""
    text = page.read_text(encoding="utf-8")
    for pattern in (FENCED, GENERATED, INDENTED):
        text = pattern.sub("", text)
    return text


def paragraphs(page: Path) -> str:
    """Return the prose of a page without the rows of tables and inline code, on one line."""
    lines = (line for line in prose(page).splitlines() if not line.startswith("|"))
    return " ".join(re.sub(r"`[^`]*`", "", " ".join(lines)).split())


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site name them."""
    titles = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text(encoding="utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def commands(block: str) -> list[list[str]]:
    """Return the commands of a shell block in words, where && ends one, and a pipe is a word."""
    found: list[list[str]] = []
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while "&&" in words:
            found.append(words[: words.index("&&")])
            words = words[words.index("&&") + 1 :]
        found.append(words)
    return [words for words in found if words]
