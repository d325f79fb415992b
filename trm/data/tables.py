"""Tables of puzzles: files of boards in any form that ``trm.data.boards`` reads, local or of the Hugging Face hub."""

from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm.data.boards import Board, Notation, split_boards
from trm.data.hub import fetch
from trm.data.splits import Counts
from trm.errors import InputError, counted
from trm.text import read_lines

ENDINGS = (".csv", ".tsv", ".txt", ".sdm", ".sdk", ".ss")
"""Of files of puzzles in a folder, each also with ".gz" behind it."""
UNKNOWN = 255  # the number of a character that is not one of a cell


class Table(NamedTuple):
    """The puzzles of one file, in the numbers of the family's notation."""

    path: Path
    lines: NDArray[np.int64]
    """First line of each puzzle, counted from 1, (N,)."""
    characters: NDArray[np.uint8]
    """ASCII codes of the questions, (N, L)."""
    questions: NDArray[np.uint8]
    """(N, L)."""
    answers: NDArray[np.uint8]
    """(N, L); zeros where the file has no answer."""
    ratings: NDArray[np.float64]
    """Difficulty as rated by the source, 0 if the file has none, (N,)."""

    def where(self, row: int) -> str:
        """Return the file and line of a puzzle for a message."""
        return f"{self.path}, line {self.lines[row]}"

    def refuse(self, wrong: NDArray[np.bool_], why: str) -> None:
        """Raise an InputError for the first puzzle that is wrong, (N,)."""
        if wrong.any():
            raise InputError(f"{self.where(int(wrong.argmax()))}: {why}")


def read_table(path: Path, notation: Notation, min_rating: float = 0) -> Table:
    """Read a file of puzzles.

    Args:
        path: a CSV file with a column of questions and, optionally, of answers and of ratings; or a list of boards.
        notation: how the family writes a board.
        min_rating: least rating that is asked for.

    Raises:
        InputError: if the file is missing or malformed, or has no ratings but a rating is asked for; the message names
            the file and line.
    """
    if not path.is_file():
        raise InputError(f"cannot read {path}: No such file or directory; a file of puzzles is needed there")
    questions, answers = bytearray(), bytearray()
    lines, ratings = array("q"), array("d")
    for board in split_boards(read_lines(path), notation):
        if fault := board.fault or _fault(board, notation):
            raise InputError(f"{path}, line {board.line}: {fault}")
        questions += board.question.encode()
        answers += board.answer.encode() or bytes(notation.cells)
        lines.append(board.line)
        ratings.append(board.rating)
    rated = np.array(ratings)
    if min_rating and np.isnan(rated).any():
        raise InputError(f"{path} has no column of ratings, but data.min_rating is {min_rating}")
    characters, given = (
        np.frombuffer(part, dtype=np.uint8).reshape(-1, notation.cells) for part in (questions, answers)
    )
    table = Table(
        path,
        np.array(lines),
        characters,
        _codes(notation.question, UNKNOWN)[characters],
        _codes(notation.answer, 0)[given],
        np.nan_to_num(rated),
    )
    for column, text, codes, known in (
        ("question", characters, table.questions, notation.question),
        ("answer", given, table.answers, notation.answer),
    ):
        if (unknown := (codes == UNKNOWN).any(axis=1)).any():
            row = int(unknown.argmax())
            raise InputError(f"{table.where(row)}: {_unknown(column, bytes(text[row]).decode(), known)}")
    return table


def _fault(board: Board, notation: Notation) -> str:
    """Return why a board has not the right shape, in a phrase; "" if it has."""
    for column, text, known in (
        ("question", board.question, notation.question),
        ("answer", board.answer, notation.answer),
    ):
        if len(text) != notation.cells and (text or column == "question"):
            return f"the {column} has {counted(len(text), 'cell')}, but {notation.cells} are needed"
        if not text.isascii():
            return _unknown(column, text, known)
    return ""


def _unknown(column: str, text: str, known: Mapping[str, int]) -> str:
    """Return in a phrase which character is not one of a cell."""
    cell, wrong = next((cell, symbol) for cell, symbol in enumerate(text) if symbol not in known)
    return f"the {column} has {wrong!r} in cell {cell}, but only {''.join(known)!r} are accepted"


def _codes(known: Mapping[str, int], missing: int) -> NDArray[np.uint8]:
    """Return the number of each ASCII code, ``UNKNOWN`` for those of no cell and ``missing`` for NUL, (128,)."""
    codes = np.full(128, UNKNOWN, dtype=np.uint8)
    codes[[ord(symbol) for symbol in known]] = list(known.values())
    codes[0] = missing
    return codes


def find_table(split: str, source: str, repo: str, root: Path) -> Path:
    """Return the file that contains a split: the file ``source``, one in that folder, or downloaded if it is "hub".

    Raises:
        InputError: if the download fails, or the folder has several files for the split.
    """
    name = "test" if split == "test" else "train"
    if source == "hub":
        return fetch(repo, f"{name}.csv", root / repo.rpartition("/")[2], "dataset")
    folder = Path(source)
    if not folder.is_dir():  # a file, or nothing, which whoever reads it refuses by the name that was given
        return folder
    if (folder / f"{name}.csv").is_file():
        return folder / f"{name}.csv"
    found = [path for ending in ENDINGS for path in sorted(folder.glob(f"{name}{ending}*"))]
    found = [path for path in found if path.name.removeprefix(name) in (path.suffix, f"{path.suffixes[0]}.gz")]
    if len(found) > 1:
        raise InputError(
            f"{folder} has {found[0].name} and {found[1].name}, but one file for the {split} split is needed"
        )
    return found[0] if found else folder / f"{name}.csv"


def choose_rows(
    path: Path, split: str, rows: NDArray[np.int64], counts: Counts, seed: int, shared: bool = False
) -> NDArray[np.int64]:
    """Return a seeded subset of the eligible ``rows`` of a file; "val" is held out of the training file.

    The held-out rows come first, so they do not depend on the size of the training split. A count of None takes all
    remaining rows.

    Args:
        path: the file, for messages.
        split: "train", "val" or "test".
        rows: indices of the eligible rows.
        counts: number of rows of each split.
        seed: seed of the order.
        shared: whether "test" is held out of the same file.

    Raises:
        InputError: if there are too few.
    """
    order = ["test"] * (shared or split == "test") + ["val", "train"] * (shared or split != "test")
    if shared and counts["test"] is None:
        raise InputError(
            f"data.test_size is null, which takes all rows of {path}, but the training puzzles are in the same file; "
            "accepted is the number of rows to hold out"
        )
    first = sum(counts[before] or 0 for before in order[: order.index(split)])
    count = counts[split]
    last = len(rows) if count is None else first + count
    wanted = sum(counts[part] or 0 for part in order)
    if len(rows) < wanted:
        raise InputError(
            f"{path} has {counted(len(rows), 'row')} to choose from, but the split sizes require {wanted:,}"
        )
    return np.random.default_rng((seed, order == ["test"])).permutation(rows)[first:last]
