"""Boards in text as people keep it: one a line or one row a line, among comments and rulers, or in columns of a CSV.

Nothing that may be a board is left out: what has the wrong shape is returned as it stands, for the family to refuse.
"""

import csv
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from trm.errors import counted
from trm.text import encoding_fault

REMARK = "  ; "
"""What separates a board from the remark that ``trm solve`` writes behind it."""
COLUMNS = {
    "question": (
        *("question", "questions", "input", "inputs", "quiz", "quizzes", "puzzle", "puzzles"),
        *("board", "boards", "maze", "mazes"),
    ),
    "answer": ("answer", "answers", "output", "outputs", "solution", "solutions", "label", "labels"),
    "rating": ("rating", "ratings", "difficulty"),
}
"""Names of the columns of a table."""

_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")  # colours of a terminal
_FIELDS = re.compile(r"[\s,;:|\"']+")
_BETWEEN = re.compile(r"[\s,|\"'\[\](){}]+")  # what may stand between cells
_RULER = re.compile(r"(?=.*[-=]{2})[-=+|*.:'\s]+")
_WORD = re.compile(r"([A-Za-z]{3,})(?:[^\w.*]|$)")
_NAME = re.compile(r"[a-z_][a-z0-9_]+")
_SECTION = re.compile(r"\[\s*([A-Za-z][\w ]*)\]")
_LINES = str.maketrans({chr(code): "|" if chr(code) in "│┃║" else "-" for code in range(0x2500, 0x2580)})


class Notation(NamedTuple):
    """How a family writes square boards; characters of cells are mapped to its own numbers."""

    size: int
    """Rows, and columns."""
    band: int
    """Rows that may stand alone between two empty lines; ``size`` if only a whole board may."""
    question: Mapping[str, int]
    """Characters of the cells of a question."""
    answer: Mapping[str, int]
    """Characters of the cells of an answer."""
    comments: tuple[str, ...]
    """What begins a comment; not a character of a cell."""

    @property
    def cells(self) -> int:
        """Number of cells of a board."""
        return self.size**2

    @property
    def has_spaces(self) -> bool:
        """Whether a space is a cell, and so cannot be ignored."""
        return " " in self.question


class Board(NamedTuple):
    """A board of a text; its parts have as many characters as the board has cells, if they are of the right shape."""

    line: int
    """Its first line, counted from 1."""
    question: str
    """Characters of the cells; of a wrong shape, the lines as they stand."""
    answer: str = ""
    """Characters of the cells of the answer; "" if none is given."""
    rating: float = math.nan
    """Difficulty as rated by the source; NaN if it is not rated."""
    fault: str = ""
    """Why it cannot be read, in a phrase; "" if it can."""
    text: str = ""
    """Its lines as they stand, of one in a list that has the wrong shape; another size may read them otherwise."""


