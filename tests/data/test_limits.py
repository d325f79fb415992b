"""Settings that exceed the limits of the machine are refused."""

import resource

import pytest

from trm.data.limits import check_open_files
from trm.errors import InputError


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
