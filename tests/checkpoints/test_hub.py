"""Models on the Hugging Face hub: what is saved, pushed and loaded is bit-equal; all else is refused in a sentence."""

import json
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from command import refused
from fuzzing import examples, nested
from hub import TOKEN, Hub, standing_in
from hypothesis import given
from hypothesis import strategies as st
from paths import REPO
from safetensors.torch import load_file, save_file
from training import assert_same

import trm
from trm.checkpoints.files import read_checkpoint
from trm.checkpoints.load import load_checkpoint
from trm.checkpoints.sharing import shareable
from trm.cli.main import main
from trm.data.hub import CARD, CONFIG, WEIGHTS
from trm.errors import InputError
from trm.module import TRMModule
from trm.zoo import card

BOARD = ".2..4..13......4"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hub folder of a model of the zoo."""
    folder = tmp_path_factory.mktemp("exported") / "four"
    assert main(["export", "sudoku-4x4", "--format=hub", "-o", str(folder)]) == 0
    return folder


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of the test's own."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def folder(exported: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder to run in, with a copy of the hub folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRM_CACHE", str(cache))
    return Path(shutil.copytree(exported, "four"))


@pytest.fixture
def hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A stand-in for the hub that has the model me/four."""
    with standing_in(monkeypatch) as hub:
        hub.commit("me/four", {path.name: path.read_bytes() for path in folder.iterdir()})
        yield hub


def same_model(one: Any, other: Any) -> None:
    ours, theirs = (shareable(read_checkpoint(name), load_checkpoint(name)[1]) for name in (one, other))
    assert_same(ours, theirs)


# -- folders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sudoku-4x4", "arc-toy"])
def test_a_hub_folder_is_the_checkpoint_it_was_written_from(name: str, tmp_path: Path) -> None:
    assert main(["export", name, "--format=hub", "-o", str(tmp_path / "model")]) == 0
    same_model(tmp_path / "model", name)
    assert {path.name for path in (tmp_path / "model").iterdir()} == {CARD, CONFIG, WEIGHTS}
    config = json.loads((tmp_path / "model" / CONFIG).read_text())
    assert not any(isinstance(value, dict) and value for value in config["hyper_parameters"].values())


def test_the_card_has_metadata_and_the_measured_results(folder: Path) -> None:
    _, head, text = (folder / CARD).read_text().split("---\n", 2)
    assert text.strip() == card("sudoku-4x4").strip()
    facts = yaml.safe_load(head)
    assert (facts["library_name"], facts["license"]) == ("trm", "apache-2.0")
    results = {
        (result["dataset"]["split"], metric["type"]): metric["value"]
        for result in facts["model-index"][0]["results"]
        for metric in result["metrics"]
    }
    measured = read_checkpoint("sudoku-4x4")["metrics"]
    assert results == {
        ("test", "exact_match"): 1.0,
        ("validation", "exact_match"): round(measured["val/solved"], 6),
        ("validation", "accuracy"): round(measured["val/cells"], 6),
    }


def test_the_card_of_an_own_model_says_what_its_checkpoint_contains(tmp_path: Path) -> None:
    content = read_checkpoint("sudoku-4x4")
    content["metrics"] = {"val/solved": 0.5, "val/halting_auroc": float("nan")}
    torch.save(content, tmp_path / "mine.ckpt")
    assert main(["export", str(tmp_path / "mine.ckpt"), "--format=hub", "-o", str(tmp_path / "mine")]) == 0
    text = (tmp_path / "mine" / CARD).read_text()
    assert "# mine\n\nA Tiny Recursive Model for Sudoku: 5,266 parameters, trained for 768 steps." in text
    assert "- puzzles solved: 50.0 %\n" in text
    assert "license" not in text  # of a model that is not ours
    assert read_checkpoint(tmp_path / "mine")["metrics"] == {"val/solved": 0.5}


