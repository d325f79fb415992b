"""What ``trm tune`` writes: the configuration with the winner's settings, a table of what it tried, and a picture."""

import copy
import csv
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from trm.analysis.plots import doublings, legend, panels, percent, shares, svg
from trm.data.atomic import atomic_write
from trm.errors import counted
from trm.trace.theme import BLUE, LINE, ORANGE
from trm.tune.space import Settings
from trm.tune.trial import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def files(output: Path) -> tuple[Path, Path, Path]:
    """Return the names of configuration, table and picture."""
    return output, output.with_suffix(".csv"), output.with_suffix(".svg")


def write_table(path: Path, rows: Sequence[Row], settings: Sequence[Settings]) -> None:
    """Write a line for every row, with the settings of its candidate; empty cells are as in the configuration."""
    names = list(dict.fromkeys(name for candidate in settings for name in candidate.named()))
    with atomic_write(path, "w") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*Row._fields, *names])
        for row in rows:
            own = settings[row.candidate].named()
            values = ["" if isinstance(value, float) and math.isnan(value) else value for value in row]
            shown = [round(value, 4) if isinstance(value, float) else value for value in values]
            table.writerow([*shown, *(own.get(name, "") for name in names)])


def finding(rows: Sequence[Row], best: Row) -> str:
    """Return in a sentence how the best candidate compares with the configuration itself."""
    tried = len({row.candidate for row in rows})
    own = [row for row in rows if row.candidate == 0 and not row.failure]
    puzzles = counted(best.puzzles, "validation puzzle")
    solved = f"solves {percent(best.solved)} of {puzzles} ({percent(best.cells)} of their cells)"
    if best.candidate == 0:
        return f"None of {counted(tried - 1, 'other candidate')} beats the configuration, which {solved}"
    if not own:
        return f"Candidate {best.candidate} of {tried} {solved}"
    last = own[-1]
    at = (
        f"after {last.seconds:.3g} s, where it left, {percent(last.solved)} of {last.puzzles:,} ({percent(last.cells)})"
    )
    return f"Candidate {best.candidate} of {tried} {solved} after {best.seconds:.3g} s; the configuration {at}"


def draw(rows: Sequence[Row], best: Row) -> "Figure":
    """Draw the score of each candidate against the time it has had, one line each."""
    scored = [row for row in rows if not row.failure]
    with panels(1, finding(rows, best)) as (figure, [axes]):
        for candidate in dict.fromkeys(row.candidate for row in scored):
            own = [row for row in scored if row.candidate == candidate]
            name, colour, above = "others", LINE, 1
            if candidate == best.candidate:
                name, colour, above = f"candidate {candidate}, the best", BLUE, 3
            elif candidate == 0:
                name, colour, above = "the configuration itself", ORANGE, 2
            places = [row.seconds for row in own], [100 * row.score for row in own]
            axes.plot(*places, label=name, color=colour, marker="o", zorder=above)
        shares(axes, "y", "mean of solved and cells", [100 * row.score for row in scored])
        doublings(axes, "seconds of the process", [row.seconds for row in scored])
        legend(figure, 3)
    return figure


def write_picture(path: Path, rows: Sequence[Row], best: Row) -> None:
    """Write the picture of ``draw`` as SVG."""
    with atomic_write(path, "w") as file:
        file.write(svg(draw(rows, best)))


def configuration(settings: Mapping[str, Any], winner: Settings, name: str) -> dict[str, Any]:
    """Return a configuration with the settings of a candidate, and a run folder of its own.

    Args:
        settings: the configuration.
        winner: the settings of the candidate.
        name: name of the run's folder, beside that of the configuration.
    """
    found: dict[str, Any] = copy.deepcopy(dict(settings))
    for part, values in (("model", winner.model), ("data", winner.data)):
        group = found.setdefault(part, {})
        group = group.setdefault("init_args", {}) if "class_path" in group else group
        group.update(values)
    logger = found.get("trainer", {}).get("logger")
    arguments = logger.get("init_args", {}) if isinstance(logger, dict) else {}
    if "save_dir" in arguments:
        arguments["save_dir"] = str(Path(arguments["save_dir"]).with_name(name))
    return found


def write_configuration(path: Path, header: Sequence[str], content: Mapping[str, Any]) -> None:
    """Write a configuration below a comment."""
    with atomic_write(path, "w") as file:
        lines = (part for line in header for part in textwrap.wrap(line, 118, subsequent_indent=" " * 11) or [""])
        comment = "".join(f"# {line}".rstrip() + "\n" for line in lines)
        file.write(comment + yaml.safe_dump(dict(content), sort_keys=False))
