"""Settings that exceed the machine are refused before anything is drawn."""

import os
import resource

import pytest

from trm.data import Sudoku
from trm.data.limits import check_open_files
from trm.errors import InputError


def test_a_batch_that_memory_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**20}  # 4 GiB
    monkeypatch.setattr(os, "sysconf", pages.get)
    Sudoku(9, slots=768).check_devices(1)
    with pytest.raises(InputError, match=r"data\.slots is 1048576 and data\.steps_per_batch 16, .* has 4\.29 GB"):
        Sudoku(9, slots=2**20).check_devices(1)
    Sudoku(9, slots=2**20).check_devices(8)


def test_too_few_open_files_for_the_workers_are_refused_and_a_low_soft_limit_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = (40, 50)
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    set_to = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, to: set_to.append(to))
    with pytest.raises(InputError, match=r"data\.workers is 2, which takes about 96 open files, but the limit is 50"):
        check_open_files(2)
    check_open_files(0)
    limits = (40, 4096)
    check_open_files(2)
    assert set_to == [(96, 4096)]
