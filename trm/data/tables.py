"""Tables of puzzles: CSV files with source, question, answer, rating, from a folder or the Hugging Face hub."""

import csv
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm.data.atomic import atomic_write
from trm.data.splits import Counts
from trm.errors import InputError

COLUMNS = ["source", "question", "answer", "rating"]


class Table(NamedTuple):
    """The puzzles of one file; characters are ASCII codes."""

    questions: NDArray[np.uint8]
    """(N, L)."""
    answers: NDArray[np.uint8]
    """(N, L)."""
    ratings: NDArray[np.int64]
    """Difficulty as rated by the source, (N,)."""


def read_table(path: Path, cells: int, question_alphabet: str, answer_alphabet: str) -> Table:
    """Read a CSV file of puzzles with ``cells`` characters each.

    Raises:
        InputError: if the file is missing or malformed; the message names the file and line.
    """
    questions, answers, ratings = [], [], []
    try:
        with path.open(newline="", encoding="ascii") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            if header != COLUMNS:
                raise InputError(f"{path} has the header {','.join(header)!r}, but {','.join(COLUMNS)!r} is needed")
            for row in reader:
                line = f"{path}, line {reader.line_num}"
                if len(row) != len(COLUMNS):
                    raise InputError(f"{line}: {len(row)} columns, but {len(COLUMNS)} are needed")
                _, question, answer, rating = row
                for column, value in (("question", question), ("answer", answer)):
                    if len(value) != cells:
                        raise InputError(f"{line}: the {column} has {len(value)} cells, but {cells} are needed")
                if not rating.isdecimal():
                    raise InputError(f"{line}: the rating {rating!r} is not a whole number")
                questions.append(question)
                answers.append(answer)
                ratings.append(int(rating))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; a CSV file of puzzles is needed there") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file of puzzles: {error.reason} at byte {error.start}") from error
    table = Table(_characters(questions, cells), _characters(answers, cells), np.array(ratings, dtype=np.int64))
    _check_alphabet(path, "question", table.questions, question_alphabet)
    _check_alphabet(path, "answer", table.answers, answer_alphabet)
    return table


def find_table(split: str, source: str, repo: str, root: Path) -> Path:
    """Return the file that contains a split: in the folder ``source``, or downloaded if ``source`` is "hub".

    Raises:
        InputError: if the download fails.
    """
    file = "test.csv" if split == "test" else "train.csv"
    return fetch_table(repo, file, root / repo.rpartition("/")[2]) if source == "hub" else Path(source) / file


def choose_rows(path: Path, split: str, rows: NDArray[np.int64], counts: Counts, seed: int) -> NDArray[np.int64]:
    """Return a seeded subset of the eligible ``rows`` of a file; "val" is held out of the training file.

    The held-out rows come first, so they do not depend on the size of the training split. A count of None takes all
    remaining rows.

    Raises:
        InputError: if there are too few.
    """
    held_out = 0 if split == "test" else counts["val"] or 0
    first = held_out if split == "train" else 0
    count = counts[split]
    last = len(rows) if count is None else first + count
    wanted = (counts["test"] or 0) if split == "test" else held_out + (counts["train"] or 0)
    if len(rows) < wanted:
        raise InputError(f"{path} has {len(rows):,} rows to choose from, but the split sizes require {wanted:,}")
    return np.random.default_rng((seed, split == "test")).permutation(rows)[first:last]


def fetch_table(repo: str, file: str, root: Path, revision: str = "main") -> Path:
    """Download one file of a data set on the Hugging Face hub, once, and return its path.

    The first download records the commit and the SHA-256 of the file in ``root/lock.json``. Later downloads, on any
    machine with that lock file, fetch the same commit and check the SHA-256.

    Raises:
        InputError: if huggingface_hub is not installed, the download fails, or the SHA-256 differs.
    """
    try:
        import huggingface_hub
    except ImportError as error:
        raise InputError("data.source 'hub' needs the package huggingface_hub: pip install huggingface_hub") from error
    lock_path = root / "lock.json"
    lock = json.loads(lock_path.read_text()) if lock_path.exists() else {}
    commit = lock.get("commit", revision)
    try:
        if commit == revision:
            commit = str(huggingface_hub.dataset_info(repo, revision=revision).sha)
        path = Path(huggingface_hub.hf_hub_download(repo, file, repo_type="dataset", revision=commit, local_dir=root))
    except (OSError, ValueError) as error:  # all errors of the hub and of its HTTP client are OSErrors
        raise InputError(f"cannot download {file} of {repo} at {commit} from the Hugging Face hub: {error}") from error
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    known = lock.get("sha256", {}).get(file, digest)
    if digest != known:
        raise InputError(f"{path} has the SHA-256 {digest}, but {lock_path} records {known}; delete one of the two")
    if lock.get("sha256", {}).get(file) is None:
        lock = {"repo": repo, "commit": commit, "sha256": {**lock.get("sha256", {}), file: digest}}
        with atomic_write(lock_path, "w") as stream:
            json.dump(lock, stream, indent=2)
    return path


def _characters(strings: list[str], cells: int) -> NDArray[np.uint8]:
    return np.frombuffer("".join(strings).encode("ascii"), dtype=np.uint8).reshape(-1, cells)


def _check_alphabet(path: Path, column: str, characters: NDArray[np.uint8], alphabet: str) -> None:
    wrong = ~np.isin(characters, np.frombuffer(alphabet.encode("ascii"), dtype=np.uint8))
    if wrong.any():
        row, cell = np.argwhere(wrong)[0]
        raise InputError(
            f"{path}, line {row + 2}: the {column} has {chr(characters[row, cell])!r} in cell {cell}, "
            f"but only {alphabet!r} are accepted"
        )
