"""Text from outside: encodings, compression and limits, the same for every reader."""

import codecs
import gzip
import io
import sys
from pathlib import Path

import pytest

from trm.errors import InputError
from trm.text import STANDARD_INPUT, encoding_fault, parse_json, read_json, read_lines, read_text, read_yaml

TEXT = "é,1\nß,2\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("compress", [False, True])
def test_text_is_read_in_every_encoding_that_names_itself(encoding: str, compress: bool, tmp_path: Path) -> None:
    path = tmp_path / "file"  # without an ending: the content decides
    data = TEXT.encode(encoding)
    path.write_bytes(gzip.compress(data) if compress else data)
    assert read_text(path) == TEXT
    assert list(read_lines(path)) == TEXT.splitlines()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_on_any_system(end: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(end.join(["one", "", "two"]).encode())
    assert list(read_lines(tmp_path / "file")) == ["one", "", "two"]


def test_a_line_in_another_encoding_does_not_hide_those_around_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one\n\xe9two\nthree\0\n" + "vier é".encode())
    lines = list(read_lines(path))
    assert [lines[0], lines[3]] == ["one", "vier é"]
    assert [encoding_fault(line)[:13] for line in lines] == ["", "the byte 0xe9", "NUL bytes, so", ""]
    with pytest.raises(InputError, match=r"file, line 2 has the byte 0xe9 in an encoding other than the accepted"):
        read_text(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (gzip.compress(TEXT.encode())[:-9], "truncated or corrupt gzip file"),
        (b"\x1f\x8bnothing", "truncated or corrupt gzip file"),
        (codecs.BOM_UTF16_LE + b"x", "begins with the BOM of utf-16, but is in another encoding"),
        (b"x" * (1 << 21), "line 1 is longer than the accepted 1,048,576 bytes"),
    ],
    ids=["truncated", "corrupt", "half a character", "no line break"],
)
def test_a_damaged_file_is_refused_in_one_sentence(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(InputError, match=f"file.*{message}") as error:
        list(read_lines(tmp_path / "file"))
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path, tmp_path / ("x" * 5000), Path("a\0b")):
        for read in (read_text, lambda path: list(read_lines(path))):
            with pytest.raises(InputError, match="cannot read "):
                read(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 5000, "is YAML that is nested too deeply"),
        ("day: 2026-99-99", "is not valid YAML: month must be in 1..12"),
        ("9" * 5000, "is not valid YAML: Exceeds the limit"),
        ("a: [", "is not valid YAML: while parsing"),
        ("a: !!python/name:os.system", "is not valid YAML: could not determine a constructor"),
    ],
    ids=["lists", "a day", "digits", "open", "code"],
)
def test_yaml_that_cannot_be_decoded_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError, match=f"a.yaml {message}") as error:
        read_yaml(tmp_path / "a.yaml")
    assert "\n" not in str(error.value)


def test_a_key_twice_in_yaml_is_refused_but_not_one_that_overrides_a_merged_one(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("- {a: 1}\n- a: 1\n  b: {a: 2}\n  a: 3\n")
    with pytest.raises(InputError, match=r"a.yaml has the key 'a' twice in a mapping, lines 2 and 4; accepted is each"):
        read_yaml(path)
    path.write_text(
        "one: &one {a: 1, b: 2}\ntwo: &two {<<: *one, a: 3}\nthree: {<<: [*two, *one], b: 4}\nself: &s [*s]\n"
    )
    content = read_yaml(path)
    assert (content["two"], content["three"]) == ({"a": 3, "b": 2}, {"a": 3, "b": 4})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "the file is JSON that is nested too deeply"),
        ('{"a":' * 100_000, "the file is JSON that is nested too deeply"),
        ("9" * 5000, "the file is not JSON"),
        ("{", "the file is not JSON"),
        ('[{"a": 1, "b": 2, "b": 3}]', "the file has the key 'b' twice in an object; accepted is each key once"),
    ],
    ids=["lists", "objects", "digits", "open", "twice"],
)
def test_json_that_cannot_be_decoded_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_json(text, "the file")


def test_standard_input_is_read_like_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\ufeff[1]".encode("utf-16"))))
    assert read_json(STANDARD_INPUT) == [1]
    monkeypatch.setattr(sys, "stdin", io.StringIO("one\ntwo"))
    assert list(read_lines(STANDARD_INPUT)) == ["one", "two"]
    monkeypatch.setattr(sys, "stdin", None)  # as Python sets it for trm ... <&-
    with pytest.raises(InputError, match="cannot read standard input: it is closed"):
        read_text(STANDARD_INPUT)
