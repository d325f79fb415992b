"""A script of plain Lightning calls, with Lightning's defaults, does what its author would expect."""

import sys
from pathlib import Path

from paths import REPO
from processes import run


def test_thirty_plain_calls_do_what_one_expects(tmp_path: Path) -> None:
    ((status, printed),) = run(tmp_path, [sys.executable, str(REPO / "tests" / "plain_lightning.py")])
    assert status == 0, printed[-4000:]
    assert "30 " in printed
