"""The command line, used in process as a person would: every configuration, every command, every refusal."""

import csv
import functools
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from command import CHECKPOINT, FOUR, TINY, refused
from lightning.pytorch import Trainer
from pairs import random_grids, write_pairs
from paths import REPO
from tables import write_tables

from trm.batch import Batch
from trm.cli.main import COMMANDS, locate, main
from trm.module import TRMModule

CONFIGS = sorted(path for path in (REPO / "configs").glob("*.yaml"))
EXPERIMENTS = [path for path in CONFIGS if "ckpt_path" in yaml.safe_load(path.read_text())]
OVERLAYS = [path for path in CONFIGS if path not in EXPERIMENTS]
SIZED = [path for path in EXPERIMENTS if path.stem != "mixture"]  # its families have sizes of their own
BOARD = "1...........2..."


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This run continues with other settings")  # where the end sets the learning rate
@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_configuration_fits_and_continues(path: Path, here: Path) -> None:
    config = yaml.safe_load(path.read_text())
    args = ["fit", "--config", str(path), *TINY]
    if config["data"]["init_args"].get("source") == "hub":
        write_tables(here / "tables", config["data"]["class_path"])
        args += ["--data.source=tables", "--data.train_size=20", "--data.val_size=8"]
    elif path.stem == "pairs":
        write_pairs(here / "pairs.jsonl", random_grids(60))
    elif config["data"]["class_path"] == "ARC":
        args.append("--data.augmentations=10")  # 1,000 are a million puzzle vectors to store
    elif path.stem == "quickstart":
        args = ["fit", "--config", str(path), *FOUR]
    assert main(args) == 0
    run = Path(config["trainer"]["logger"]["init_args"]["save_dir"])
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 6  # three batches of two steps, whatever the epochs
    assert (run / "config.yaml").exists()
    assert main([*args, "--trainer.max_steps=9"]) == 0
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 9
    assert main(["fit", "--config", str(run / "config.yaml"), "--trainer.max_steps=10"]) == 0  # the saved one works too


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.stem)
@pytest.mark.parametrize("base", SIZED, ids=lambda path: path.stem)
def test_every_overlay_goes_on_top_of_every_configuration(
    base: Path, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", str(base), "--config", str(path), "--print_config"])
    assert stop.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["trainer"]["accelerator"] == "cpu"
    assert printed["trainer"]["logger"]["init_args"]["save_dir"] == f"runs/{path.stem}"
    assert printed["model"]["hidden_size"] == yaml.safe_load(path.read_text())["model"]["hidden_size"]
    family = yaml.safe_load(base.read_text())["data"]["class_path"]
    assert printed["data"]["class_path"].rpartition(".")[2] == family


@pytest.mark.slow
@pytest.mark.parametrize("base", ["hrm-sudoku", "maze", "arc"])
def test_the_overlay_for_a_cpu_trains_every_family(base: str, here: Path) -> None:
    tiny = ["--trainer.max_steps=2", "--data.slots=2", "--data.steps_per_batch=2", "--data.val_size=2"]
    tiny += ["--model.hidden_size=16", "--model.supervision_steps=2", "--trainer.enable_progress_bar=false"]
    if base == "arc":
        tiny += ["--data.subsets=[training]", "--data.test_subset=training", "--data.side=5", "--data.augmentations=1"]
    else:
        write_tables(here / "tables", {"maze": "Maze"}.get(base, "Sudoku"))
        tiny += ["--data.source=tables", "--data.train_size=20"]
    assert main(["fit", f"--config=configs/{base}.yaml", "--config=configs/cpu.yaml", *tiny]) == 0
    assert torch.load("runs/cpu/checkpoints/last.ckpt", weights_only=True)["global_step"] == 2


@pytest.mark.parametrize("command", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_every_command(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 0
    printed = capsys.readouterr().out
    for name, (line, _) in COMMANDS.items():
        assert f"\n    {name:<20} {line}\n" in printed


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_exists_and_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(locate(COMMANDS[name].where))
    with pytest.raises(SystemExit) as stop:
        main(["help", *name.split()])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: trm {name}")
    assert "--help" in printed


def test_a_command_of_two_words_lists_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["analyze"], ["analyze", "--help"], ["help", "analyze"]):
        assert main(command) == 0
        assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == [
            name.split()[1] for name in COMMANDS if name.startswith("analyze ")
        ]


def test_test_validate_and_predict_use_the_checkpoint(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(trained)
    saved = Path("runs/quickstart/config.yaml").read_bytes()
    for command, metric in (("test", "test/solved"), ("validate", "val/solved")):
        assert main([command, "--config", "configs/quickstart.yaml", *FOUR, f"--ckpt_path={CHECKPOINT}"]) == 0
        assert metric in capsys.readouterr().out
    assert main(["test", "--config", "configs/quickstart.yaml", *FOUR]) == 0  # ckpt_path: last
    assert main(["predict", "--config", "configs/quickstart.yaml", *FOUR]) == 0
    with Path("runs/quickstart/predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert Path("runs/quickstart/config.yaml").read_bytes() == saved  # of the training run
    assert len(rows) == 10  # the whole split: two full batches of four, and two more
    assert all(len(row["question"]) == len(row["answer"]) == 16 for row in rows)
    assert {row["steps"] for row in rows} == {"2"}


def test_predict_keeps_no_answers_in_memory(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    predict = Trainer.predict

    @functools.wraps(predict)
    def noted(*args: Any, **kwargs: Any) -> Any:
        kept.append(predict(*args, **kwargs))

    monkeypatch.setattr(Trainer, "predict", noted)
    monkeypatch.chdir(trained)
    assert main(["predict", "--config", "configs/quickstart.yaml", *FOUR]) == 0
    assert kept == [None]


def test_halting_is_chosen_on_the_command_line(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(trained)
    config = ["--config", "configs/quickstart.yaml", *FOUR]
    always, never = ["--model.halt=head", "--model.halt_threshold=1e-6"], ["--model.halt=never"]
    for options, steps in ((always, "1"), (never, "2")):
        assert main(["predict", *config, *options]) == 0
        with Path("runs/quickstart/predictions.csv").open() as file:
            assert {row["steps"] for row in csv.DictReader(file)} == {steps}
    for options, steps in ((always, 1), (never, 2)):
        assert main(["solve", CHECKPOINT, BOARD, "--json", *(option.replace("model.", "") for option in options)]) < 2
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["steps"] == steps
    assert "halt_threshold is 1.5" in refused(capsys, ["solve", CHECKPOINT, BOARD, "--halt_threshold=1.5"])
    assert "halt_threshold is 0.0" in refused(capsys, ["test", *config, "--model.halt_threshold=0"])


def test_one_setting_moves_everything_that_a_run_writes(here: Path) -> None:
    args = ["--config", "configs/quickstart.yaml", *FOUR, "--trainer.logger.save_dir=elsewhere"]
    assert main(["fit", *args]) == main(["predict", *args]) == 0
    assert not Path("runs").exists()
    for name in ("config.yaml", "checkpoints/last.ckpt", "predictions.csv"):
        assert Path("elsewhere", name).exists()


def test_help_lists_the_networks_and_losses(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    printed = capsys.readouterr().out
    assert "single_z, multi_scale, two_networks, hrm or direct" in " ".join(printed.split())
    assert "--model.loss {stablemax,softmax}" in printed


def test_solve_prints_answer_verdict_steps_and_confidence(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", str(trained / CHECKPOINT), BOARD]) in (0, 1)
    printed = capsys.readouterr().out
    assert len(printed.partition("  ; ")[0]) == len(BOARD)
    assert "2 supervision steps, confidence" in printed
    assert "the rules" in printed


def test_solve_reads_many_boards_and_prints_json(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{BOARD}\n\n{BOARD[::-1]}\n"))
    status = main(["solve", str(trained / CHECKPOINT), "-", "--json", "--depth=1"])
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [result["question"] for result in results] == [BOARD, BOARD[::-1]]
    assert all(result["steps"] == 1 and 0 <= result["confidence"] <= 1 for result in results)
    assert status == (0 if all(result["valid"] for result in results) else 1)


@pytest.mark.parametrize(
    ("board", "message"),
    [
        ("11" + "." * 14, "row 1 has 1 more than once"),
        ("12..34.........." + ".", "17 cells"),
        ("123." + "...4" + "." * 8, "it has no solution"),
        ("12x" + "." * 13, "'X' in row 1, column 3"),
    ],
)
def test_solve_refuses_unusable_boards(
    board: str, message: str, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(capsys, ["solve", str(trained / CHECKPOINT), board])


def test_unusable_checkpoints_are_refused(trained: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (trained / CHECKPOINT).read_bytes()
    Path("short.ckpt").write_bytes(whole[: len(whole) // 2])
    Path("text.ckpt").write_text("not a checkpoint")
    torch.save({"weights": torch.zeros(1)}, "foreign.ckpt")
    torch.save({"state_dict": Path()}, "code.ckpt")
    for name, message in {
        "missing.ckpt": "there is no checkpoint at missing.ckpt",
        "short.ckpt": "short.ckpt is truncated or corrupt",
        "text.ckpt": "text.ckpt is not a checkpoint",
        "foreign.ckpt": "foreign.ckpt is not a checkpoint written by trm",
        "code.ckpt": "not a checkpoint, or contains Python objects",
    }.items():
        assert message in refused(capsys, ["solve", name, BOARD])
        assert message in refused(capsys, ["test", "--config", "configs/quickstart.yaml", f"--ckpt_path={name}"])


def test_a_checkpoint_of_other_puzzles_is_refused(
    trained: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["fit", "--config", "configs/quickstart.yaml", *FOUR, "--data.size=6", "--data.clues=[18,18]"]
    main([*args, "--ckpt_path=null", "--trainer.max_steps=0", "--trainer.logger=false"])  # generates the boards
    capsys.readouterr()
    assert main([*args, f"--ckpt_path={trained / CHECKPOINT}"]) == 2
    assert "vocab_size 6" in capsys.readouterr().err


def test_evaluation_without_a_checkpoint_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = ["--config", "configs/quickstart.yaml", *FOUR]
    assert "there is no last checkpoint in" in refused(capsys, ["test", *config])
    for command in ("test", "validate", "predict"):
        assert f"trm {command} needs --ckpt_path" in refused(capsys, [command, *config, "--ckpt_path=null"])


def test_unknown_keys_and_bad_data_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = ["fit", "--config", "configs/quickstart.yaml", *FOUR]
    assert "hidden_sizes" in refused(capsys, [*config, "--model.hidden_sizes=3"])
    assert "data.size" in refused(capsys, [*config, "--data.size=5"])
    assert "cannot read nowhere: No such file or directory" in refused(capsys, [*config, "--data.source=nowhere"])
    assert "needs an even number" in refused(capsys, [*config, "--model.mixer=attention", "--model.hidden_size=15"])


def test_a_run_folder_that_cannot_be_written_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("")
    config = ["fit", "--config", "configs/quickstart.yaml", *FOUR]
    assert main(config) == 0  # makes the boards
    assert "/file is not a folder that can be written to" in refused(
        capsys, [*config, "--trainer.logger.save_dir=file/run"]
    )


def test_a_run_outlives_its_folders(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRM_CACHE", "cache")
    take = TRMModule.supervision_step

    def without_folders(module: TRMModule, fresh: Batch) -> None:
        if module.global_step == 2:
            shutil.rmtree("cache")
            shutil.rmtree("runs/quickstart/checkpoints", ignore_errors=True)
        take(module, fresh)

    monkeypatch.setattr(TRMModule, "supervision_step", without_folders)
    assert main(["fit", "--config", "configs/quickstart.yaml", *FOUR]) == 0
    assert torch.load(CHECKPOINT, weights_only=True)["global_step"] == 6
