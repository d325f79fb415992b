"""Modules of the working directory are imported if the user names them, and never for the imports of others."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from own_family import LIGHTS_OUT
from paths import REPO

SHADOWS = ("mpi4py", "torch_xla", "numpy", "litmodels")
SMALL = ["--model.hidden_size=16", "--model.num_heads=2", "--trainer.max_steps=4", "--trainer.limit_train_batches=1"]
CONSOLE = "import sys; from trm.cli.main import main; sys.exit(main())"  # as the installed command


@pytest.fixture
def hostile(here: Path) -> Path:
    """A folder with modules that must not run, a family of the user's own, and a module that it imports."""
    for name in SHADOWS:
        Path(f"{name}.py").write_text(f"open('ran_{name}', 'w')\n")
    Path("my_puzzles.py").write_text(f"import my_helper\n{LIGHTS_OUT}")
    Path("my_helper.py").write_text("")
    return here


def run(start: list[str], *arguments: str) -> str:
    """Run a command whose first entry on the path is not the working directory, and return its errors."""
    environment = {**os.environ, "PYTHONPATH": str(REPO), "PYTHONSAFEPATH": "" if start[0] == "-m" else "1"}
    done = subprocess.run(
        [sys.executable, *start, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not list(Path.cwd().glob("ran_*"))
    return done.stderr


@pytest.mark.slow
def test_a_run_imports_the_family_of_its_configuration_and_nothing_else(hostile: Path) -> None:
    Path("folder").mkdir()
    Path("folder/own.yaml").write_text("data: {class_path: my_puzzles.LightsOut, init_args: {workers: 1}}\n")
    configs = [f"--config={path}" for path in ("configs/quickstart.yaml", "configs/plain.yaml", "folder/own.yaml")]
    run(["-c", CONSOLE], "fit", *configs, *SMALL)


@pytest.mark.slow
def test_a_module_that_is_started_as_one_has_no_working_directory_either(hostile: Path) -> None:
    run(["-m", "trm"], "data", "check", "--data=my_puzzles.LightsOut")


PICKLES = """
import pickle, sys
from trm.arguments import WORKING_DIRECTORY, find_class
from trm.data import PuzzleData
WORKING_DIRECTORY.allow(["--data=my_puzzles.LightsOut"])
sys.stdout.buffer.write(pickle.dumps(find_class("my_puzzles.LightsOut", PuzzleData, "data is")(held_out=7).draw))
"""


@pytest.mark.slow
def test_a_worker_process_that_starts_afresh_finds_the_family(hostile: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPO), "PYTHONSAFEPATH": "1"}
    pickled = subprocess.run([sys.executable, "-c", PICKLES], env=environment, capture_output=True, check=True).stdout
    assert pickle.PROTO in pickled
    unpickles = "import pickle, sys; print(pickle.load(sys.stdin.buffer).__self__.held_out)"
    command = [sys.executable, "-c", unpickles]
    assert subprocess.run(command, env=environment, input=pickled, capture_output=True, check=True).stdout == b"7\n"
    assert not list(hostile.glob("ran_*"))