def test_a_folder_wins_over_the_name_of_the_zoo_and_others_do_not(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.rename("sudoku-6x6")
    assert main(["solve", "sudoku-6x6", BOARD]) == 0
    Path("maze-11x11").mkdir()
    assert main(["info", "maze-11x11"]) == 0
    Path("other").mkdir()
    assert "other is a folder without config.json and model.safetensors" in refused(capsys, ["solve", "other", BOARD])


def test_an_export_writes_all_or_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("taken").mkdir()
    Path("taken", CONFIG).write_text("precious")
    message = refused(capsys, ["export", "sudoku-4x4", "--format=hub", "-o", "taken"])
    assert "taken/config.json exists already; --force overwrites it" in message
    message = refused(capsys, ["export", "four", "--format=hub", "-o", "four", "--force"])
    assert "is the file that is read; choose another one to write to" in message
    Path("file").write_text("precious")
    assert "cannot write file/model.safetensors" in refused(
        capsys, ["export", "sudoku-4x4", "--format=hub", "-o", "file"]
    )
    assert "there is nothing to write" in refused(capsys, ["export", "sudoku-4x4", "--format=hub"])


@pytest.mark.parametrize("package", ["huggingface_hub", "safetensors.torch"])
def test_without_the_extra_the_pip_line_is_shown(
    package: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    name = package.partition(".")[0]
    message = refused(capsys, ["export", "sudoku-4x4", "--format=hub", "-o", "out"])
    assert "--format hub needs the package" in message
    assert "pip install 'trm[hub]'" in message
    commands = (
        [["push", "four", "me/four"], ["info", "hf:me/four"]] if name == "huggingface_hub" else [["info", "four"]]
    )
    for command in commands:
        assert f"needs the package {name}" in refused(capsys, command)


# -- the hub ----------------------------------------------------------------------------------------------------------


def test_what_is_pushed_is_loaded_bit_for_bit(
    folder: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("four/secret.txt").write_text("mine")
    before = list(hub.commits)
    assert main(["push", "four", "me/new"]) == 0
    printed = capsys.readouterr().out
    assert "would upload to me/new" in printed
    assert "nothing was sent; --yes uploads it" in printed
    assert list(hub.commits) == before
    assert not hub.asked
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert main(["push", "four", "me/new", "--yes"]) == 0
    name = capsys.readouterr().out.splitlines()[-1].removeprefix("uploaded: ")
    ((commit, files),) = hub.commits["me/new"].items()
    assert name == f"hf:me/new@{commit}"
    assert files == {path: (folder / path).read_bytes() for path in (WEIGHTS, CARD, CONFIG)}
    same_model(name, "sudoku-4x4")
    same_model("hf:me/new", "four")


@pytest.mark.slow
def test_a_name_on_the_hub_stands_for_a_checkpoint_everywhere(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (
        ["info", "hf:me/four"],
        ["solve", "hf:me/four", BOARD],
        ["trace", "hf:me/four", BOARD, "--terminal", "--delay=0"],
        ["export", "hf:me/four", "--format=trm", "-o", "copy.ckpt"],
        ["zoo", "hf:me/four"],
    ):
        assert main(command) == 0, command
    assert "# sudoku-4x4" in capsys.readouterr().out
    same_model("copy.ckpt", "sudoku-4x4")
    assert trm.load("hf:me/four").solve(BOARD).verdict.valid
    module = TRMModule.load_from_checkpoint("hf:me/four")
    assert_same(module.state_dict(), load_checkpoint("sudoku-4x4")[0].state_dict())
    small = ["--data.train_size=20", "--data.val_size=4", "--data.test_size=20", "--trainer.enable_progress_bar=false"]
    small += ["--data.slots=4", "--data.steps_per_batch=1"]
    config = ["--config", str(REPO / "configs/quickstart.yaml"), *small]
    assert main(["test", *config, "--ckpt_path=hf:me/four"]) == 0
    assert main(["fit", *config, "--ckpt_path=null", "--weights=hf:me/four", "--trainer.max_steps=1"]) == 0
    assert main(["fit", *config, "--ckpt_path=hf:me/four"]) == 2
    assert "hf:me/four contains only parameters, so training cannot resume from it" in capsys.readouterr().err


def test_a_model_is_pinned_at_its_first_use(folder: Path, cache: Path, hub: Hub) -> None:
    first = read_checkpoint("hf:me/four")
    state = {name: tensor + 1 for name, tensor in load_file(folder / WEIGHTS).items()}
    save_file(state, folder / WEIGHTS)
    commit = hub.commit("me/four", {WEIGHTS: (folder / WEIGHTS).read_bytes()})
    trm.data.hub._fetched_model.cache_clear()  # as another process would begin
    asked = len(hub.asked)
    assert_same(read_checkpoint("hf:me/four"), first)
    assert len(hub.asked) == asked  # without a network
    assert_same(read_checkpoint(f"hf:me/four@{commit}")["state_dict"], state)
    trm.data.hub._fetched_model.cache_clear()
    cached = cache / "hub" / "me--four@main" / WEIGHTS
    cached.write_bytes((folder / WEIGHTS).read_bytes())
    with pytest.raises(InputError, match=rf"{cached} has the SHA-256 .*lock.json records .*; delete one of the two"):
        read_checkpoint("hf:me/four")


def test_an_interrupted_download_leaves_nothing_that_is_used(
    hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # before it tries again
    hub.cut = True
    assert main(["info", "hf:me/four"]) == 2
    (message,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("trm: error: ")]
    assert "cannot download model.safetensors of me/four" in message
    assert not list(cache.rglob(WEIGHTS))
    hub.cut = False
    same_model("hf:me/four", "sudoku-4x4")


def test_what_the_hub_does_not_have_is_refused(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    four = {name: content for files in hub.commits["me/four"].values() for name, content in files.items()}
    hub.commit("me/llama", {**four, CONFIG: b'{"model_type": "llama"}'})
    hub.commit("me/empty", {CONFIG: four[CONFIG]})
    hub.commit("me/big", {**four, CONFIG: b" " * 2_000_000})
    for name, message in (
        ("hf:me", "the name of the model is 'hf:me', but on the hub it must be hf:OWNER/NAME or hf:OWNER/NAME@REV"),
        ("hf:me/four@", "the name of the model is 'hf:me/four@'"),
        ("hf:../../etc", "the name of the model is 'hf:../../etc'"),
        ("hf:me/four/config.json", "the name of the model is 'hf:me/four/config.json'"),
        ("hf:me/none", f"there is no model me/none on the hub at {hub.url}, or it is private; private ones need a"),
        ("hf:me/four@v9", f"me/four has no revision 'v9' on the hub at {hub.url}"),
        ("hf:me/empty", "on the hub has no file model.safetensors, which is needed"),
        ("hf:me/llama", "config.json of me/llama has the model_type 'llama', so trm export did not write it"),
        ("hf:me/big", "config.json of me/big at main has 2,000,000 bytes, but at most 1,048,576 are accepted"),
    ):
        assert main(["info", name]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
    assert not [path for path in hub.asked if path.startswith("GET /me/big")]
    assert not [path for path in hub.asked if WEIGHTS in path and "llama" in path]


def test_a_hub_that_cannot_be_reached_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with standing_in(monkeypatch) as hub:
        pass  # it has stopped
    assert main(["info", "hf:me/four"]) == 2
    assert f"cannot download config.json of me/four at main from the hub at {hub.url}: " in capsys.readouterr().err
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert f"cannot upload to me/four on {hub.url}: " in refused(capsys, ["push", "four", "me/four", "--yes"])


def test_a_push_that_cannot_be_is_refused(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("other").mkdir()
    for arguments, message in (
        (["four", "me"], "the repository is 'me', but must be OWNER/NAME"),
        (["four", "me/four@v1"], "the repository is 'me/four@v1', but must be OWNER/NAME"),
        (["other", "me/four"], "'other' is not a folder that trm export --format hub writes"),
        (["sudoku-4x4", "me/four"], "'sudoku-4x4' is not a folder that trm export --format hub writes"),
        (["four", "me/four", "--yes"], "in the environment variable HF_TOKEN, which is not set"),
    ):
        assert message in refused(capsys, ["push", *arguments])
    for token, message in (("wrong", "401 Unauthorized"), ("two words", "HF_TOKEN is set, but is no token")):
        monkeypatch.setenv("HF_TOKEN", token)
        line = refused(capsys, ["push", "four", "me/four", "--yes"])
        assert message in line
        assert token not in line
    assert len(hub.commits["me/four"]) == 1
    Path("four", CONFIG).write_text("{}")
    assert "config.json of four has the model_type None" in refused(capsys, ["push", "four", "me/four"])


# -- hostile folders --------------------------------------------------------------------------------------------------


def config(**changes: Any) -> Callable[[Path], None]:
    """Return what changes values of the configuration, those of its parts by PART__NAME."""

    def change(folder: Path) -> None:
        content = json.loads((folder / CONFIG).read_text())
        for name, value in changes.items():
            *parents, last = name.split("__")
            place = content
            for parent in parents:
                place = place[parent]
            place[last] = value
        (folder / CONFIG).write_text(json.dumps(content))

    return change


def text(content: str | bytes, file: str = CONFIG) -> Callable[[Path], None]:
    return lambda folder: (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())


def state(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        save_file(tensors, folder / WEIGHTS)

    return write


def header(value: dict[str, Any], size: int | None = None) -> Callable[[Path], None]:
    content = json.dumps(value).encode()
    return text(struct.pack("<Q", len(content) if size is None else size) + content + bytes(8), WEIGHTS)


HEAD = "core.halting_head.bias"
HOSTILE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "not json": (text("{"), "config.json is not JSON"),
    "a list": (text("[]"), "config.json of four has the model_type of a list"),
    "nested": (text("[" * 100_000), "nested too deeply"),
    "large": (text(" " * 2_000_000), "has 2,000,000 bytes, but at most 1,048,576 are accepted"),
    "code": (config(auto_map={"AutoModel": "evil.Model"}), "has auto_map, which this version does not know"),
    "parameters": (config(state_dict={}), "has state_dict, which this version does not know"),
    "nothing": (text('{"model_type": "trm"}'), "is not a checkpoint written by trm: it lacks hyper_parameters"),
    "an argument": (config(hyper_parameters__wings=2), "TRMModule has no argument 'wings'"),
    "a kind": (config(hyper_parameters__hidden_size="64"), "hidden_size is '64', but must be int"),
    "a size": (config(hyper_parameters__hidden_size=10**9), "four"),
    "a number": (config(hyper_parameters__hidden_size=10**200), "it contains a number of 665 bits"),
    "values": (config(family__init_args__clues=nested(60)), "its values are nested too deeply"),
    "another width": (config(hyper_parameters__hidden_size=32), "does not fit the network that it describes"),
    "a network": (config(hyper_parameters__network="evil.Net"), "is not part of trm: pass --module"),
    "a module": (config(module={"class_path": "evil.M", "init_args": {}}), "evil.M, which is not part of trm"),
    "a family": (config(family__class_path="evil.F"), "evil.F, which is not part of trm: pass --family evil.F"),
    "a part of ours": (config(family__class_path="trm.data.hub.json"), "which does not exist here"),
    "a folder": (config(family__init_args__root="/etc"), "names a local folder: root is '/etc'; accepted are None"),
    "a path": (config(family__init_args__source="../../x"), "names a local folder: source is '../../x'"),
    "a hidden path": (
        config(family={"class_path": "trm.data.sudoku.Sudoku", "init_args": {"size": 4, "root": "/etc"}}),
        "names a local folder: root is '/etc'",
    ),
    "escapes": (config(**{"\x1b[31m": 1}), "\\x1b[31m, which this version does not know"),
    "cut": (lambda folder: text((folder / WEIGHTS).read_bytes()[:-9], WEIGHTS)(folder), "truncated or corrupt"),
    "empty": (text(b"", WEIGHTS), "model.safetensors of four is truncated or corrupt"),
    "huge header": (header({}, 1 << 60), "its header of 1,152,921,504,606,846,976 bytes exceeds the accepted"),
    "large header": (header({}, 1 << 21), "its header of 2,097,152 bytes exceeds the accepted 1,048,576"),
    "beyond the end": (
        header({HEAD: {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}),
        "model.safetensors of four is truncated or corrupt",
    ),
    "unknown dtype": (header({HEAD: {"dtype": "X9", "shape": [2], "data_offsets": [0, 8]}}), "truncated or corrupt"),
    "half": (state(lambda s: s.update({HEAD: s[HEAD].half()})), f"has {HEAD} in torch.float16; accepted is torch.fl"),
    "double": (state(lambda s: s.update({HEAD: s[HEAD].double()})), f"has {HEAD} in torch.float64"),
    "integers": (state(lambda s: s.update({HEAD: s[HEAD].long()})), f"{HEAD} of torch.int64 in place of torch.float32"),
    "shape": (state(lambda s: s.update({HEAD: torch.ones(3)})), f"{HEAD} of shape (3,) in place of (2,)"),
    "missing": (state(lambda s: s.pop(HEAD)), f"lacks {HEAD}"),
    "extra": (state(lambda s: s.update({"../../x": torch.ones(1)})), "has no use for ../../x"),
    "not a number": (state(lambda s: s[HEAD].fill_(np.nan)), f"{HEAD} contains numbers that are not finite"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_folder_is_refused_in_a_sentence(what: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, message = HOSTILE[what]
    change(folder)
    assert message in refused(capsys, ["solve", "four", BOARD])
    assert "evil" not in sys.modules


@examples(40)
@given(st.data())
def test_damaged_bytes_are_refused_or_read(exported: Path, tmp_path: Path, data: st.DataObject) -> None:
    shutil.copytree(exported, tmp_path / "x", dirs_exist_ok=True)
    file = tmp_path / "x" / data.draw(st.sampled_from([CONFIG, WEIGHTS]))
    content = bytearray(file.read_bytes())
    where = data.draw(st.integers(0, min(len(content), 4000) - 1))  # of parameters, mostly the header
    content[where : where + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=20))
    file.write_bytes(content)
    try:
        read_checkpoint(tmp_path / "x")
    except InputError as error:
        assert "\n" not in str(error)
