"""The number of threads goes by the size of the work, and whoever chooses one wins."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from paths import REPO
from ranks import Guess, small_module
from training import quiet_trainer

from trm.callbacks.threads import CHOICES, Threads, threads_for
from trm.errors import InputError
from trm.nn import TRM


@pytest.fixture(autouse=True)
def three_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that torch gives three threads, and nobody has chosen any."""
    for name in CHOICES:
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


class Spy(Callback):
    """Notes the number of threads of each stage."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seen.append(torch.get_num_threads())

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seen.append(torch.get_num_threads())


def run(*callbacks: Callback, **arguments: Any) -> list[int]:
    spy = Spy()
    trainer = quiet_trainer(max_steps=3, limit_train_batches=1, limit_val_batches=0, callbacks=[*callbacks, spy])
    module, data = small_module(**arguments), Guess(slots=4)
    trainer.fit(module, data)
    trainer.test(module, data, verbose=False)
    return spy.seen


def test_a_tiny_network_takes_one_thread_and_gives_the_others_back() -> None:
    assert run(Threads()) == [1, 1]
    assert torch.get_num_threads() == 3


def test_the_option_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert run(Threads(2)) == [2, 2]
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("name", CHOICES)
def test_the_environment_wins_over_the_rule(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "3")
    assert run(Threads()) == [3, 3]


def test_a_library_leaves_the_number_alone() -> None:
    assert run() == [3, 3]


def test_a_run_that_fails_gives_the_threads_back() -> None:
    class Failing(Callback):
        def on_train_start(self, *_: Any) -> None:
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        run(Failing(), Threads())
    assert torch.get_num_threads() == 3


def test_more_work_takes_more_threads_but_never_more_than_torch_has() -> None:
    core = TRM(6, 16, hidden_size=64, num_heads=2, puzzle_tokens=0)
    counts = [threads_for(core, slots) for slots in (1, 10**2, 10**3, 10**6)]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (1, 3)


def test_a_number_below_zero_is_refused() -> None:
    with pytest.raises(InputError, match=r"Threads\.count is -1, but must be at least 0"):
        Threads(-1)


SHOW = "import sys; from trm.cli.threads import limit_spinning; limit_spinning(); import os; print(sorted("
SHOW += "(n, v) for n, v in os.environ.items() if n in ('GOMP_SPINCOUNT', 'OMP_WAIT_POLICY')), 'torch' in sys.modules)"


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ({}, "[('GOMP_SPINCOUNT', '10000')] False"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "[('OMP_WAIT_POLICY', 'ACTIVE')] False"),
        ({"GOMP_SPINCOUNT": "7"}, "[('GOMP_SPINCOUNT', '7')] False"),
    ],
    ids=["nothing chosen", "a policy", "a count"],
)
def test_how_threads_wait_is_decided_before_torch_is_loaded(chosen: dict[str, str], found: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    environment = {**kept, **chosen, "PYTHONPATH": str(REPO)}
    done = subprocess.run([sys.executable, "-c", SHOW], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == found
