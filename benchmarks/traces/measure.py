"""Make the example pages of ``trm trace``: ``make bench-traces``.

Trains the models that runs/ lacks. With --checkpoint the pages are of another model of that family.
"""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

sys.path.append(str(Path(__file__).parents[1]))

from models import MODELS, trained

from trm.analysis.report import table
from trm.cli.main import main as trm

HERE = Path(__file__).parent


class Page(NamedTuple):
    """An example."""

    model: str
    puzzle: str
    shows: str
    gif: bool = False


PAGES = {
    "sudoku-9x9": Page(
        "sudoku-9x9-half-trained",
        "test:31",
        "20 cells are wrong after the first supervision step, none after the twelfth",
        gif=True,
    ),
    "maze-8x8": Page(
        "maze-8x8",
        "test:215",
        "no path for three supervision steps at a halting probability down to 2 %; the fourth changes 19 cells",
    ),
    "sudoku-4x4": Page(
        "sudoku-4x4-plain",
        "test:127",
        "wrong after the first supervision step at a halting probability of 59 %, where an early exit would stop",
    ),
    "arc": Page("arc-6x6", "test:7", "a view of ARC-AGI-1 task 0d3d703e: wrong for three steps, right in the fourth"),
}


def tables() -> dict[str, str]:
    """Return the list of the pages."""
    rows = [
        [f"[{name}.html]({name}.html)", page.shows, f"`trm fit {MODELS[page.model]}`", f"`{page.puzzle}`"]
        for name, page in PAGES.items()
    ]
    return {"pages": table(["page", "what it shows", "model", "puzzle"], rows)}


def main(argv: list[str] | None = None) -> int:
    """Write the pages, and the animation of the one that has one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", nargs="+", choices=PAGES, default=[*PAGES], help="those to make (default: all)")
    parser.add_argument("--checkpoint", help="show this checkpoint or model of the zoo instead of training one")
    parser.add_argument("--puzzle", help="show this one, as trm trace takes it")
    parser.add_argument("--into", type=Path, default=HERE, help="folder of the pages (default: this one)")
    given = parser.parse_args(argv)
    for name in given.pages:
        page = PAGES[name]
        output = given.into / f"{name}.html"
        animation = ["--gif", str(output.with_suffix(".gif"))] if page.gif else []
        checkpoint = given.checkpoint or trained(page.model)
        if status := trm(["trace", checkpoint, given.puzzle or page.puzzle, "-o", str(output), *animation, "--force"]):
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
