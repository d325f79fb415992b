"""MkDocs hook: what pages link to outside docs/ is part of the site if it is a picture, else in the repository."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPO = Path(__file__).parents[1]
OUTSIDE = re.compile(r"(!?)\[([^\]]*)\]\(\.\./([^)\s#]+)([^)\s]*)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pictures of the measurements that a page shows."""
    text = "".join(path.read_text(encoding="utf-8") for path in (REPO / "docs").glob("*.md"))
    for name in sorted({match[3] for match in OUTSIDE.finditer(text) if match[1]}):
        files.append(File.generated(config, name, abs_src_path=str(REPO / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links out of docs/ to the repository; where its address is not known, leave their text."""

    def elsewhere(match: re.Match[str]) -> str:
        picture, text, target, anchor = match.groups()
        if picture:
            return f"![{text}]({target})"
        return f"[{text}]({config.repo_url.rstrip('/')}/blob/HEAD/{target}{anchor})" if config.repo_url else text

    return OUTSIDE.sub(elsewhere, markdown)
