"""Modules of the working directory are imported if the user names them, and never for the imports of others.

What their code raises is reported in a sentence: a command must not end as if it had done its work.
"""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from command import refused
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


FAULTS = {
    "import sys\nsys.exit(0)": "SystemExit: 0 (faulty.py, line 2)",
    "import sys\nsys.exit('enough')": "SystemExit: enough (faulty.py, line 2)",
    "raise KeyboardInterrupt": "KeyboardInterrupt (faulty.py, line 1)",
    "1 / 0": "ZeroDivisionError: division by zero (faulty.py, line 1)",
    "def broken(:": "SyntaxError: invalid syntax (faulty.py, line 1) (faulty.py)",
}
USES = [
    ["fit", "--config=configs/quickstart.yaml", "--data=faulty.LightsOut"],
    ["fit", "--config=configs/quickstart.yaml", "--model=faulty.Model"],
    ["fit", "--config=configs/quickstart.yaml", "--trainer.callbacks+=faulty.Callback"],
    ["data", "check", "--data=faulty.LightsOut"],
]


@pytest.mark.parametrize(
    ("code", "command"),
    [*((code, USES[0]) for code in FAULTS), *(("import sys\nsys.exit(0)", command) for command in USES[1:])],
)
def test_what_a_module_raises_when_it_is_imported_is_refused(
    code: str, command: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("faulty.py").write_text(code)
    assert f"cannot import faulty: it raises {FAULTS[code]}" in refused(capsys, command)


def test_a_module_elsewhere_on_the_path_is_imported_with_the_same_care(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    package = here / "site" / "installed_puzzles"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "lights.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(str(here / "site"))
    message = refused(capsys, ["data", "check", "--data=installed_puzzles.lights.LightsOut"])
    assert "cannot import installed_puzzles.lights: it raises SystemExit (lights.py, line 1)" in message


def test_a_family_that_ends_the_program_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("leaving.py").write_text(
        LIGHTS_OUT.replace("    def load(self, split):", "    def load(self, split):\n        raise SystemExit(0)")
    )
    message = refused(capsys, ["data", "check", "--data=leaving.LightsOut"])
    assert message == "trm: error: the module leaving has ended the program: SystemExit 0"
