"""What the command line and configurations are refused for is one sentence: what, where, and what is accepted."""

import os
from io import StringIO
from pathlib import Path

import pytest
import yaml
from command import FOUR, refused

from trm.cli.main import main

QUICKSTART = ["fit", "--config", "configs/quickstart.yaml"]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["--model.hiden_size", "3"], "unrecognized arguments: --model.hiden_size 3; did you mean model.hidden_size?"),
        (["--model.hiden_size=3"], "unrecognized arguments: --model.hiden_size=3; did you mean model.hidden_size?"),
        (["--model.hidden_size", "big"], "model.hidden_size is big, but must be a whole number"),
        (["--model.mixer=foo"], "model.mixer is foo, but must be attention or mlp"),
        (["--data.slotz", "5"], "Sudoku': Option 'slotz' is not accepted; did you mean slots?"),
        (["--data.slots", "big"], "Sudoku': slots is big, but must be a whole number"),
        (
            ["--data", "Chess"],
            "data: there is no class Chess; there are ARC, Maze, Mixture, Pairs, Sudoku, and your own",
        ),
        (["--data", "mine.LightsOut"], "'mine.LightsOut': No module named 'mine'"),
        (["--trainer.callbacks+=Foo"], "trainer.callbacks: there is no class Foo"),
        (
            ["--trainer.callbacks+=Pictures", "--trainer.callbacks.every=3"],
            "Pictures': Option 'every' is not accepted; there are puzzle",
        ),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["more"], "unrecognized arguments: more"),
        (["--seed_everything=x"], "seed_everything is x, but must be true or false or a whole number"),
        (["--seed_everything=null"], "seed_everything is null, but must be true or false or a whole number"),
        (["--data.size="], "Sudoku': size is empty, but must be a whole number"),
        (["--data.clues=8"], "Sudoku': clues is 8, but must be a list"),
        (["--data.clues=[2,3,4]"], "Sudoku': clues is [2, 3, 4], but must be a list of 2"),
        (["--trainer.precision=8"], "trainer.precision is 8, but must be one of 64, 32, 16, transformer-engine"),
        (["--trainer.strategy=x"], "You selected an invalid strategy name: `strategy='x'`"),
        (["--trainer.num_nodes=0"], "`num_nodes` must be a positive integer, but got 0"),
        (["--trainer.barebones=true"], "Logging can impact raw speed so it is disabled in barebones mode"),
        (["--trainer.logger=WandbLogger"], "WandbLogger needs wandb: pip install wandb"),
        (["--trainer.logger=MLFlowLogger"], "MLFlowLogger needs mlflow: pip install mlflow"),
        (["--ckpt_path=best"], "there is no best checkpoint in runs/quickstart/checkpoints; run trm fit first"),
    ],
)
def test_a_wrong_option_is_named(
    command: list[str],
    told: str,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sentence = refused(capsys, [*QUICKSTART, *command])
    assert sentence.startswith("trm: error: ")
    assert told in sentence


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (("slots:", "slotz:"), "Option 'slotz' is not accepted in mine.yaml; did you mean slots?"),
        (("hidden_size:", "hiden:"), "option 'model.hiden' in mine.yaml; did you mean model.hidden_size?"),
        (("model:", "model: ["), "mine.yaml is not valid YAML: while parsing a flow"),
        (("# 4x4", "# caf\xe9"), "mine.yaml, line 1: b'# caf\\xe9 Sudoku on a laptop"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_name(
    changed: tuple[str, str],
    told: str,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = Path("configs/quickstart.yaml").read_text().replace(*changed)
    Path("mine.yaml").write_text(text, encoding="latin-1")
    assert told in refused(capsys, ["fit", "--config", "mine.yaml"])


@pytest.mark.parametrize(("content", "found"), [("", "nothing"), ("53..7", "53..7")])
def test_a_file_that_is_no_configuration_is_refused_by_its_name(
    content: str, found: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.yaml").write_text(content)
    told = f"mine.yaml contains {found}, but a configuration is a mapping with trainer, data and model"
    assert told in refused(capsys, ["test", "--config", "mine.yaml"])


def test_a_configuration_may_come_from_a_pipe(here: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, Path("configs/quickstart.yaml").read_bytes())
    os.close(writer)
    assert main(["fit", f"--config=/dev/fd/{reader}", *FOUR, "--trainer.logger=false", "--ckpt_path=null"]) == 0
    os.close(reader)
    assert Path("checkpoints/last.ckpt").is_file()


TWICE = {
    "a setting": (
        "model:\n  lr: 1e-3\n\n  lr: 2e-3\n",
        "mine.yaml has the key 'lr' twice in a mapping, lines 2 and 4; ",
    ),
    "a part": (
        "data: Sudoku\nmodel: {}\ndata: Maze\n",
        "mine.yaml has the key 'data' twice in a mapping, lines 1 and 3; ",
    ),
    "of a callback": (
        "trainer:\n  callbacks: [{class_path: Speed, init_args: {a: 1, a: 2}}]",
        "'a' twice in a mapping, line 2; ",
    ),
    "JSON": ('{"model": {"lr": 1, "lr": 2}}', "mine.yaml has the key 'lr' twice in a mapping, line 1; "),
    "after a merge": (
        "a: &a {lr: 1}\nmodel:\n  <<: *a\n  lr: 2\n  'lr': 3",
        "'lr' twice in a mapping, lines 4 and 5; ",
    ),
    "in a file that it names": (
        "data: own/data.yaml",
        "own/data.yaml has the key 'size' twice in a mapping, lines 3 and 4; ",
    ),
}


@pytest.mark.parametrize("command", [["fit"], ["test"], ["tune", "-o", "tuned.yaml"]], ids=["fit", "test", "tune"])
@pytest.mark.parametrize(("text", "told"), TWICE.values(), ids=TWICE)
def test_a_key_that_a_configuration_has_twice_is_refused_with_its_lines(
    command: list[str], text: str, told: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.yaml").write_text(text)
    Path("own").mkdir()
    Path("own/data.yaml").write_text("class_path: Sudoku\ninit_args:\n  size: 4\n  size: 6\n")
    several = [*command, "--config=configs/quickstart.yaml", "--config=mine.yaml", "--config=configs/cpu.yaml"]
    assert f"{told}accepted is each key once" in refused(capsys, several)


def test_every_other_reader_of_yaml_refuses_a_key_twice_as_well(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("mine.yaml").write_text("port: 1\nport: 2\n")
    for command in (["serve"], ["analyze", "halting"], ["trace"], ["data", "check"]):
        told = refused(capsys, [*command, "--config", "mine.yaml"])
        assert told.endswith(
            "mine.yaml has the key 'port' twice in a mapping, lines 1 and 2; accepted is each key once"
        )
    told = "{lr: 1, lr: 2} has the key 'lr' twice in a mapping"
    assert told in refused(capsys, [*QUICKSTART, "--model={lr: 1, lr: 2}"])
    monkeypatch.setenv("TRM_FIT__MODEL", "{lr: 1, lr: 2}")
    assert told in refused(capsys, QUICKSTART)


def test_merged_keys_and_later_configurations_override_earlier_ones(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("one.yaml").write_text("model: {lr: 0.1, cycles: 3}\n")
    Path("two.yaml").write_text(
        "model:\n  <<: {lr: 0.2, hidden_size: 24}\n  <<: {num_heads: 3, hidden_size: 24}\n  lr: 0.3\n"
    )
    with pytest.raises(SystemExit):
        main([*QUICKSTART, "--config=one.yaml", "--config=two.yaml", "--print_config"])
    model = yaml.safe_load(capsys.readouterr().out)["model"]
    assert [model[name] for name in ("lr", "cycles", "hidden_size", "num_heads")] == [0.3, 3, 24, 3]


@pytest.mark.parametrize("command", [["fit"], ["test"], ["data", "check"]])
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("data: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        ('data: {class_path: "\\e]0;title\\a", init_args: {}}', "title"),
        ("# caf\xe9", "UTF-8"),
    ],
    ids=["deep", "escape codes", "encoding"],
)
def test_a_hostile_configuration_is_refused_in_printable_text(
    command: list[str], text: str, told: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.yaml").write_text(text, encoding="latin-1")
    sentence = refused(capsys, [*command, "--config", "mine.yaml"])
    assert told in sentence
    assert sentence.isprintable()


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["slove"], "there is no command 'slove'; did you mean solve?"),
        (["data", "chek"], "there is no command 'data chek'; did you mean data check?"),
        (["fit"], "fit needs --config FILE, such as configs/quickstart.yaml"),
        (["solve", "a", "b", "--viewz=3"], "unrecognized arguments: --viewz=3; did you mean views?"),
        (["solve", "sudoku-4x4"], "the following arguments are required: puzzles"),
    ],
)
def test_a_command_that_is_wrong_or_lacks_something_is_refused(
    command: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert told in refused(capsys, command)


def test_a_line_that_is_no_puzzle_is_told_after_all_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO(".3...2.1...4....\n  \n12\n.3...2.1...4....\n"))
    assert main(["solve", "sudoku-4x4", "-"]) == 2
    printed = capsys.readouterr()
    assert "line 3 of standard input: the board '12' has 2 cells" in printed.err
    assert printed.out.count("obeys the rules") == 2


def test_where_an_answer_breaks_the_rules_more_thinking_is_offered(capsys: pytest.CaptureFixture[str]) -> None:
    board = "1.....2.....3.....4.....5.....6....."
    assert main(["solve", "sudoku-6x6", board]) == 1
    assert "trm: --views 8 --select verifier" in capsys.readouterr().err
    main(["solve", "sudoku-6x6", board, "--views=8", "--select=verifier"])
    assert "--views 8" not in capsys.readouterr().err


def test_a_model_of_arc_wants_a_task_and_not_a_grid(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", "arc-toy", "1234"]) == 2
    assert "the puzzle is '1234', but a model of ARC needs a task: a file such as TASK.json" in capsys.readouterr().err