def one_a_line(lines: Iterable[str]) -> Iterator[Board]:
    """Yield every line that is not empty as a board, without the remark that ``trm solve`` writes behind it."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            fault = encoding_fault(line)
            yield Board(number, line.partition(REMARK)[0], fault=f"it has {fault}" if fault else "")


def split_boards(lines: Iterable[str], notation: Notation) -> Iterator[Board]:
    """Yield the boards of a text.

    A text whose first line names a column of questions is a table, see ``COLUMNS``. In any other, a board is a line,
    followed by its answer or by anything that is no board; or consecutive lines of one row each. Skipped are comments,
    rulers, titles in words, and sections of a .sdk file other than [Puzzle].
    """
    numbered = enumerate(lines, 1)
    for number, line in numbered:
        line = line.removeprefix("\ufeff")
        is_row = notation.has_spaces and len(line) in (notation.size, notation.cells)
        if (not line.strip() and not is_row) or line.lstrip().startswith(notation.comments):
            continue
        columns = find_columns(line)
        if isinstance(columns, str):
            yield Board(number, line, fault=columns)
            return
        if columns:
            yield from _table(numbered, number, notation, *columns)
        else:
            yield from _listed(itertools.chain([(number, line)], numbered), notation)


# -- lists ------------------------------------------------------------------------------------------------------------


def _listed(numbered: Iterable[tuple[int, str]], notation: Notation) -> Iterator[Board]:
    """Yield the boards of a list of lines with their numbers."""
    held: list[Board] = []  # rows of a board that began before an empty line
    block: list[Board] = []  # consecutive rows, and lines of a wrong shape
    in_other_section = False
    for number, text in numbered:
        kind, line = _classified(number, text, notation)
        if kind == "section":
            in_other_section = line.question not in ("puzzle", "puzzles", "givens")
        if kind == "ruler" or (in_other_section and kind != "section"):
            continue
        if kind == "row":
            block.append(line)
            continue
        if kind == "empty" and not block:
            continue
        if kind == "empty" and len(block) == notation.band < notation.size and _are_rows(block, notation):
            held, block = held + block, []
            if len(held) < notation.size:
                continue
        yield from _joined(held + block, notation)
        held, block = [], []
        if kind == "board":
            yield line
    yield from _joined(held + block, notation)


def _joined(lines: list[Board], notation: Notation) -> Iterator[Board]:
    """Yield boards of consecutive rows; lines without a row among them are boards of a wrong shape each."""
    if lines and _are_rows(lines, notation) and len(lines) % notation.size == 0:
        for rows in (lines[at : at + notation.size] for at in range(0, len(lines), notation.size)):
            yield Board(rows[0].line, "".join(row.question for row in rows))
    elif any(len(line.question) == notation.size for line in lines):
        yield Board(lines[0].line, "\n".join(line.question for line in lines), text=_text(lines))
    elif size := _other_size(lines):
        for rows in (lines[at : at + size] for at in range(0, len(lines), size)):
            yield Board(rows[0].line, "".join(row.question for row in rows), text=_text(rows))
    else:
        runs = [list(run) for _, run in itertools.groupby(lines, key=lambda line: len(line.text))]
        yield from lines if len(runs) == 1 else itertools.chain.from_iterable(_joined(run, notation) for run in runs)


def _other_size(lines: list[Board]) -> int:
    """Return the size of square boards that lines are the rows of, as they stand or without rulers; 0 if of none."""
    for widths in ({len(line.text) for line in lines}, {len(line.question) for line in lines}):
        if len(widths) == 1 and len(lines) % (size := widths.pop() or len(lines) + 1) == 0:
            return size
    return 0


def _text(lines: Iterable[Board]) -> str:
    return "\n".join(line.text for line in lines)


def _are_rows(lines: Iterable[Board], notation: Notation) -> bool:
    return all(len(line.question) == notation.size for line in lines)


def _classified(number: int, text: str, notation: Notation) -> tuple[str, Board]:
    """Return what a line of a list is: board, row (or of a wrong shape), empty, ruler, section or comment."""
    if fault := encoding_fault(text):
        return "board", Board(number, text, fault=f"it has {fault}")
    if not text.isascii() or "\x1b" in text:
        text = _ESCAPE.sub("", text).translate(_LINES)
    line = text.strip()
    if line.startswith(notation.comments):
        return "comment", Board(number, "")
    if section := _SECTION.fullmatch(line):
        return "section", Board(number, section[1].strip().lower())
    if notation.has_spaces and len(text) in (notation.size, notation.cells):
        return _board_or_row(number, text, text, notation)  # also if it is all spaces
    if not line:
        return "empty", Board(number, "")
    whole = [field for field in _FIELDS.split(line) if len(field) == notation.cells]
    if whole and set(whole[0]) <= notation.question.keys():
        boards = [field for field in whole[1:] if set(field) <= notation.question.keys() | notation.answer.keys()]
        answer = boards[0] if boards and set(boards[0]) <= notation.answer.keys() else ""
        fault = (
            f"{counted(len(boards) + 1, 'board')}, but one is accepted, with its answer"
            if boards[bool(answer) :]
            else ""
        )
        return "board", Board(number, whole[0], answer, fault=fault and f"it has {fault}")
    if _is_title(line, notation):
        return "comment", Board(number, "")
    if _RULER.fullmatch(line) or not _BETWEEN.sub("", line):
        return "ruler", Board(number, "")
    cells = _cells(text, notation)
    return _board_or_row(number, cells, text, notation)


def _board_or_row(number: int, cells: str, text: str, notation: Notation) -> tuple[str, Board]:
    """Return whether a line is a board or a row, possibly of a wrong shape, and its cells."""
    return "board" if len(cells) == notation.cells else "row", Board(number, cells, text=text)


def _cells(text: str, notation: Notation) -> str:
    """Return the characters of the cells of a line, without a comment behind them and what stands between them."""
    for mark in notation.comments:
        text = text.partition(mark)[0]
    if len(text.strip()) in (notation.size, notation.cells):
        return text.strip()
    parts = [part for part in _BETWEEN.split(text) if part]
    if notation.has_spaces and any(len(part) > 1 for part in parts):
        return text.rstrip()  # a space may be a cell
    return "".join(parts)


def _is_title(line: str, notation: Notation) -> bool:
    """Return whether a line begins with a word that is not made of the characters of cells."""
    word = _WORD.match(line)
    return word is not None and not set(word[1]) <= notation.question.keys()


# -- tables -----------------------------------------------------------------------------------------------------------


def find_columns(header: str) -> tuple[str, int, dict[str, int]] | str | None:
    """Return separator, number of columns and the index of each known one; None if the line is no header of a table.

    What is wrong with a header is returned in words.
    """
    for separator in ",;\t":
        names = [name.strip(" \"'").lower() for name in header.split(separator)]
        found = {kind: [i for i, name in enumerate(names) if name in COLUMNS[kind]] for kind in COLUMNS}
        if len(names) > 1 and found["question"]:
            for kind, places in found.items():
                if len(places) > 1:
                    both = " and ".join(names[place] for place in places)
                    return f"the columns {both} of the header both mean the {kind}, but one is accepted"
            return separator, len(names), {kind: places[0] for kind, places in found.items() if places}
        if len(names) > 1 and all(_NAME.fullmatch(name) for name in names):
            known = ", ".join(COLUMNS["question"])
            return f"the header {header!r} names no column of questions; accepted is one of {known}"
    return None


def read_columns(
    numbered: Iterator[tuple[int, str]], first: int, separator: str, width: int
) -> Iterator[tuple[int, list[str], str]]:
    """Yield the rows of a table of ``width`` columns behind its header, which is line ``first``.

    A row is its first line, its fields, and why it cannot be read, in a phrase; "" if it can. A field in quotes may
    contain line breaks.
    """
    reader = csv.reader((f"{line}\n" for _, line in numbered), delimiter=separator)
    while True:
        line = first + reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            yield line, [], f"the table cannot be read on: {error}"
            return
        if row is None:
            return
        if row:
            yield line, row, "" if len(row) == width else f"{counted(len(row), 'column')}, but {width} are needed"


def _table(
    numbered: Iterator[tuple[int, str]],
    first: int,
    notation: Notation,
    separator: str,
    width: int,
    columns: dict[str, int],
) -> Iterator[Board]:
    """Yield the boards of a table."""
    for line, row, fault in read_columns(numbered, first, separator, width):
        yield Board(line, "", fault=fault) if fault else _row(line, row, notation, columns)


def _row(line: int, row: list[str], notation: Notation, columns: dict[str, int]) -> Board:
    """Return the board in a row of a table."""
    joined = "".join(row)
    if not joined.isascii() and (fault := encoding_fault(joined)):
        return Board(line, "", fault=f"it has {fault}")
    question, answer = (
        part if len(part) == notation.cells else _cells(part, notation)
        for part in (row[columns["question"]], row[columns["answer"]] if "answer" in columns else "")
    )
    rating, fault = math.nan, ""
    if "rating" in columns:
        text = row[columns["rating"]]
        try:
            rating = float(text)
        except ValueError:
            rating = math.nan
        if not math.isfinite(rating):
            fault = f"the rating {text!r} is not a number"
    return Board(line, question, answer, rating, fault)
