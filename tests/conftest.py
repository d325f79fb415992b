"""What every test runs under, whatever the machine; and fixtures of the command line.

Nothing here may import torch before ``OMP_NUM_THREADS`` is set, which OpenMP reads when torch is loaded: the tests are
small, run in several processes, and must not depend on the number of cores. A test about threads starts a process of
its own.

``TRM_TEST_NO_BFLOAT16=1`` runs the suite as on a CPU without instructions for bfloat16.
"""

import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background of a shell would ignore it
IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
if not IS_WORKER:  # workers inherit it, so that puzzles are generated once a session; never the user's own cache
    os.environ["TRM_CACHE"] = tempfile.mkdtemp(prefix="trm-tests-")

import torch  # noqa: E402 - after the variables above
from command import FOUR  # noqa: E402
from paths import REPO  # noqa: E402

from trm.cli.main import main  # noqa: E402


def pytest_unconfigure() -> None:
    """Delete the cache of the session."""
    if not IS_WORKER:
        shutil.rmtree(os.environ["TRM_CACHE"], ignore_errors=True)


@pytest.fixture(autouse=True)
def messages() -> None:
    """Lightning reports to every test, whatever the one before it has silenced."""
    for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.INFO)
        logging.getLogger(name).disabled = False


@pytest.fixture(scope="session", autouse=True)
def capabilities() -> Iterator[None]:
    """With ``TRM_TEST_NO_BFLOAT16``, torch reports a CPU without the instructions for bfloat16."""
    with pytest.MonkeyPatch.context() as patch:
        if os.environ.get("TRM_TEST_NO_BFLOAT16"):
            real = torch.cpu.get_capabilities()
            without = {name: has and "bf16" not in name for name, has in real.items()}
            patch.setattr(torch.cpu, "get_capabilities", lambda: without)
        yield


@pytest.fixture(scope="session", autouse=True)
def short_estimates() -> Iterator[None]:
    """Before it trains, a run times its largest matrix product once, rather than for a fifth of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trm.callbacks.notice.product_speed.__defaults__", (0.0,))
        yield


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder to run in."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(REPO / "configs", tmp_path / "configs")
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the quickstart was run, tiny."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        shutil.copytree(REPO / "configs", folder / "configs")
        assert main(["fit", "--config", "configs/quickstart.yaml", *FOUR]) == 0
    return folder
