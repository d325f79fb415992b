"""One process at a time changes a file, and a killed process blocks nobody."""

import os
import signal
from pathlib import Path

from trm.data.cache import cached_arrays
from trm.data.lock import one_at_a_time
from trm.reproduce.ledger import Row, read, write


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def row(claim: str) -> Row:
    return Row(claim, "solved", *[""] * (len(Row._fields) - 2))


def test_processes_that_write_a_ledger_at_once_lose_no_rows(tmp_path: Path) -> None:
    ledger, claims = tmp_path / "new" / "ledger.csv", [f"claim-{number}" for number in range(8)]
    children = []
    for claim in claims:
        if not (child := os.fork()):
            write(ledger, [row(claim)])
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    assert sorted(line.claim for line in read(ledger)) == claims
    assert names(ledger.parent) == ["ledger.csv"]


def test_what_a_killed_process_leaves_is_cleared_by_the_next(tmp_path: Path) -> None:
    file = tmp_path / "puzzles.npz"
    if not (child := os.fork()):
        with one_at_a_time(file):
            (tmp_path / "puzzles.npz.0123abcd.part").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(names(tmp_path)) == 2
    with one_at_a_time(file):
        assert names(tmp_path) == ["puzzles.npz.lock"]
    assert not names(tmp_path)


def test_puzzles_that_several_processes_need_are_generated_once(tmp_path: Path) -> None:
    def make(_: object) -> dict[str, list[int]]:
        (tmp_path / f"generated-by-{os.getpid()}").touch()
        return {"a": [1, 2]}

    children = []
    for _ in range(4):
        if not (child := os.fork()):
            cached_arrays(tmp_path, "numbers", {}, make)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert len(list(tmp_path.glob("generated-by-*"))) == 1
