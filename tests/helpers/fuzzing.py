"""For the fuzzers: the number of examples, what may come of hostile input, and values that are hostile anywhere."""

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from trm.cli.main import main

settings.register_profile(
    "suite",
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],  # a failure need not be shrunk for minutes
    suppress_health_check=list(HealthCheck),
    max_examples=100,
)
settings.register_profile(
    "fuzz", settings.get_profile("suite"), derandomize=False, phases=[Phase.generate, Phase.shrink], max_examples=1000
)
settings.load_profile("fuzz" if "TRM_FUZZ" in os.environ else "suite")


def examples(count: int) -> settings:
    """Return the settings of a fuzzer with this many examples in the suite, and ten times as many in ``make fuzz``."""
    return settings(max_examples=count * settings.default.max_examples // 100)  # type: ignore[attr-defined]


def outcome(args: Sequence[str], capsys: pytest.CaptureFixture[str]) -> int:
    """Run a command and return its status: it works, or it is refused in one sentence and has written nothing."""
    capsys.readouterr()
    before = set(Path.cwd().rglob("*"))
    try:
        status = main(args)
    except SystemExit as stop:  # jsonargparse leaves this way
        status = int(str(stop.code))
    printed = capsys.readouterr()
    errors = [line for line in printed.err.splitlines() if "error:" in line]
    assert (status, len(errors)) in ((0, 0), (1, 0), (1, 1), (2, 1)), printed.err
    assert "\x1b[31" not in printed.out + printed.err
    if status == 2:
        assert not set(Path.cwd().rglob("*")) - before
    return status


def nested(depth: int) -> list[Any]:
    """Return lists in lists."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


HOSTILE: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, 0, -1, 2, 3.5, 10**9, 10**18, -(10**30), 10**4000, 1e300, float("nan"), float("inf")),
        *(
            "",
            "x",
            "trm.data.Sudoku",
            "trm.cli.main.main",
            "os.system",
            "\x1b[31mred\n",
            "../../x",
            "0.0.1",
            "9" * 5000,
        ),
        *([], {}, [None], {"x": 1}, {1: 2}, [[]], (1, 2), b"bytes", 1j, nested(60)),
        *(
            torch.zeros(()),
            torch.ones(3),
            torch.zeros(0),
            torch.full((2, 2), float("nan")),
            torch.ones(1).expand(10**9),
        ),
        *(torch.zeros(2, dtype=torch.int64), torch.ones(3, dtype=torch.complex64), torch.ones(2, 2).to_sparse()),
    ]
).map(copy.deepcopy)  # a test may put one into another
"""Values of a kind, a size or a content that a reader may not expect."""
