"""Check the numbers in the README's prose against where they come from, as results/quotes.csv says: ``make tables``.

A row of that file is a phrase of the README, with the number in braces, and its source:

* a measured number: ``file``, in this repository, and ``key`` in it. In a JSON file the key leads through names and
  positions, or through values that choose from a list, as in ``points > depth=16 & select=vote > solved``; in a table
  to a column of a row, as in ``claim=sudoku & metric=solved > value``; in any other text it is a regular expression
  with one group. ``1 - key`` is
  the rest to one. ``times`` turns units around, ``over``, another key, is what to divide by. ``command`` measures it.
* ``published``: what others say, and who does. ``setting``: something chosen, not measured. ``computed``: arithmetic.

A phrase stands in the README once, whatever its line breaks. Every percentage there must be in some phrase's braces.
"""

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

REPO = Path(__file__).parent.parent
QUOTES, README = REPO / "results" / "quotes.csv", REPO / "README.md"
COLUMNS = ["phrase", "file", "key", "over", "times", "command"]
KINDS = ("published", "setting", "computed")
NUMBER = re.compile(r"\{([^{}]*)\}")
PERCENTAGE = re.compile(r"(\d[\d,]*(?:\.\d+)?) %")


def problems(readme: str, quotes: list[dict[str, str]]) -> list[str]:
    """Return a sentence for each phrase that is wrong or not there, and each percentage without a row."""
    text, found = prose(readme), []
    quoted: set[int] = set()  # where the numbers in braces begin
    for quote in quotes:
        phrase = quote["phrase"]
        start, numbers = text.find(NUMBER.sub(r"\1", phrase)), list(NUMBER.finditer(phrase))
        if start < 0 or text.count(NUMBER.sub(r"\1", phrase)) > 1 or not numbers:
            found.append(f"stands in the README not once, or has no braces: {phrase}")
            continue
        if len(numbers) > 1 and quote["file"] not in KINDS:
            found.append(f"has several braces, but its row has one source: {phrase}")
            continue
        quoted |= {start + number.start() - 2 * index for index, number in enumerate(numbers)}
        if quote["file"] not in KINDS and (fault := difference(numbers[0][1], quote)):
            found.append(f"{phrase}: {fault}")
    bare = (match for match in PERCENTAGE.finditer(text) if match.start(1) not in quoted)
    return [*found, *(f"has no row: {text[max(0, match.start() - 60) : match.end()]}" for match in bare)]


def prose(readme: str) -> str:
    """Return the README on one line, without code blocks and generated tables."""
    readme = re.sub(r"^```.*?^```$", "", readme, flags=re.DOTALL | re.MULTILINE)
    readme = re.sub(r"<!-- ledger: .*?<!-- end -->", "", readme, flags=re.DOTALL)
    return " ".join(readme.split())


def difference(printed: str, quote: dict[str, str]) -> str:
    """Return how a printed number differs from its source beyond rounding; nothing if it does not."""
    value = source(quote["file"], quote["key"]) * float(quote["times"] or 1)
    if quote["over"]:
        value /= source(quote["file"], quote["over"])
    digits, _, exponent = printed.replace(",", "").lower().partition("e")
    unit = 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))
    near = abs(float(printed.replace(",", "")) - value) <= unit * (0.5 + 1e-6)
    return "" if near else f"{quote['file']} has {value:g}, the README {printed}"


def source(file: str, key: str) -> float:
    """Return the number that a key leads to in a file of the repository; for "1 - key", what is missing to one.

    Raises:
        SystemExit: if it leads to none, or to different ones.
    """
    path, rest = REPO / file, key.removeprefix("1 - ")
    if path.suffix == ".json":
        values = leaves(json.loads(path.read_text(encoding="utf-8")), rest.split(" > "))
    elif path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as table:
            values = leaves(list(csv.DictReader(table)), rest.split(" > "))
    else:
        values = [match.replace(",", "") for match in re.findall(rest, path.read_text(encoding="utf-8"))]
    if len(numbers := set(map(float, values))) != 1:
        raise SystemExit(f"{QUOTES.name}: {key!r} leads to {len(numbers)} numbers in {file}, not to one")
    return 1 - numbers.pop() if rest != key else numbers.pop()


def leaves(tree: Any, steps: list[str]) -> list[Any]:
    """Return what the steps of a key lead to."""
    if not steps:
        return [tree]
    step, *later = steps
    if isinstance(tree, dict):
        return leaves(tree[step], later) if step in tree else []
    if "=" not in step:
        return leaves(tree[int(step)], later)
    wanted = dict(pair.split("=", 1) for pair in step.split(" & "))
    chosen = [branch for branch in tree if all(str(branch.get(name)) == value for name, value in wanted.items())]
    return [leaf for branch in chosen for leaf in leaves(branch, later)]


def read_quotes(path: Path) -> list[dict[str, str]]:
    """Read the rows of the file."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        assert reader.fieldnames == COLUMNS, f"{path} must have the columns {COLUMNS}"
        return list(reader)


if __name__ == "__main__":
    found = problems(README.read_text(encoding="utf-8"), read_quotes(QUOTES))
    print("\n".join(found) or "every number is as its source has it")
    sys.exit(1 if found else 0)
