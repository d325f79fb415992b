"""``model.compile``: a graph for training, one for evaluation, no breaks; without a compiler, a message."""

import os
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from paths import REPO
from processes import run
from torch._dynamo.utils import counters
from training import BOARDS, SMALL, quiet_trainer

from trm.data import Sudoku
from trm.module import TRMModule

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # what its compiler uses of its own


class CountGraphs(Callback):
    """Notes how many graphs have been compiled by the end of each batch, of training and of validation."""

    def __init__(self) -> None:
        self.train: list[int] = []
        self.val: list[int] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        self.train.append(counters["stats"]["unique_graphs"])

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        self.val.append(counters["stats"]["unique_graphs"])


@pytest.mark.slow
@pytest.mark.parametrize("latents", [1, 3])
def test_training_and_validation_compile_one_graph_each_and_break_none(tmp_path: Path, latents: int) -> None:
    boards = {"train_size": 40, "val_size": 8, "test_size": 8, "clues": (8, 8)}
    data = Sudoku(4, **boards, root=str(tmp_path), slots=4, steps_per_batch=2)
    network = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "multiple_of": 8, "cycles": 2, "latent_steps": 1}
    module = TRMModule(data.vocab_size, data.seq_len, **network, latents=latents, supervision_steps=2, compile=True)
    graphs = CountGraphs()
    torch._dynamo.reset()
    counters.clear()
    quiet_trainer(max_steps=10, val_check_interval=2, num_sanity_val_steps=0, callbacks=[graphs]).fit(module, data)
    torch._dynamo.reset()
    before = 2 if latents == 1 else 3  # the trial, training; and without gradient, where latents are compared
    assert graphs.train == [before, before, 3, 3, 3]
    assert graphs.val == [3] * len(graphs.val)
    assert len(graphs.val) > 1
    assert not counters["graph_break"]


@pytest.mark.slow
def test_without_a_compiler_the_network_runs_as_it_is_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    config = f"--config={REPO / 'configs/quickstart.yaml'}"
    options = [config, *BOARDS, *SMALL, "--model.compile=true", "--trainer.max_steps=2"]
    ((status, printed),) = run(tmp_path, [sys.executable, "-m", "trm", "fit", *options])
    assert status == 0, printed
    assert "torch cannot compile here" in printed
    assert "C++ compiler" in printed
