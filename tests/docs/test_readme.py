"""The README's commands run, and what it names exists."""

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from command import FOUR
from own_family import LIGHTS_OUT
from paths import REPO

from trm.cli.main import main

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


@pytest.mark.slow
def test_python_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(block, {})
    assert "True" in capsys.readouterr().out


def test_your_own_puzzles_are_trained_and_solved_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "my_puzzles", raising=False)
    shutil.copytree(REPO / "configs", "configs")
    Path("my_puzzles.py").write_text(LIGHTS_OUT)
    section = README.partition("## Your own puzzles")[2].partition("\n## ")[0]
    fit, solve = re.findall(r"^    trm (.*)$", section, flags=re.MULTILINE)
    short = ["--trainer.max_steps=4", "--trainer.limit_train_batches=1", "--trainer.log_every_n_steps=1"]
    assert main([*shlex.split(fit), *short]) == 0
    assert main(shlex.split(solve)) in (0, 1)


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
