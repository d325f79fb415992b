"""Fill the marked tables of README.md, docs and the pages of the benchmarks from committed results: ``make tables``.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``. NAME is one of ``LEDGER_TABLES``, which come from
``ledger.csv``; "benchmarks", the index of the benchmarks; or QUESTION/TABLE, a key of ``tables()`` in the
``measure.py`` of that folder. Shares of the ledger are percentages with their 95 % interval.
"""

import argparse
import importlib.util
import json
import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

from trm.analysis.report import table
from trm.reproduce.experiments import EXPERIMENTS
from trm.reproduce.ledger import Row, read
from trm.zoo import card

HERE = Path(__file__).parent
REPO, LEDGER = HERE.parent, HERE / "ledger.csv"
PAGES = (
    REPO / "README.md",
    *sorted((REPO / "docs").rglob("*.md")),
    HERE / "README.md",
    *sorted(HERE.glob("*/README.md")),
)
DETAILS = ("unanimous", "pass@5", "pass@10", "pass@100", "pass@1000")
"""Metrics that the ledger alone has."""
DEPTHS = (1, 16, 64, 256)
VIEWS = 8
MARKED = re.compile(r"(<!-- (?:table|ledger): ([\w/-]+) -->\n).*?(?=<!-- end -->)", flags=re.DOTALL)
FINDING = re.compile(r"\*\*Finding\.\*\*\s+(.*?\.)\s", flags=re.DOTALL)


def questions() -> list[str]:
    """Return the names of the folders that hold a benchmark."""
    return sorted(path.parent.name for path in HERE.glob("*/measure.py"))


