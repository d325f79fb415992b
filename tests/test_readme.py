"""The README's commands run, and what it names exists."""

import functools
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from test_cli import FOUR

from trm.cli import TRMCLI, main
from trm.module import TRMModule
from trm.nn import NETWORKS

REPO = Path(__file__).parent.parent
README = (REPO / "README.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
LINES = [shlex.split(line, comments=True) for block in BLOCKS for line in block.splitlines()]
COMMANDS = [line for line in LINES if line and line[0] == "trm"]


def test_quickstart_is_six_lines() -> None:
    assert len(BLOCKS[0].strip().splitlines()) <= 6


def test_commands_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(REPO / "configs", "configs")
    assert len(COMMANDS) >= 3
    for _, *args in COMMANDS:
        tiny = FOUR if "quickstart" in " ".join(args) and "--config" in args else []
        assert main([*args, *tiny]) in ((0, 1) if args[0] == "solve" else (0,)), args


def test_make_targets_exist() -> None:
    makefile = (REPO / "Makefile").read_text()
    for target in re.findall(r"`?make ([a-z-]+)", README):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_every_configuration_is_listed() -> None:
    for path in (REPO / "configs").glob("*.yaml"):
        assert f"| `{path.name}` |" in README


def test_files_named_exist() -> None:
    for name in re.findall(r"trm/[\w/]+\.py", README):
        assert (REPO / name).exists(), name


def test_every_ablation_builds_a_network_of_the_size_it_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = README.partition("### Ablations of the paper")[2].partition("\n## ")[0]
    rows = re.findall(r"\| ([\d,]+) \| `trm (fit [^`]+)` \|$", section, flags=re.MULTILINE)
    assert len(rows) == section.count("`trm fit") >= 30
    built: list[tuple[Trainer, TRMModule]] = []

    @functools.wraps(Trainer.fit)
    def build_only(trainer: Trainer, model: TRMModule, *args: object, **kwargs: object) -> None:
        built.append((trainer, model))

    monkeypatch.setattr(Trainer, "fit", build_only)
    monkeypatch.setattr(TRMCLI, "before_fit", lambda self: None)  # which reads the data
    monkeypatch.chdir(tmp_path)
    shutil.copytree(REPO / "configs", "configs")
    for weights, command in rows:
        with torch.device("meta"):
            assert main(shlex.split(command)) == 0, command
        assert sum(p.numel() for p in built[-1][1].core.parameters()) == int(weights.replace(",", "")), command
    assert len({trainer.log_dir for trainer, _ in built}) == len(rows)  # or a run would go on with another's checkpoint
    assert {model.hparams["network"] for _, model in built} == NETWORKS.keys()
