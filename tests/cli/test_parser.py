"""A typed function as a command: positional arguments, switches, repeated options, what is left for others."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from trm.cli.main import main
from trm.cli.parser import call

seen: dict[str, Any] = {}


def sample(
    name: str = "",
    /,
    *rest: str,
    output: str = "",
    config: list[str] = [],  # noqa: B006 - never changed
    count: int = 1,
    json: bool = False,
) -> int:
    """Do something.

    More about it.

    Args:
        name: what to do it to.
        *rest: settings of others.
        output: file to write.
        config: files to read.
        count: how often.
        json: print one JSON object.
    """
    seen.update(locals())
    return 7


def plain(board: str, *, depth: int = 0) -> int:
    """Solve.

    Args:
        board: the puzzle.
        depth: steps.
    """
    seen.update(locals())
    return 0


def test_arguments_reach_the_function() -> None:
    argv = ["one", "--json", "-o", "x.json", "-c", "a.yaml", "--config=b.yaml", "--count", "3"]
    assert call(sample, "data sample", argv) == 7
    assert seen == {
        "name": "one",
        "rest": (),
        "output": "x.json",
        "config": ["a.yaml", "b.yaml"],
        "count": 3,
        "json": True,
    }
    assert call(sample, "data sample", []) == 7
    assert (seen["name"], seen["json"], seen["config"]) == ("", False, [])


def test_an_option_of_several_words_may_be_spelled_with_hyphens() -> None:
    found: dict[str, object] = {}

    def several(*, least_steps: int = 0, in_order: bool = False) -> int:
        """Do something.

        Args:
            least_steps: steps.
            in_order: whether.
        """
        found.update(locals())
        return 0

    for argv in (["--least_steps", "3", "--in_order"], ["--least-steps=3", "--in-order"]):
        call(several, "several", argv)
        assert (found["least_steps"], found["in_order"]) == (3, True)
        found.clear()


@pytest.mark.parametrize(
    "argv",
    [
        ["one", "--model.size", "3", "--data.seed=1", "--count=2"],
        ["--model.size", "3", "--count=2", "one", "--data.seed=1"],
        ["--count", "2", "one", "--model.size", "3", "--data.seed=1"],
    ],
)
def test_what_no_parameter_is_named_after_is_handed_on(argv: list[str]) -> None:
    call(sample, "sample", argv)
    assert (seen["name"], seen["count"], seen["rest"]) == ("one", 2, ("--model.size", "3", "--data.seed=1"))


def test_a_negative_number_is_the_value_of_the_option_before_it() -> None:
    call(sample, "sample", ["one", "--count", "-2", "--model.low", "-.5"])
    assert (seen["name"], seen["count"], seen["rest"]) == ("one", -2, ("--model.low", "-.5"))


def test_help_tells_what_the_docstring_tells(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call(sample, "sample", ["--help"])
    printed = capsys.readouterr().out
    for words in ("usage: trm sample", "Do something.\n\nMore about it.", "what to do it to", "settings of others"):
        assert words in printed
    assert "Args:" not in printed
    assert "TRM_" not in printed


def test_help_shows_choices_once_and_no_types_of_python(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["solve", "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "--halt {auto,never,head,stable,rules}" in printed
    assert "(type: float | auto, default: 0.0)" in printed
    assert "Literal[" not in printed


def test_settings_come_from_the_environment_and_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRM_PLAIN__DEPTH", "5")
    monkeypatch.setenv("TRM_OTHER__DEPTH", "9")
    call(plain, "plain", ["board"])
    assert seen["depth"] == 5
    call(plain, "plain", ["board", "--depth=2"])
    assert seen["depth"] == 2
    monkeypatch.setenv("TRM_PLAIN__DEPTH", "deep")
    with pytest.raises(SystemExit) as stop:
        call(plain, "plain", ["board"])
    assert stop.value.code == 2


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["board", "--dep=3"], "unrecognized arguments: --dep=3; did you mean depth?"),  # no abbreviations
        (["board", "--depth=deep"], "depth"),
        ([], "required: board"),
    ],
)
def test_what_is_wrong_is_one_sentence(argv: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        call(plain, "plain", argv)
    assert stop.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith("trm: error: ")
    assert printed.count("\n") == 1
    assert told in printed


MIXED = ["fit", "--config=configs/mixture.yaml"]
OTHER = """
trainer: {callbacks: [StepEMA, Speed, Checkpoints]}
data: {init_args: {families: [Maze, Sudoku]}}
"""


def printed(capsys: pytest.CaptureFixture[str], options: list[str]) -> dict[str, Any]:
    """Return the configuration that the options make of ``MIXED``."""
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main([*MIXED, *options, "--print_config"])
    return dict(yaml.safe_load(capsys.readouterr().out))


@pytest.mark.parametrize(
    "options",
    [
        ["--data.families=[Maze, Sudoku]", "--trainer.callbacks=[StepEMA, Speed, Checkpoints]"],
        ["--data.families", "[Maze, Sudoku]", "--trainer.callbacks", "[StepEMA, Speed, Checkpoints]"],
        ["--config=other.yaml"],
    ],
)
def test_a_list_of_classes_replaces_an_earlier_one_whole(
    options: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("other.yaml").write_text(OTHER)
    loggers = "--trainer.logger=[{class_path: CSVLogger, init_args: {save_dir: a, prefix: b}}]"
    config = printed(
        capsys, [loggers, "--trainer.logger=[{class_path: CSVLogger, init_args: {save_dir: c}}]", *options]
    )
    maze, sudoku = (family["init_args"] for family in config["data"]["init_args"]["families"])
    assert (maze["size"], maze["train_size"], maze["kind"]) == (30, 1000, "hard")
    assert (sudoku["size"], sudoku["train_size"], sudoku["clues"]) == (9, 1000, None)
    average, *_ = config["trainer"]["callbacks"]
    assert average["init_args"] == {"decay": 0.999, "warmup": False}
    assert [logger["init_args"]["prefix"] for logger in config["trainer"]["logger"]] == [""]


def test_a_list_of_classes_can_be_added_to_and_its_last_one_changed(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data.families+=Pairs", "--data.families.source=pairs.jsonl", "--trainer.callbacks.monitor=val/cells"]
    config = printed(capsys, options)
    families = config["data"]["init_args"]["families"]
    assert [family["class_path"].split(".")[-1] for family in families] == ["Sudoku", "Maze", "Pairs"]
    assert (families[0]["init_args"]["size"], families[2]["init_args"]["source"]) == (4, "pairs.jsonl")
    assert config["trainer"]["callbacks"][2]["init_args"]["monitor"] == "val/cells"
    assert config["trainer"]["callbacks"][0]["init_args"]["warmup"] is True
