"""Text from outside, read the same way by every reader: UTF-8 with or without a BOM, UTF-16 and UTF-32 with one, gzip.

This file is importable without torch, as the commands need it before a model is loaded.
"""

import codecs
import contextlib
import gzip
import io
import json
import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import yaml

from trm.errors import InputError

STANDARD_INPUT = Path("-")
LONGEST_LINE = 1 << 20
"""Bytes of the longest line of a list of puzzles; it bounds the memory that a file without line breaks takes."""
LARGEST = 1 << 28
"""Bytes of the largest document, or of a line of JSON, after decompression."""
BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins with the BOM of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
GZIP = b"\x1f\x8b"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Parser of YAML; the one in C is missing where PyYAML was built without it."""
MERGE = "tag:yaml.org,2002:merge"
"""Tag of the key ``<<``."""


def name_of(path: Path) -> str:
    """Return the name of a file for a message; "standard input" for ``-``."""
    return "standard input" if path == STANDARD_INPUT else str(path)


def read_lines(path: Path, longest: int = LONGEST_LINE) -> Iterator[str]:
    """Yield the lines of a file, or of standard input for ``-``, without their ends.

    A line in another encoding than UTF-8 is yielded with escaped bytes, so that the lines around it can be used;
    ``encoding_fault`` finds it.

    Raises:
        InputError: if the file cannot be read or decompressed, a line is longer than ``longest`` bytes, or a file that
            begins with a BOM of UTF-16 or UTF-32 does not continue so.
    """
    with _opened(path) as stream:
        if _encoding(stream.peek(4)) != "utf-8":
            yield from decode(_whole(stream, path), name_of(path)).splitlines()
            return
        for number, line in enumerate(iter(lambda: stream.readline(longest + 1), b""), 1):
            if len(line) > longest:
                raise InputError(f"{name_of(path)}, line {number} is longer than the accepted {longest:,} bytes")
            text = (line.removeprefix(codecs.BOM_UTF8) if number == 1 else line).decode("utf-8", "surrogateescape")
            text = text.rstrip("\r\n")
            if "\r" in text:  # ended the lines of old Macs
                yield from text.split("\r")
            else:
                yield text


def encoding_fault(text: str) -> str:
    """Return why a line of ``read_lines`` is no text, as the end of a message; "" if it is."""
    if text.isascii():
        return "NUL bytes, so it is binary, or in an encoding other than the accepted UTF-8" if "\0" in text else ""
    escaped = [ord(character) - 0xDC00 for character in text if "\udc80" <= character <= "\udcff"]
    return f"the byte 0x{escaped[0]:02x} in an encoding other than the accepted UTF-8" if escaped else ""


def read_text(path: Path) -> str:
    """Return the text of a file, or of standard input for ``-``.

    Raises:
        InputError: if it cannot be read, is too large, or is in an unknown encoding.
    """
    with _opened(path) as stream:
        return decode(_whole(stream, path), name_of(path))


def decode(data: bytes, where: str) -> str:
    """Return the text of the bytes of ``where``, without its BOM.

    Raises:
        InputError: if they are in an unknown encoding; the message names the line.
    """
    encoding = _encoding(data[:4])
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise InputError(f"{where} begins with the BOM of {encoding}, but is in another encoding") from error
        line = 1 + data[: error.start].count(b"\n")
        raise InputError(
            f"{where}, line {line} has the byte 0x{data[error.start]:02x} in an encoding other than the accepted "
            "UTF-8, or UTF-16 with a BOM"
        ) from error


def read_json(path: Path) -> Any:
    """Return the decoded JSON of a file, or of standard input for ``-``.

    Raises:
        InputError: if it cannot be read or is not JSON.
    """
    return parse_json(read_text(path), name_of(path))


def parse_json(text: str, where: str) -> Any:
    """Return decoded JSON.

    Raises:
        InputError: if the text of ``where`` is not JSON, is nested too deeply, or has an object with a key twice, of
            which one value would be lost.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
            raise InputError(f"{where} has the key {twice!r} twice in an object; accepted is each key once")
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except InputError:
        raise
    except RecursionError:
        raise InputError(f"{where} is JSON that is nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{where} is not JSON: {error}") from error


def read_yaml(path: Path) -> Any:
    """Return the decoded YAML of a file.

    Raises:
        InputError: if it cannot be read, is not YAML, is nested too deeply, or has a mapping with a key twice.
    """
    text = read_text(path)
    try:
        content = yaml.safe_load(text)
        refuse_repeated_keys(text, str(path))
        return content
    except InputError:
        raise
    except RecursionError:
        raise InputError(f"{path} is YAML that is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a day that no calendar has, or an endless number
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error


def refuse_repeated_keys(text: str, where: str) -> None:
    """Check that no mapping in the YAML of ``where`` has a key twice, of which one value would be lost.

    A key that overrides one of a mapping merged by ``<<`` is there once.

    Raises:
        InputError: if a mapping has; the message names the lines.
        yaml.YAMLError: if the text is not YAML.
    """
    for mapping in _mappings(yaml.compose(text, Loader=LOADER)):
        lines: dict[tuple[str, str], list[int]] = defaultdict(list)
        for key, _ in mapping.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
                lines[key.tag, key.value].append(key.start_mark.line + 1)
        for (_, name), (first, *others) in lines.items():
            if others:
                place = f"line {first}" if others[0] == first else f"lines {first} and {others[0]}"
                raise InputError(f"{where} has the key {name!r} twice in a mapping, {place}; accepted is each key once")


def _mappings(root: Any) -> Iterator[Any]:
    """Yield the mappings of a YAML document, each once, in the order in which they begin."""
    nodes, seen = [root], set[int]()
    while nodes:
        node = nodes.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield node
            nodes += [value for _, value in reversed(node.value)]
        elif isinstance(node, yaml.SequenceNode):
            nodes += reversed(node.value)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file or standard input for reading, decompressed; report what goes wrong in a sentence."""
    where = name_of(path)
    try:
        with contextlib.ExitStack() as stack:
            raw = _standard_input() if path == STANDARD_INPUT else stack.enter_context(path.open("rb"))
            stream = raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(cast(Any, raw))
            if stream.peek(2)[:2] == GZIP:
                stream = io.BufferedReader(cast(Any, stack.enter_context(gzip.GzipFile(fileobj=stream))))
            yield stream
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{where} is a truncated or corrupt gzip file: {error}") from error
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or str(error)  # ValueError: a closed file, or a NUL in the name
        raise InputError(f"cannot read {where}: {reason}") from error


def _standard_input() -> BinaryIO:
    """Return standard input as bytes; a program may have replaced it by text."""
    if sys.stdin is None:
        raise InputError("cannot read standard input: it is closed")
    buffer = getattr(sys.stdin, "buffer", None)
    return cast(BinaryIO, buffer or io.BytesIO(sys.stdin.read().encode("utf-8", "surrogateescape")))


def _whole(stream: BinaryIO, path: Path) -> bytes:
    data = stream.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise InputError(f"{name_of(path)} is larger than the accepted {LARGEST:,} bytes")
    return data


def _encoding(start: bytes) -> str:
    """Return the encoding of a text by its first four bytes."""
    return next((encoding for bom, encoding in BOMS if start.startswith(bom)), "utf-8")
