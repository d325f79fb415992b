"""Files of pairs: JSON lines, JSON, a table with named columns, or two arrays of numpy; and which file is which split.

Shapes: N pairs, T cells of all of them.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm.data.boards import COLUMNS, find_columns, read_columns
from trm.data.pairs.cells import Cells, Shape, by_size, read_array, read_cells, shaped
from trm.errors import InputError
from trm.text import LARGEST, encoding_fault, parse_json, read_json, read_lines

MOST_SYMBOLS = 254
"""Most symbols of a file: of 256 tokens one is padding, and one may stand for the outside of a smaller grid."""
ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt")
"""Of files of pairs in a folder, each also with ".gz" behind it."""
SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
"""Names of the files of a split in a folder."""
NAMES = {name: COLUMNS[name] for name in ("question", "answer")}


class Boards(NamedTuple):
    """Grids of several sizes, as numbers of symbols."""

    numbers: NDArray[np.uint16]
    """Numbers of the symbols of all grids, row by row, one grid after the other, (T,)."""
    shapes: NDArray[np.int64]
    """Rows and columns of each grid, (N, 2)."""


class PairFile(NamedTuple):
    """The pairs of one file."""

    path: Path
    lines: NDArray[np.int64]
    """First line of each pair, counted from 1; of arrays the row, counted from 0, (N,)."""
    questions: Boards
    answers: Boards

    def where(self, row: int) -> str:
        """Return the file and line of a pair for a message."""
        return f"{self.path}, {'row' if self.path.suffix == '.npy' else 'line'} {self.lines[row]}"


class Symbols(dict[str, int]):
    """Numbers of symbols, in the order in which they first occur."""

    def __missing__(self, symbol: str) -> int:
        """Number a new symbol."""
        self[symbol] = len(self)
        return self[symbol]


class Raw(NamedTuple):
    """A pair as a file has it, before its cells are read."""

    line: int
    question: Any
    answer: Any
    fault: str = ""
    """Why it cannot be read, in a phrase; "" if it can."""


def find_files(source: str) -> dict[str, Path]:
    """Return the file of each split that a source has; one file for all splits is that of "train".

    Two arrays are named by that of the questions.

    Raises:
        InputError: if there is none, or several for a split.
    """
    path = Path(source)
    if not source or not path.exists():
        reason = "data.source is empty" if not source else f"cannot read {source}: No such file or directory"
        raise InputError(f"{reason}; a file of pairs is needed there, or a folder with train.jsonl and test.jsonl")
    if not path.is_dir():
        if path.suffix == ".npy":
            raise InputError(
                f"data.source is {source}, one array, but pairs need two: pass a folder with questions.npy and "
                "answers.npy"
            )
        return {"train": path}
    found = {split: _only(split, _candidates(path, names)) for split, names in SPLITS.items()}
    files = {split: file for split, file in found.items() if file is not None}
    whole = _only("train", [path / f"{name}.npy" for name in NAMES["question"] if (path / f"{name}.npy").is_file()])
    if whole is not None and "train" not in files:
        files["train"] = whole
    if not files:
        raise InputError(
            f"{source} has no file of pairs; accepted in a folder are train.jsonl and test.jsonl (or .json, .csv, "
            ".tsv), questions.npy and answers.npy, or both with train_ and test_ before the names"
        )
    return files


def _candidates(folder: Path, names: tuple[str, ...]) -> list[Path]:
    texts = [f"{name}{ending}{gz}" for name in names for ending in ENDINGS for gz in ("", ".gz")]
    arrays = [f"{name}_{column}.npy" for name in names for column in NAMES["question"]]
    return [folder / name for name in (*texts, *arrays) if (folder / name).is_file()]


def _only(split: str, found: list[Path]) -> Path | None:
    if len(found) > 1:
        raise InputError(
            f"{found[0].parent} has {found[0].name} and {found[1].name}, but one file for the {split} split is needed"
        )
    return found[0] if found else None


def read_pairs(path: Path, symbols: Symbols, size: Shape | None, same_size: bool) -> PairFile:
    """Read a file of pairs.

    Args:
        path: the file; of two arrays, that of the questions.
        symbols: numbers of the symbols, to which new ones are added.
        size: rows and columns of a question that is written as one row; None to leave it a row.
        same_size: whether an answer must have the size of its question.

    Raises:
        InputError: if it is missing or malformed; the message names file, line and value.
    """
    lines, parts = array("q"), {name: (array("H"), array("q")) for name in NAMES}
    kinds: dict[str, tuple[str, int]] = {}
    unit = "row" if path.suffix == ".npy" else "line"
    for raw in _raw_pairs(path):
        where = f"{path}, {unit} {raw.line}"
        if fault := raw.fault or (_missing("answer") if raw.answer is None else ""):
            raise InputError(f"{where}: {fault}")
        pair = {name: _read(getattr(raw, name), f"{where}: the {name}", size) for name in NAMES}
        if same_size and pair["question"].shape != pair["answer"].shape:
            sizes = " and its question ".join(by_size(pair[name].shape) for name in ("answer", "question"))
            raise InputError(
                f"{where}: the answer has {sizes}; accepted is the same size, or any with --data.answer_size any"
            )
        for name, cells in pair.items():
            kind, first = kinds.setdefault(name, (cells.kind, raw.line))
            if kind != cells.kind:
                raise InputError(f"{where}: the {name} is {cells.kind}, but that of {unit} {first} is {kind}")
            parts[name][0].extend(map(symbols.__getitem__, cells.symbols))
            parts[name][1].extend(cells.shape)
            if len(symbols) > MOST_SYMBOLS:
                new = list(symbols)[-1]
                raise InputError(
                    f"{where}: the {name} has {new!r}, another symbol besides {MOST_SYMBOLS} others; accepted are at "
                    f"most {MOST_SYMBOLS}"
                )
        lines.append(raw.line)
    if not lines:
        raise InputError(f"{path} contains no pairs")
    boards = (
        Boards(np.array(numbers, dtype=np.uint16), np.array(shapes, dtype=np.int64).reshape(-1, 2))
        for numbers, shapes in parts.values()
    )
    return PairFile(path, np.array(lines), *boards)


def _read(value: Any, subject: str, size: Shape | None) -> Cells:
    try:
        return shaped(value if isinstance(value, Cells) else read_cells(value), size)
    except InputError as error:
        raise InputError(f"{subject} {error}") from error


def _raw_pairs(path: Path) -> Iterator[Raw]:
    if path.suffix == ".npy":
        return _of_arrays(path)
    if path.suffixes[-2:] == [".json", ".gz"] or path.suffix == ".json":
        return _of_json(path)
    return split_pairs(read_lines(path, LARGEST))


def _of_arrays(path: Path) -> Iterator[Raw]:
    """Yield the pairs of two arrays, of which ``path`` is the first."""
    prefix, _, name = path.stem.rpartition("_")
    others = [path.with_name(f"{prefix}{'_' * bool(prefix)}{other}.npy") for other in NAMES["answer"]]
    answers = _only("train" if "test" not in prefix else "test", [other for other in others if other.is_file()])
    if answers is None:
        raise InputError(f"{path} has no answers beside it; accepted is {others[1].name}")
    arrays = [_load(file) for file in (path, answers)]
    if len(arrays[0]) != len(arrays[1]):
        raise InputError(
            f"{path} has {len(arrays[0]):,} {name}, but {answers} has {len(arrays[1]):,}; they need as many"
        )
    for row in range(len(arrays[0])):
        cells: list[Any] = []
        for file, part in zip((path, answers), arrays, strict=True):
            try:
                cells.append(read_array(part, row))
            except InputError as error:
                raise InputError(f"{file}, row {row} {error}") from error
        yield Raw(row, *cells)


def _load(path: Path) -> NDArray[Any]:
    """Return an array of integers or text."""
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"cannot read {path} as an array: {' '.join(str(error).split())}") from error
    if loaded.dtype.kind == "b":
        loaded = loaded.astype(np.uint8)
    text, numbers = loaded.dtype.kind == "U", loaded.dtype.kind in "iu"
    if not (text or numbers) or loaded.ndim not in ((1, 2, 3) if text else (2, 3)):
        raise InputError(
            f"{path} has shape {loaded.shape} and type {loaded.dtype}; accepted are integers or text of shape "
            "(N, cells) or (N, rows, columns)"
        )
    return np.asarray(loaded)


def _of_json(path: Path) -> Iterator[Raw]:
    content = read_json(path)
    if not isinstance(content, list):
        raise InputError(f"{path} is JSON, but no list of pairs such as [{_example()}]")
    for number, pair in enumerate(content, 1):
        yield _of_object(number, pair)


def split_pairs(lines: Iterable[str]) -> Iterator[Raw]:
    """Yield the pairs in lines of text: JSON objects, one a line, or a table whose header names the columns.

    A pair without an answer has None in its place.
    """
    numbered = enumerate(lines, 1)
    for number, line in numbered:
        if not line.strip():
            continue
        if fault := encoding_fault(line):
            yield Raw(number, None, None, f"it has {fault}")
            return
        if line.lstrip().startswith("{"):
            yield _of_line(number, line)
            break
        columns = find_columns(line)
        if columns is None or isinstance(columns, str):
            reason = columns or "it is neither a JSON object nor the header of a table"
            yield Raw(number, None, None, f"{reason}; accepted are lines such as {_example()}, or columns so named")
            return
        yield from _of_table(numbered, number, *columns)
        return
    for number, line in numbered:
        if line.strip():
            fault = encoding_fault(line)
            yield Raw(number, None, None, f"it has {fault}") if fault else _of_line(number, line)


def is_pairs(line: str) -> bool:
    """Return whether a line begins a text for ``split_pairs``."""
    return line.lstrip().startswith("{") or isinstance(find_columns(line), tuple)


def _of_table(
    numbered: Iterator[tuple[int, str]], first: int, separator: str, width: int, columns: Mapping[str, int]
) -> Iterator[Raw]:
    for line, row, fault in read_columns(numbered, first, separator, width):
        fault = fault or next((f"it has {found}" for field in row if (found := encoding_fault(field))), "")
        question, answer = (None if fault or name not in columns else row[columns[name]] for name in NAMES)
        yield Raw(line, question, answer, fault)


def _of_line(number: int, line: str) -> Raw:
    try:
        return _of_object(number, parse_json(line, "it"))
    except InputError as error:
        return Raw(number, None, None, str(error))


def _of_object(number: int, pair: Any) -> Raw:
    """Return the pair of a JSON object, whose keys are those of the columns of a table."""
    if not isinstance(pair, dict):
        return Raw(number, None, None, f"it is no JSON object such as {_example()}")
    found: dict[str, Any] = {}
    for name, accepted in NAMES.items():
        keys = [key for key in pair if key.lower() in accepted]
        if len(keys) > 1:
            return Raw(number, None, None, f"{keys[0]} and {keys[1]} both mean the {name}, but one is accepted")
        found[name] = pair[keys[0]] if keys else None
    return Raw(
        number, found["question"], found["answer"], "" if found["question"] is not None else _missing("question")
    )


def _missing(name: str) -> str:
    return f"there is no {name}; accepted is one of {', '.join(NAMES[name])}"


def _example() -> str:
    return '{"question": [[1, 0], [0, 2]], "answer": [[1, 2], [2, 2]]}'
