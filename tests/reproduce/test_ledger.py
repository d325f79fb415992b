"""The ledger is a whole CSV file, in which a claim is replaced where it stands, and intervals are Wilson's."""

from pathlib import Path

import pytest

from trm.errors import InputError
from trm.reproduce.ledger import Row, check_ledger, read, wilson, write


def row(claim: str, metric: str, value: str) -> Row:
    return Row(*[""] * len(Row._fields))._replace(claim=claim, metric=metric, value=value)


@pytest.mark.parametrize(
    ("share", "count", "low", "high"),
    [
        (15 / 148, 148, 0.0624, 0.1605),  # Newcombe (1998), Statistics in Medicine 17, table I, method 3
        (81 / 263, 263, 0.2553, 0.3662),
        (0, 20, 0.0, 0.1611),
        (1 / 29, 29, 0.0061, 0.1718),
        (1, 20, 0.8389, 1.0),
    ],
)
def test_intervals_are_the_known_ones(share: float, count: int, low: float, high: float) -> None:
    assert wilson(share, count) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_a_claim_is_replaced_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks" / "ledger.csv"
    assert read(path) == []
    one, other = [row("a", "solved", "0.5"), row("a", "valid", "0.6")], [row("b", "solved", 'with "quotes", a comma')]
    write(path, one)
    write(path, other)
    assert read(path) == [*one, *other]
    again = [row("a", "solved", "0.7")]
    write(path, again)
    assert read(path) == [*again, *other]
    assert path.read_bytes().count(b"\n") == 3
    assert b"\r" not in path.read_bytes()
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # as a spreadsheet saves it
    assert read(path) == [*again, *other]
    assert [file.name for file in path.parent.iterdir()] == ["ledger.csv"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"question,answer\n1,2\n", "is not a ledger: it begins with 'question,answer'"),
        (b"", "is not a ledger: it begins with ''"),
        (b"\xff\xfe", "is not a ledger: it begins with ''"),
        (b"claim\xff", "line 1 has the byte 0xff in an encoding other than the accepted UTF-8"),
        (",".join(Row._fields).encode() + b"\na,solved\n", "row 2: 2 columns, but a ledger has 21"),
    ],
)
def test_a_file_that_is_no_ledger_is_refused_and_stays(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "ledger.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"ledger\.csv") as refusal:
        check_ledger(path)
    assert message in str(refusal.value)
    with pytest.raises(InputError):
        write(path, [row("a", "solved", "1")])
    assert path.read_bytes() == content


def test_a_place_that_cannot_be_written_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write the ledger .*file is not a folder that can be written to"):
        check_ledger(tmp_path / "file" / "ledger.csv")
    with pytest.raises(InputError, match=r"cannot read .*: Is a directory"):
        check_ledger(tmp_path)
    check_ledger(tmp_path / "new" / "folder" / "ledger.csv")
    monkeypatch.setattr("os.access", lambda path, mode: False)  # what the system says of a folder of somebody else's
    with pytest.raises(InputError, match="cannot write the ledger"):
        check_ledger(tmp_path / "ledger.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
