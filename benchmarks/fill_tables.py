"""Write the README's tables of results anew from results/ledger.csv: ``make tables``.

They stand between ``<!-- ledger: NAME -->`` and ``<!-- end -->``, where NAME is one of ``TABLES``. Results are
percentages with their 95 % interval; what was published, and what others got, has columns of its own.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from trm.analysis.report import table
from trm.reproduce.experiments import EXPERIMENTS
from trm.reproduce.ledger import Row, read

REPO = Path(__file__).parent.parent
README, LEDGER = REPO / "README.md", REPO / "results" / "ledger.csv"
DETAILS = ("unanimous", "pass@5", "pass@10", "pass@100", "pass@1000")
"""Metrics that the ledger alone has."""
MARKED = re.compile(r"(<!-- ledger: ([\w-]+) -->\n).*?(?=<!-- end -->)", flags=re.DOTALL)


def experiments(rows: Sequence[Row]) -> list[list[str]]:
    """Return the experiments of the paper, measured here or not."""
    table = [["table", "model", "published", "repeated by others", "measured here", "weights", "`trm reproduce`"]]
    for name, experiment in EXPERIMENTS.items():
        metric = experiment.protocol.metric
        here = [result(row) for row in rows if row.claim.partition("/")[0] == name and row.metric == metric]
        said = [experiment.tables, experiment.row, experiment.published, experiment.spread]
        table.append([*said, "; ".join(here), f"{experiment.weights:,}", f"`{name}`"])
    return table


def zoo(rows: Sequence[Row]) -> list[list[str]]:
    """Return what the models that come with the package solve."""
    mine = [row._replace(claim=row.claim.removeprefix("zoo/")) for row in rows if row.claim.startswith("zoo/")]
    return claims(sorted(mine, key=lambda row: row.claim))  # sorted() keeps the order of the metrics


def others(rows: Sequence[Row]) -> list[list[str]]:
    """Return the claims that are neither of the zoo nor experiments of the paper."""
    return claims([row for row in rows if row.claim.partition("/")[0] not in ("zoo", *EXPERIMENTS)])


def claims(rows: Sequence[Row]) -> list[list[str]]:
    """Return a line per claim and a column per metric that any of them has."""
    metrics = [metric for metric in dict.fromkeys(row.metric for row in rows) if metric not in DETAILS]
    metrics.sort(key=lambda metric: metric not in ("solved", "valid"))  # those of most families first
    table = [["model", *metrics, "test puzzles", "training puzzles", "seed", "steps", "core-hours", "device-hours"]]
    for claim in dict.fromkeys(row.claim for row in rows):
        mine = {row.metric: row for row in rows if row.claim == claim}
        any_row = next(iter(mine.values()))
        results = [result(mine[metric]) if metric in mine else "" for metric in metrics]
        sizes = [f"{int(size):,}" if size else "" for size in (any_row.puzzles, any_row.training_puzzles)]
        costs = [f"{float(cost):.2g}" if cost else "" for cost in (any_row.core_hours, any_row.device_hours)]
        table.append(
            [f"`{claim}`", *results, *sizes, any_row.seed, f"{int(any_row.steps):,}" if any_row.steps else "", *costs]
        )
    kept = [column for column in zip(*table, strict=True) if any(column[1:])]  # no column of blanks
    return [list(line) for line in zip(*kept, strict=True)]


def result(row: Row) -> str:
    """Return a measured share in percent, with its interval; a measure that is no share as it is."""
    if not row.low:
        return f"{float(row.value):.3g}"
    value, low, high = (f"{100 * float(share):.1f}" for share in (row.value, row.low, row.high))
    return f"{value} ({low} to {high})"


TABLES = {"experiments": experiments, "zoo": zoo, "others": others}


def filled(text: str, rows: Sequence[Row]) -> str:
    """Return a text whose marked tables are those of the ledger."""

    def filled_in(match: re.Match[str]) -> str:
        if match[2] not in TABLES:
            raise SystemExit(f"there is no table {match[2]!r}, but only {', '.join(TABLES)}")
        header, *lines = TABLES[match[2]](rows) or [[]]
        return match[1] + (table(header, lines) if lines else "")

    return MARKED.sub(filled_in, text)


if __name__ == "__main__":
    README.write_text(filled(README.read_text(encoding="utf-8"), read(LEDGER)), encoding="utf-8")
