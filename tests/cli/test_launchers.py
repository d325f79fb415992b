"""Two ranks started in every way there is: by Lightning, by torchrun, and by torchrun on two nodes."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from paths import REPO
from processes import run
from training import STATE, assert_same

from trm.cli.main import main

TINY = [
    f"--config={REPO / 'configs' / 'quickstart.yaml'}",
    "--trainer.enable_progress_bar=false",
    "--trainer.max_steps=7",
    "--trainer.val_check_interval=2",
    "--trainer.log_every_n_steps=1",
    "--data.train_size=40",
    "--data.val_size=7",
    "--data.test_size=4",
    "--data.clues=[8,8]",
    "--data.root=data",
    "--data.slots=4",
    "--data.steps_per_batch=3",
    "--model.hidden_size=16",
    "--model.cycles=2",
    "--model.latent_steps=1",
    "--model.puzzle_tokens=1",
    "--model.supervision_steps=3",
    "--model.explore=0.5",
]
TRM = [sys.executable, "-m", "trm", "fit", *TINY]
LAST = Path("runs", "quickstart", "checkpoints", "last.ckpt")


def torchrun(*options: str) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", *options, *TRM[1:]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def by_lightning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which Lightning started the ranks."""
    folder = tmp_path_factory.mktemp("lightning")
    ((status, printed),) = run(folder, [*TRM, "--trainer.devices=2"])
    assert status == 0, printed
    assert printed.count("Generating data") == printed.count("`max_steps=7` reached") == 1
    return folder


@pytest.mark.slow
def test_several_devices_are_ddp_without_saying_so() -> None:
    assert isinstance(Trainer(accelerator="cpu", devices=2, logger=False).strategy, DDPStrategy)


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [1, 2])
def test_torchrun_trains_what_lightning_does(by_lightning: Path, tmp_path: Path, nodes: int) -> None:
    if nodes == 1:
        commands = [[*torchrun("--standalone", "--nproc-per-node=2"), "--trainer.devices=2"]]
    else:
        where = ("--nnodes=2", "--nproc-per-node=1", "--master-addr=127.0.0.1", f"--master-port={free_port()}")
        ranks = [torchrun(*where, f"--node-rank={node}") for node in range(2)]
        commands = [[*rank, "--trainer.devices=1", "--trainer.num_nodes=2"] for rank in ranks]
    for status, printed in run(tmp_path, *commands):
        assert status == 0, printed
    one, other = (torch.load(folder / LAST, weights_only=True) for folder in (by_lightning, tmp_path))
    assert len(one["slots"]) == 2
    assert one["state_dict"]["core.puzzle_embedding.weights"].any()
    for key in STATE:
        assert_same(one[key], other[key], key)
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.slow
def test_what_all_ranks_refuse_is_said_once(by_lightning: Path) -> None:
    ((status, printed),) = run(by_lightning, [*TRM, "--trainer.devices=2", "--model.hidden_size=32"])
    assert status == 2
    assert printed.count("trm: error: the checkpoint was trained with hidden_size 16") == printed.count("error") == 1
    assert "Traceback" not in printed


@pytest.mark.slow
def test_bad_data_is_refused_before_other_ranks_are_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def start(*_: object, **__: object) -> None:
        raise RuntimeError("another rank starts")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "Popen", start)
    assert main(["fit", *TINY, "--trainer.devices=2", "--data.source=nowhere"]) == 2
    assert "trm: error: cannot read nowhere: No such file or directory" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    with mock.patch.dict(os.environ), pytest.raises(RuntimeError, match="another rank starts"):
        main(["fit", *TINY, "--trainer.devices=2"])  # nothing to refuse; Lightning notes a port in the environment
