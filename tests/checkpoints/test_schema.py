"""What is no checkpoint, or one of another version, is refused in one sentence by every command, before anything."""

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from command import CHECKPOINT, FOUR, refused

from trm.checkpoints.files import read_checkpoint
from trm.checkpoints.load import load_checkpoint
from trm.cli.main import main
from trm.data import Sudoku
from trm.errors import InputError
from trm.module import TRMModule
from trm.zoo import find, names

BOARD = ".3...2.1...4...."
Q = ["--config=configs/quickstart.yaml", *FOUR]
COMMANDS = [
    ["info", "x.ckpt"],
    ["solve", "x.ckpt", BOARD],
    ["trace", "x.ckpt", BOARD, "-o", "out.html"],
    ["export", "x.ckpt", "--format=trm", "-o", "out.ckpt"],
    ["export", "x.ckpt", "--format=official", "-o", "out.pt"],
    ["analyze", "halting", "x.ckpt", "-o", "out.json"],
    ["fit", *Q, "--weights=x.ckpt"],
    ["fit", *Q, "--ckpt_path=x.ckpt"],
    ["validate", *Q, "--ckpt_path=x.ckpt"],
    ["test", *Q, "--ckpt_path=x.ckpt"],
    ["predict", *Q, "--ckpt_path=x.ckpt"],
    ["bench", *Q, "--what=solve", "--repeats=1", "--ckpt_path=x.ckpt"],
]


def set_part(*path: Any) -> Callable[[dict[str, Any]], None]:
    """Return a function that sets a value of a checkpoint: keys, and the value."""

    def change(checkpoint: dict[str, Any]) -> None:
        *keys, last, value = path
        for key in keys:
            checkpoint = checkpoint[key]
        checkpoint[last] = value

    return change


NAN = torch.full((2,), torch.nan)
CHANGES = {
    "no state": (set_part("state_dict", {}), "its state_dict lacks core.y_init, core.z_init"),
    "another shape": (set_part("state_dict", "core.y_init", torch.zeros(3)), r"core.y_init of shape \(3,\)"),
    "not finite": (set_part("state_dict", "core.halting_head.bias", NAN), "halting_head.bias contains numbers that"),
    "a wide network": (set_part("hyper_parameters", "hidden_size", 20_000), "hidden_size 20000"),
    "a deep network": (set_part("hyper_parameters", "num_layers", 10**6), "num_layers is 1000000, but must be from 1"),
    "endless cycles": (set_part("hyper_parameters", "cycles", 10**9), "cycles is 1000000000, but must be from 1 to"),
    "another kind": (set_part("hyper_parameters", "cycles", "2"), "cycles is '2', but must be int"),
    "another version": (set_part("hyper_parameters", "wings", 2), "TRMModule has no argument 'wings'"),
    "another family": (set_part("family", "init_args", "wings", 2), r"Sudoku has no argument 'wings'"),
    "a new family": (set_part("family", "class_path", "trm.data.Kakuro"), "trm.data.Kakuro, which does not exist"),
    "no tensors": (set_part("state_dict", "core.y_init", "x"), "its state_dict is .*, but must be dict"),
    "no metrics": (set_part("metrics", 5), "its metrics is 5, but must be dict"),
    "an expanded tensor": (set_part("x", torch.zeros(1).expand(10**12)), "is larger than the file"),
    "no version": (lambda checkpoint: checkpoint.pop("trm_version"), "it lacks trm_version"),
}


@pytest.fixture(scope="module")
def content(trained: Path) -> dict[str, Any]:
    return dict(torch.load(trained / CHECKPOINT, weights_only=True))


def copied(content: Any) -> Any:
    return {key: copied(value) for key, value in content.items()} if isinstance(content, dict) else content