@cache
def measure(question: str) -> ModuleType:
    """Import the ``measure.py`` of a benchmark; its neighbours are found as when it is run."""
    path = HERE / question / "measure.py"
    spec = importlib.util.spec_from_file_location(f"measure_{question.replace('-', '_')}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there for their own module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


def experiments(rows: Sequence[Row]) -> list[list[str]]:
    """Return the experiments of the paper, measured here or not."""
    lines = [["table", "model", "published", "repeated by others", "measured here", "parameters", "`trm reproduce`"]]
    for name, experiment in EXPERIMENTS.items():
        metric = experiment.protocol.metric
        here = [result(row) for row in rows if row.claim.partition("/")[0] == name and row.metric == metric]
        said = [experiment.tables, experiment.row, experiment.published, experiment.spread]
        lines.append([*said, "; ".join(here), f"{experiment.parameters:,}", f"`{name}`"])
    return lines


def zoo(rows: Sequence[Row]) -> list[list[str]]:
    """Return what the models that come with the package solve."""
    mine = [row._replace(claim=row.claim.removeprefix("zoo/")) for row in rows if row.claim.startswith("zoo/")]
    return claims(sorted(mine, key=lambda row: row.claim))  # sorted() keeps the order of the metrics


def models(rows: Sequence[Row]) -> list[list[str]]:
    """Return, for the front page, what the models that come with the package solve, by depth and with views."""
    head = ["model", "puzzles", "solved, %", "in 1/16/64/256 steps", "8 views, checked"]
    lines = [[*head, "test puzzles", "training puzzles", "seed", "core-hours"]]
    for row in sorted(rows, key=lambda row: row.claim):
        name, _, boards = row.claim.removeprefix("zoo/").partition("/")
        if not row.claim.startswith("zoo/") or row.metric not in ("solved", "pass@2"):
            continue
        puzzles = boards.replace("-", " ") or card(name).splitlines()[2].partition(": solves")[0]
        deeper, views = ("", "") if boards or row.metric != "solved" else by_depth(name)
        sizes = [f"{int(size):,}" if size else "" for size in (row.puzzles, row.training_puzzles)]
        spent = {"": row.core_hours, "GPU ": row.device_hours}
        hours = ", ".join(f"{kind}{float(number):.2g}" for kind, number in spent.items() if number)
        lines.append([f"`{name}`", puzzles, result(row), deeper, views, *sizes, row.seed, hours])
    return lines


def by_depth(name: str) -> tuple[str, str]:
    """Return the shares of a model of the zoo in ``DEPTHS`` steps, and by the first valid of ``VIEWS`` answers."""
    points = json.loads((HERE / "zoo" / f"{name}.json").read_text())["scaling"]["points"]
    shares = {(p["depth"], p["breadth"], p["select"]): f"{100 * p['solved']:.1f}" for p in points}
    views = [share for (_, breadth, select), share in shares.items() if (breadth, select) == (VIEWS, "verifier")]
    return "/".join(shares.get((depth, 1, "vote"), "-") for depth in DEPTHS), next(iter(views), "")


def paper(rows: Sequence[Row]) -> list[list[str]]:
    """Return, for the front page, the first model of the paper for each protocol: cost, published, measured."""
    lines = [["model", "command", "hardware and time, published", "published", "measured here"]]
    first = {experiment.protocol.title: name for name, experiment in reversed(EXPERIMENTS.items())}
    for name, experiment in EXPERIMENTS.items():
        protocol = experiment.protocol
        if first[protocol.title] != name:
            continue  # one of those that "experiments" lists
        here = [result(row) for row in rows if row.claim == name and row.metric == protocol.metric]
        command = f"`trm fit --config configs/{experiment.config}.yaml`"
        published = f"{experiment.published} % of {protocol.test}"
        cost = protocol.cost.partition(";")[0]
        lines.append([experiment.title, command, cost, published, "; ".join(here) or "unfinished"])
    return lines


def pairs(rows: Sequence[Row]) -> list[list[str]]:
    """Return what was learned from files of pairs."""
    mine = [row._replace(claim=row.claim.removeprefix("pairs/")) for row in rows if row.claim.startswith("pairs/")]
    return [["file", *line[1:]] if line[0] == "model" else line for line in claims(mine)]


def others(rows: Sequence[Row]) -> list[list[str]]:
    """Return the claims that are neither of the zoo, nor of files of pairs, nor experiments of the paper."""
    return claims([row for row in rows if row.claim.partition("/")[0] not in ("zoo", "pairs", *EXPERIMENTS)])


def claims(rows: Sequence[Row]) -> list[list[str]]:
    """Return a line per claim and a column per metric that any of them has."""
    metrics = [metric for metric in dict.fromkeys(row.metric for row in rows) if metric not in DETAILS]
    metrics.sort(key=lambda metric: metric not in ("solved", "valid"))  # those of most families first
    lines = [["model", *metrics, "test puzzles", "training puzzles", "seed", "steps", "core-hours", "device-hours"]]
    for claim in dict.fromkeys(row.claim for row in rows):
        mine = {row.metric: row for row in rows if row.claim == claim}
        any_row = next(iter(mine.values()))
        results = [result(mine[metric]) if metric in mine else "" for metric in metrics]
        sizes = [f"{int(size):,}" if size else "" for size in (any_row.puzzles, any_row.training_puzzles)]
        costs = [f"{float(cost):.2g}" if cost else "" for cost in (any_row.core_hours, any_row.device_hours)]
        steps = f"{int(any_row.steps):,}" if any_row.steps else ""
        lines.append([f"`{claim}`", *results, *sizes, any_row.seed, steps, *costs])
    kept = [column for column in zip(*lines, strict=True) if any(column[1:])]  # no column of blanks
    return [list(line) for line in zip(*kept, strict=True)]


def result(row: Row) -> str:
    """Return a measured share in percent, with its interval; a measure that is no share as it is."""
    if not row.low:
        return f"{float(row.value):.3g}"
    value, low, high = (f"{100 * float(share):.1f}" for share in (row.value, row.low, row.high))
    return f"{value} ({low} to {high})"


LEDGER_TABLES: dict[str, Callable[[Sequence[Row]], list[list[str]]]] = {
    "experiments": experiments,
    "models": models,
    "paper": paper,
    "zoo": zoo,
    "pairs": pairs,
    "others": others,
}


def index() -> str:
    """Return the table of the benchmarks: the title of each page, the first sentence of its finding, its command."""
    lines = []
    for question in questions():
        page = (HERE / question / "README.md").read_text(encoding="utf-8")
        title, finding = page.partition("\n")[0].removeprefix("# "), FINDING.search(page)
        assert finding, f"benchmarks/{question}/README.md has no paragraph that begins with **Finding.**"
        sentence = " ".join(finding[1].split())
        lines.append([f"[{title}]({question}/README.md)", sentence, f"`make bench-{question}`"])
    return table(["question", "finding", "command"], lines)


def filled(text: str, rows: Sequence[Row]) -> str:
    """Return a text whose marked tables are those of the results.

    Raises:
        SystemExit: if a name is that of no table.
    """

    def fill(match: re.Match[str]) -> str:
        question, _, name = match[2].partition("/")
        if question in LEDGER_TABLES and not name:
            header, *lines = LEDGER_TABLES[question](rows) or [[]]
            return match[1] + (table(header, lines) if lines else "")
        if question == "benchmarks" and not name:
            return match[1] + index()
        known = measure(question).tables() if question in questions() else {}
        if name not in known:
            names = [f"{question}/{name}" for name in known] or [*LEDGER_TABLES, "benchmarks", *questions()]
            raise SystemExit(f"there is no table {match[2]!r}, but only {', '.join(names)}")
        return match[1] + known[name]

    return MARKED.sub(fill, text)


def main(argv: list[str] | None = None) -> int:
    """Fill the tables of all pages; the index comes last, as it quotes the others."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(argv)
    rows = read(LEDGER)
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if (new := filled(text, rows)) != text:
            page.write_text(new, encoding="utf-8")
            print(f"changed: {page.relative_to(REPO)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
