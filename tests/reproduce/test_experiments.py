"""The experiments of the paper are what their configurations and options build."""

import functools
import shutil
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from paths import REPO

from trm.cli.lightning import TRMCLI
from trm.cli.main import main
from trm.module import TRMModule
from trm.nn import NETWORKS
from trm.reproduce.experiments import EXPERIMENTS, published

FEW_TASKS = ["--data.tasks_per_subset=2", "--data.augmentations=2"]  # the puzzle embedding is not among the weights


@pytest.mark.slow
def test_every_experiment_builds_a_network_of_its_published_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[TRMModule] = []

    @functools.wraps(Trainer.fit)
    def build_only(trainer: Trainer, model: TRMModule, *args: object, **kwargs: object) -> None:
        built.append(model)

    monkeypatch.setattr(Trainer, "fit", build_only)
    monkeypatch.setattr(TRMCLI, "before_fit", lambda self: None)  # which reads the data
    monkeypatch.chdir(tmp_path)
    shutil.copytree(REPO / "configs", "configs")
    for name, experiment in EXPERIMENTS.items():
        few = FEW_TASKS if name.startswith("arc") else []
        with torch.device("meta"):
            assert main(["fit", f"--config=configs/{experiment.config}.yaml", *experiment.arguments, *few]) == 0, name
        assert sum(p.numel() for p in built[-1].core.parameters()) == experiment.parameters, name
    assert {model.hparams["network"] for model in built} == NETWORKS.keys() - {"symmetric"}  # all of the paper
    told = [(experiment.config, experiment.options) for experiment in EXPERIMENTS.values()]
    assert len(set(told)) == len(EXPERIMENTS) == 33


def test_a_claim_of_an_experiment_has_its_published_result() -> None:
    expected = {"published": "87.4", "published_source": "arXiv 2510.04871, table 1", "repeated": "75.6 to 87"}
    assert published("sudoku", "solved") == published("sudoku/seed-1", "solved") == expected
    nothing = dict.fromkeys(expected, "")
    claims = ("sudoku", "valid"), ("sudoku-softmax", "solved"), ("zoo/sudoku", "solved"), ("mine", "solved")
    assert all(published(*claim) == nothing for claim in claims)
    assert published("arc2", "pass@2")["repeated"] == "3.3"