@pytest.mark.parametrize("name", CHANGES)
def test_a_checkpoint_is_checked_before_anything_is_built(
    name: str, content: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, message = CHANGES[name]
    checkpoint = copied(content)
    change(checkpoint)
    path = tmp_path / "x.ckpt"
    torch.save(checkpoint, path)
    for load in (read_checkpoint, load_checkpoint, TRMModule.load_from_checkpoint, Sudoku.load_from_checkpoint):
        with pytest.raises(InputError, match=message):
            load(path)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_refuses_it_in_one_sentence(
    command: list[str], content: dict[str, Any], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({**content, "state_dict": {}}, "x.ckpt")
    assert "x.ckpt does not fit the network that it describes: its state_dict lacks" in refused(capsys, command)
    if "--data.slots=4" in command:  # its reading is the same as that of the others
        return
    Path("x.ckpt").write_bytes(b"root:x:0:\ndaemon:x:1:\n")
    assert "x.ckpt is not a checkpoint: torch.save writes a zip archive" in refused(capsys, command)
    torch.save({**content, "trm_version": "0.9\x1b[31m", "hyper_parameters": {"wings": 2}}, "x.ckpt")
    error = refused(capsys, command)
    assert "written by trm 0.9\\x1b[31m, does not fit this version" in error
    assert error.isprintable()


def test_every_bit_of_a_parameter_is_covered_by_a_checksum(trained: Path, tmp_path: Path) -> None:
    whole = (trained / CHECKPOINT).read_bytes()
    parameter = torch.load(trained / CHECKPOINT, weights_only=True)["state_dict"]["core.tokens.weight"]
    start = whole.index(parameter.numpy().tobytes())
    for bit in range(0, 8 * parameter.nbytes, 97):
        damaged = bytearray(whole)
        damaged[start + bit // 8] ^= 1 << bit % 8
        (tmp_path / "x.ckpt").write_bytes(damaged)
        with pytest.raises(InputError, match=r"the checksum of .*data/\d+ in it is wrong"):
            read_checkpoint(tmp_path / "x.ckpt")


@pytest.mark.parametrize("kind", ["empty", "text", "zip", "safetensors", "folder", "pipe", "missing", "long name"])
def test_other_files_are_no_checkpoints(kind: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("x.ckpt")
    match kind:
        case "empty" | "text" | "safetensors":
            path.write_bytes({"empty": b"", "text": b"root:x:0:\n", "safetensors": b"\2" + bytes(7) + b"{}"}[kind])
        case "zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("readme.txt", "no checkpoint")
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "long name":
            path = Path("x" * 300)
    for command in (["info", str(path)], ["import", str(path), "--family=sudoku", "-o", "out"]):
        error = refused(capsys, command)
        assert str(path) in error
        assert kind != "zip" or "it is a zip archive, but not one of torch.save" in error


@pytest.mark.parametrize(
    "command",
    [
        ["export", "x.ckpt", "--format=trm"],
        ["import", "x.ckpt", "--family=sudoku"],
        ["trace", "x.ckpt", BOARD],
        ["analyze", "halting", "x.ckpt"],
    ],
    ids=lambda command: command[0],
)
def test_no_command_writes_over_the_checkpoint_that_it_reads(
    command: list[str], trained: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(trained / CHECKPOINT, "x.ckpt")
    Path("link").symlink_to("x.ckpt")
    for output in ("x.ckpt", "link"):
        assert f"{output} is the file that is read" in refused(capsys, [*command, "-o", output, "--force"])
    assert Path("x.ckpt").read_bytes() == (trained / CHECKPOINT).read_bytes()


def test_a_compressed_archive_is_not_unpacked(trained: Path, tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(trained / CHECKPOINT) as old,
        zipfile.ZipFile(tmp_path / "x.ckpt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(InputError, match="neither compresses nor repeats"):
        read_checkpoint(tmp_path / "x.ckpt")


def test_info_escapes_what_would_control_a_terminal(
    content: dict[str, Any], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forged = {"\x1b]0;title\x07": 1.0, "two\nlines": 2.0}
    torch.save({**content, "metrics": forged, "imported_from": "\x1b[2Jclear"}, "x\x1b[31m.ckpt")
    assert main(["info", "x\x1b[31m.ckpt"]) == 0
    printed = capsys.readouterr().out
    assert all(line.isprintable() for line in printed.splitlines())
    for escaped in ("\\x1b]0;title\\x07 1", "two\\nlines 2", "imported from \\x1b[2Jclear", "x\\x1b[31m.ckpt, "):
        assert escaped in printed


def test_a_plain_trainer_checks_too(content: dict[str, Any], tmp_path: Path) -> None:
    from training import quiet_trainer

    torch.save({**content, "state_dict": {}}, tmp_path / "x.ckpt")
    module, data = TRMModule(6, 16, 0, hidden_size=16, num_heads=2), Sudoku(4, train_size=40, val_size=8, test_size=10)
    with pytest.raises(InputError, match="its state_dict lacks"):
        quiet_trainer(max_steps=1).fit(module, data, ckpt_path=str(tmp_path / "x.ckpt"))
    assert os.listdir(tmp_path) == ["x.ckpt"]  # noqa: PTH208 - names


@pytest.mark.parametrize("part", ["loops", "lr_schedulers", "optimizer_states", "slots"])
def test_the_state_of_training_is_checked_before_a_run_writes(
    part: str, content: dict[str, Any], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = [{"y": torch.zeros(1)}] if part == "slots" else {} if part == "loops" else [{}]
    torch.save({**content, part: empty}, "x.ckpt")
    assert part.partition("_")[0] in refused(capsys, ["fit", *Q, "--ckpt_path=x.ckpt", "--trainer.max_steps=8"])


@pytest.mark.parametrize("name", names())
def test_models_of_the_zoo_pass(name: str) -> None:
    assert read_checkpoint(name)["trm_version"]
    assert find(name).is_file()
