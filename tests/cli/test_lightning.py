"""``TRMCLI`` in a script of one's own, the environment, options of other commands, and the help in groups."""

import inspect
import re
import sys
from pathlib import Path

import pytest
import yaml
from command import FOUR, refused
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from paths import REPO
from processes import run

from trm.arguments import parameters_of
from trm.cli.arrange import EARLY_EXIT, RECIPE, network_options
from trm.cli.lightning import TRMCLI
from trm.cli.main import main
from trm.cli.trainer import TRMTrainer
from trm.data import PuzzleData, Sudoku
from trm.module import TRMModule
from trm.nn import TRM

QUICKSTART = ["--config", str(REPO / "configs" / "quickstart.yaml"), *FOUR]
SCRIPT = """
from trm import PuzzleData, TRMModule
from trm.cli.lightning import TRMCLI

TRMCLI(TRMModule, PuzzleData)
"""


@pytest.mark.slow
def test_a_script_of_five_lines_trains(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    ((status, printed),) = run(tmp_path, [sys.executable, "script.py", "fit", *QUICKSTART])
    assert status == 0, printed
    assert (tmp_path / "runs" / "quickstart" / "checkpoints" / "last.ckpt").exists()
    assert (tmp_path / "runs" / "quickstart" / "config.yaml").exists()


def test_settings_are_defined_for_the_command_that_is_run_alone(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defined = []
    define = TRMCLI.add_core_arguments_to_parser

    def noted(cli: TRMCLI, parser: LightningArgumentParser) -> None:
        defined.append(parser)
        define(cli, parser)

    monkeypatch.setattr(TRMCLI, "add_core_arguments_to_parser", noted)
    for args, count in ((["test", *QUICKSTART, "--print_config"], 1), (["--help"], len(TRMCLI.subcommands()))):
        defined.clear()
        with pytest.raises(SystemExit) as stop:
            TRMCLI(args=args)
        assert (stop.value.code, len(defined)) == (0, count)


def test_arguments_of_a_script_train_as_the_command_does(here: Path) -> None:
    cli = TRMCLI(TRMModule, PuzzleData, args=["fit", *QUICKSTART, "--ckpt_path=null"])
    assert cli.trainer.global_step == 6
    assert isinstance(cli.datamodule, Sudoku)


def test_without_a_run_a_script_gets_trainer_model_and_data(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRM_DATA__SLOTS", "3")
    args = ["--data=Sudoku", "--data.size=4", "--data.clues=[8,8]", "--model.hidden_size=16", "--model.num_heads=2"]
    cli = TRMCLI(TRMModule, PuzzleData, run=False, args=[*args, "--trainer.logger=false", "--trainer.accelerator=cpu"])
    assert cli.model.hparams["vocab_size"] == cli.datamodule.vocab_size == 6
    assert isinstance(cli.trainer, Trainer)


def test_every_default_of_the_class_can_be_overridden(here: Path) -> None:
    class Own(TRMTrainer):
        pass

    args = ["--data=Sudoku", "--data.size=4", "--trainer.logger=false", "--trainer.accelerator=cpu"]
    cli = TRMCLI(
        run=False,
        args=args,
        trainer_class=Own,
        trainer_defaults={"max_steps": 3},
        seed_everything_default=7,
        save_config_callback=None,
    )
    assert isinstance(cli.trainer, Own)
    assert (cli.trainer.max_steps, cli.config.seed_everything) == (3, 7)
    assert cli.config.trainer.enable_model_summary is False
    own, lightnings = (inspect.signature(c.__init__).parameters for c in (TRMCLI, LightningCLI))
    assert set(own) - {"options"} <= set(lightnings)


def test_settings_come_from_the_environment_below_configurations_and_the_command_line(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRM_FIT__MODEL__EXPLORE", "0.25")
    monkeypatch.setenv("TRM_FIT__MODEL__HIDDEN_SIZE", "999")
    monkeypatch.setenv("TRM_FIT__TRAINER__MAX_STEPS", "5")
    Path("mine.yaml").write_text("data: {class_path: Sudoku}\nmodel: {hidden_size: 32}\n")
    shown = {}
    for command in ("fit", "test"):
        with pytest.raises(SystemExit):
            main([command, "--config=mine.yaml", "--trainer.max_steps=4", "--print_config"])
        shown[command] = yaml.safe_load(capsys.readouterr().out)
    fit, test = shown["fit"], shown["test"]
    assert (fit["model"]["explore"], fit["model"]["hidden_size"], fit["trainer"]["max_steps"]) == (0.25, 32, 4)
    assert (test["model"]["explore"], test["model"]["hidden_size"]) == (0.1, 32)  # those of fit are not those of test


def test_the_ledger_names_settings_of_the_environment(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRM_FIT__MODEL__EXPLORE", "0.25")
    monkeypatch.setenv("TRM_TEST__MODEL__EXPLORE", "0.75")
    cli = TRMCLI(args=["fit", *QUICKSTART, "--ckpt_path=null", "--model.explore=0.5"])
    assert cli.trainer.command[:3] == ["TRM_FIT__MODEL__EXPLORE=0.25", "trm", "fit"]
    assert cli.model.hparams["explore"] == 0.5  # of the command line


def test_the_configuration_of_a_run_works_for_every_command(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(trained)
    for command in ("validate", "test", "predict"):
        assert main([command, "--config=runs/quickstart/config.yaml"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["test", "--weights=sudoku-4x4"], "--weights is an option of trm fit, not of trm test; --ckpt_path names"),
        (["fit", "--ledger", "x.csv"], "--ledger is an option of trm test, not of trm fit"),
        (["fit", "--weight=sudoku-4x4"], "unrecognized arguments: --weight=sudoku-4x4; did you mean weights?"),
        (["fit", "--trainer.max_step=3"], "--trainer.max_step=3; did you mean trainer.max_steps?"),
    ],
)
def test_options_of_other_commands_and_abbreviations_are_refused(
    command: list[str], told: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told in refused(capsys, [command[0], *QUICKSTART, *command[1:]])


def test_what_only_another_command_takes_is_not_printed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fit", *QUICKSTART, "--print_config"])
    assert not {"ledger", "claim", "what", "verbose"} & yaml.safe_load(capsys.readouterr().out).keys()


def test_help_has_groups_and_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    printed = capsys.readouterr().out
    titles = re.findall(r"^(\S.*):$", printed, flags=re.MULTILINE)
    assert titles == [
        "options",
        "this command (fit)",
        "data",
        "network",
        "training",
        "early exit",
        "recipe switches",
        "trainer",
        "trainer, seldom changed",
    ]
    given = {"vocab_size", "seq_len", "num_puzzles", "num_symbols", "grid"}  # by the data
    own = inspect.signature(TRMModule.__init__).parameters.keys() - {"self", "architecture"}
    names = [f"model.{name}" for name in {*own, *parameters_of(TRM)} - given]
    names += [f"trainer.{name}" for name in inspect.signature(Trainer.__init__).parameters.keys() - {"self"}]
    for name in [*names, "weights", "ckpt_path", "data", "config", "seed_everything", "print_config"]:
        assert len(re.findall(rf"^  (?:-c CONFIG, )?--{re.escape(name)}(?: |$|,)", printed, flags=re.MULTILINE)) == 1, (
            name
        )
    assert "ENV:" not in printed


def test_the_groups_name_options_that_exist() -> None:
    assert {*network_options(), *EARLY_EXIT, *RECIPE} <= {*parameters_of(TRMModule), *parameters_of(TRM)}
