"""What people bring of their own: a module, a network, a loss, plain data loaders; without an edit of the package."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from paths import REPO
from torch.utils.data import DataLoader
from training import BOARDS, SMALL

from trm.batch import Batch
from trm.checkpoints.load import load_checkpoint
from trm.cli.main import main
from trm.data import Maze, Sudoku
from trm.errors import InputError
from trm.module import TRMModule
from trm.nn import TRM
from trm.solver import Solver

MY_NETS = '''
import torch

from trm.nn import TRM


class Gated(TRM):
    """A learned gate decides, channel by channel, how much of the new answer to take."""

    def __init__(self, gate=0.0, **kwargs):
        super().__init__(**kwargs)
        self.gate = torch.nn.Parameter(torch.full_like(self.y_init, gate))

    def cycle(self, x, y, z):
        new, z = super().cycle(x, y, z)
        return y + self.gate.sigmoid() * (new - y), z
'''
MY_MODELS = '''
from trm.module import TRMModule


class Sharp(TRMModule):
    """Counts the loss of the answer several times, and always uses the softmax.

    Args:
        sharpness: how often.
        kwargs: arguments of TRMModule.
    """

    def __init__(self, sharpness: float = 2.0, **kwargs):
        super().__init__(loss="softmax", **kwargs)
        self.sharpness = sharpness

    def answer_loss(self, logits, labels):
        return self.sharpness * super().answer_loss(logits, labels)
'''
BOARD = "1...2.....3....4"
TINY: dict[str, Any] = {"hidden_size": 8, "num_heads": 2, "multiple_of": 8, "cycles": 1, "latent_steps": 1}


def forget() -> None:
    """Leave Python as a process of its own would be."""
    for name in ("my_nets", "my_models"):
        sys.modules.pop(name, None)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_nets.py").write_text(MY_NETS)
    (tmp_path / "my_models.py").write_text(MY_MODELS)
    forget()
    yield tmp_path
    forget()


def arguments(*own: str) -> list[str]:
    config = ["--config", str(REPO / "configs/quickstart.yaml"), *SMALL, *BOARDS, *own]
    config.append("--trainer.log_every_n_steps=1")
    return [*config, "--trainer.limit_train_batches=1", "--trainer.max_steps=4", "--trainer.enable_progress_bar=false"]


LAST = "runs/quickstart/checkpoints/last.ckpt"


def test_an_own_module_with_an_own_network_is_trained_tested_and_solves(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ["--model=my_models.Sharp", "--model.sharpness=3", "--model.network=my_nets.Gated"]
    own.append('--model.network_args={"gate": 0.5}')
    assert main(["fit", *arguments(*own)]) == 0
    assert main(["test", *arguments(*own)]) == 0
    assert "test/solved" in capsys.readouterr().out
    checkpoint = torch.load(LAST, weights_only=True)
    assert checkpoint["module"]["class_path"] == "my_models.Sharp"
    assert checkpoint["module"]["init_args"]["sharpness"] == 3
    assert checkpoint["hyper_parameters"]["network"] == "my_nets.Gated"
    assert checkpoint["hyper_parameters"]["hidden_size"] == 16
    assert checkpoint["hyper_parameters"]["loss"] == "softmax"

    forget()
    solve = ["solve", LAST, BOARD]
    assert main(solve) == 2
    assert "pass --module my_models.Sharp,my_nets.Gated" in capsys.readouterr().err
    assert not {"my_models", "my_nets"} & sys.modules.keys()
    assert main([*solve, "--module=my_models.Sharp"]) == 2
    assert "my_nets.Gated, which is not part of trm" in capsys.readouterr().err
    assert main([*solve, "--module=my_models.Sharp,my_nets.Gated"]) in (0, 1)
    assert main(["trace", LAST, BOARD, "--terminal", "--module=my_models.Sharp,my_nets.Gated"]) == 0
    assert main(["analyze", "halting", LAST, "--puzzles=4", "--module=my_models.Sharp,my_nets.Gated"]) == 0
    capsys.readouterr()
    assert main([*solve, "--module=my_nets.Other,my_nets.Gated"]) == 2
    assert "names my_nets.Other, but" in capsys.readouterr().err


def test_a_configuration_may_name_the_module_and_a_saved_one_does(here: Path) -> None:
    (here / "own.yaml").write_text("model: {class_path: my_models.Sharp, init_args: {sharpness: 4.0}}\n")
    assert main(["fit", *arguments("--config=own.yaml")]) == 0
    saved = (here / "runs/quickstart/config.yaml").read_text()
    assert "class_path: my_models.Sharp" in saved
    assert "sharpness: 4.0" in saved
    assert torch.load(LAST, weights_only=True)["module"]["init_args"]["hidden_size"] == 16


def test_another_module_or_network_cannot_evaluate_a_checkpoint(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", *arguments("--model.network=my_nets.Gated")]) == 0
    assert main(["test", *arguments()]) == 2
    assert "network 'my_nets.Gated'" in capsys.readouterr().err
    assert main(["test", *arguments("--model=my_models.Sharp", "--model.network=my_nets.Gated")]) == 2
    assert "pass --model trm.module.TRMModule" in capsys.readouterr().err
    other = '--model.network_args={"gate": 1.0}'
    assert main(["test", *arguments("--model.network=my_nets.Gated", other)]) == 2
    assert "network_args {}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model=my_models.Shrap"], "the model is my_models.Shrap, which does not exist"),
        (["--model=my_nets.Gated"], "my_nets.Gated, which is not a TRMModule"),
        (["--model.network=my_nets.Gatde"], "my_nets.Gatde, which does not exist"),
        (["--model.network=gated"], "must be one of trm, single_z"),
        (["--model.network=my_models.Sharp"], "my_models.Sharp, which is not a TRM"),
        (["--model.network=my_nets.Gated", '--model.network_args={"gatte": 1}'], "takes gate"),
        (['--model.network_args={"gate": 1}'], "takes none beyond those of trm"),
    ],
)
def test_a_class_or_argument_that_does_not_exist_is_refused_in_one_sentence(
    options: list[str], words: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status: Any = main(["fit", *arguments(*options)])
    except SystemExit as exit_:
        status = exit_.code
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert status == 2
    assert words in error
    assert error.startswith("trm: error: ")


def test_an_own_loss_changes_what_is_trained_and_logged(here: Path) -> None:
    from my_models import Sharp

    logits, labels = torch.randn(3, 16, 6), torch.randint(1, 6, (3, 16))
    sharp, plain = Sharp(vocab_size=6, seq_len=16, **TINY), TRMModule(6, 16, loss="softmax")
    torch.testing.assert_close(sharp.answer_loss(logits, labels), 2 * plain.answer_loss(logits, labels))
    data = Sudoku(4, train_size=8, val_size=4, test_size=4, clues=(8, 8), slots=4, steps_per_batch=1, workers=0)
    results = []
    for kind in (TRMModule, Sharp):
        torch.manual_seed(0)
        module = kind(vocab_size=6, seq_len=16, **TINY, **({} if kind is Sharp else {"loss": "softmax"}))
        trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
        results.append(trainer.test(module, data, verbose=False)[0]["test/answer_loss"])
    assert results[1] == pytest.approx(2 * results[0])


class Doubled(TRM):
    """A network with an argument of its own, defined where it is used."""

    def __init__(self, times: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.times = times

    def network(self, hidden: torch.Tensor) -> torch.Tensor:
        for _ in range(self.times):
            hidden = super().network(hidden)
        return hidden


def plain_loader() -> DataLoader[Batch]:
    """One batch of four boards, (B, ...)."""
    inputs = torch.randint(1, 6, (4, 16), dtype=torch.int32)
    return DataLoader([Batch(inputs, inputs.clone(), torch.zeros(4, dtype=torch.int32))], batch_size=None)


def test_a_run_on_plain_loaders_saves_a_checkpoint_that_needs_its_data(tmp_path: Path) -> None:
    module = TRMModule(6, 16, network=Doubled, network_args={"times": 3}, **TINY)
    trainer = Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path, enable_progress_bar=False)
    trainer.validate(module, plain_loader(), verbose=False)
    path = tmp_path / "own.ckpt"
    trainer.save_checkpoint(path)
    with pytest.raises(InputError, match=r"own.ckpt does not name the family .* data=\.\.\."):
        load_checkpoint(path)
    data = Sudoku(size=4)
    loaded, same = load_checkpoint(path, data=data)
    assert same is data
    assert isinstance(loaded.core, Doubled)
    assert loaded.core.times == 3
    inputs = torch.ones(2, 16, dtype=torch.int32)
    assert torch.equal(loaded(inputs), module.eval()(inputs))
    assert load_checkpoint(path, family="trm.data.Sudoku", data=Sudoku(size=4))[1].seq_len == 16
    with pytest.raises(InputError, match=r"vocab_size 6, but trm\.data\.Sudoku has 11"):
        load_checkpoint(path, data=Sudoku())
    with pytest.raises(InputError, match="pass one of the two"):
        load_checkpoint(path, family="trm.data.Maze", data=data)
    assert Solver(path, data).solve(BOARD).answer.shape == (16,)


def test_a_network_is_named_by_its_class_its_name_or_its_path() -> None:
    for network in (Doubled, f"{__name__}.Doubled"):
        sys.modules.setdefault(__name__, sys.modules[Doubled.__module__])
        module = TRMModule(6, 16, network=network, **TINY)
        assert module.hparams["network"] == f"{Doubled.__module__}.Doubled"
    assert TRMModule(6, 16, network="trm.nn.variants.HRM", **TINY).hparams["network"] == "hrm"


def test_hyper_parameters_are_flat_and_hold_what_was_not_given() -> None:
    hparams = dict(TRMModule(6, 16, conv=2).hparams)
    assert (hparams["conv"], hparams["latent_steps"], hparams["num_puzzles"]) == (2, 4, 0)
    assert "architecture" not in hparams
    assert dict(TRMModule(**hparams).hparams) == hparams
    with pytest.raises(TypeError, match="hiden_size"):
        TRMModule(6, 16, hiden_size=3)


def test_a_solver_takes_a_module_and_its_family_and_refuses_what_it_cannot_use() -> None:
    module, data = TRMModule(6, 16, **TINY), Sudoku(size=4)
    assert Solver(module, data).solve(BOARD).steps == Solver((module, data)).solve(BOARD).steps
    with pytest.raises(InputError, match="data is a NoneType, but a module needs its family"):
        Solver(module)
    with pytest.raises(InputError, match="the model is a int"):
        Solver(3, data)
    with pytest.raises(InputError, match=r"seq_len 16, but trm\.data\.Maze has 900"):
        Solver(module, Maze())
