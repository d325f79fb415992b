"""Checkpoints are written whole or not at all, and say what they are."""

import json
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from training import quiet_trainer

from trm.callbacks.checkpoints import Checkpoints
from trm.checkpoints.files import CheckpointFiles, read_checkpoint
from trm.checkpoints.load import load_checkpoint
from trm.checkpoints.summary import describe
from trm.cli.main import main
from trm.data import Sudoku
from trm.errors import DivergedError, InputError
from trm.module import TRMModule

pytestmark = [
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
]


def data(root: Path, **arguments: Any) -> Sudoku:
    return Sudoku(
        4, train_size=30, val_size=4, test_size=4, clues=(8, 8), root=str(root), slots=4, steps_per_batch=3, workers=0
    )


def module(**arguments: Any) -> TRMModule:
    sizes = {"hidden_size": 16, "num_heads": 2, "multiple_of": 8, "cycles": 1, "latent_steps": 1, "puzzle_tokens": 1}
    return TRMModule(6, 16, 1, **{**sizes, "supervision_steps": 3, **arguments})


def fit(folder: Path, core: TRMModule, max_steps: int, every: int = 0, ckpt_path: str | None = None) -> None:
    trainer = quiet_trainer(
        max_steps=max_steps,
        limit_train_batches=3,
        enable_checkpointing=True,
        callbacks=[Checkpoints(str(folder), every)],
        plugins=[CheckpointFiles()],
    )
    trainer.fit(core, data(folder / "data"), ckpt_path=ckpt_path, weights_only=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of nine steps, whose last epoch ended with a validation."""
    folder = tmp_path_factory.mktemp("run")
    fit(folder, module(), 9)
    return folder


class Steps(Checkpoints):
    """Notes at which steps it saved."""

    saved: list[int]

    def _save(self, trainer: Any, signum: int) -> None:
        self.saved = [*getattr(self, "saved", []), trainer.global_step]
        super()._save(trainer, signum)


@pytest.mark.parametrize(("every", "steps"), [(0, [9, 18, 20]), (3, [3, 6, 9, 12, 15, 18, 20]), (7, [9, 15, 18, 20])])
def test_a_checkpoint_is_saved_where_a_multiple_is_passed_and_after_validation(
    every: int, steps: list[int], tmp_path: Path
) -> None:
    callback = Steps(str(tmp_path), every)
    trainer = quiet_trainer(max_steps=20, limit_train_batches=3, enable_checkpointing=True, callbacks=[callback])
    trainer.fit(module(), data(tmp_path / "data"))
    assert callback.saved == steps


def test_a_full_disk_leaves_the_last_checkpoint_untouched(run: Path, tmp_path: Path) -> None:
    shutil.copy(run / "last.ckpt", tmp_path)
    before = (tmp_path / "last.ckpt").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(InputError, match=r"cannot write .*last\.ckpt: File too large; what stood there before"):
            CheckpointFiles().save_checkpoint(read_checkpoint(run / "last.ckpt"), tmp_path / "last.ckpt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "last.ckpt").read_bytes() == before
    assert list(tmp_path.iterdir()) == [tmp_path / "last.ckpt"]


def test_what_a_kill_left_behind_is_cleared_away(run: Path, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt.0123abcd.part").write_bytes(b"half a checkpoint")
    CheckpointFiles().save_checkpoint(read_checkpoint(run / "last.ckpt"), tmp_path / "last.ckpt")
    assert list(tmp_path.iterdir()) == [tmp_path / "last.ckpt"]
    assert read_checkpoint(tmp_path / "last.ckpt")["global_step"] == 9


def test_a_folder_that_cannot_be_written_ends_the_run_with_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*file/last\.ckpt"):
        CheckpointFiles().save_checkpoint({}, tmp_path / "file" / "last.ckpt")


def spoil(core: TRMModule, step: int) -> None:
    """Let the weights become so large just before a supervision step that its gradients are not finite."""
    take = core.supervision_step

    def spoilt(fresh: Any) -> None:
        if core.global_step == step:
            with torch.no_grad():
                core.core.answer_head.weight[0] = 3e38
        take(fresh)

    core.supervision_step = spoilt  # type: ignore[method-assign]


def test_a_diverged_run_stops_and_leaves_the_last_checkpoint_alone(tmp_path: Path) -> None:
    core = module()
    spoil(core, 7)
    with pytest.raises(DivergedError, match=r"parameters .* steps 6 to 8, .* draws 24 to 35; resume"):
        fit(tmp_path, core, 20, every=3)
    assert read_checkpoint(tmp_path / "last.ckpt")["global_step"] == 6
    assert not (tmp_path / "diverged.ckpt").exists()


def test_the_state_before_a_divergence_leads_there_again(tmp_path: Path) -> None:
    core = module(check_finite="step")
    spoil(core, 7)
    with pytest.raises(DivergedError, match=r"gradients .* steps 7 to 7, which were offered the draws 28 to 31"):
        fit(tmp_path, core, 20, every=3)
    saved = read_checkpoint(tmp_path / "diverged.ckpt")
    assert saved["global_step"] == 7
    assert read_checkpoint(tmp_path / "last.ckpt")["global_step"] == 6
    with pytest.raises(DivergedError, match="steps 7 to 7,"):
        fit(tmp_path / "again", module(check_finite="step"), 20, 3, str(tmp_path / "diverged.ckpt"))


def test_a_run_may_be_told_not_to_look(tmp_path: Path) -> None:
    core = module(check_finite="never")
    spoil(core, 1)
    fit(tmp_path, core, 3)
    assert read_checkpoint(tmp_path / "last.ckpt")["global_step"] == 3


def test_info_tells_what_a_checkpoint_is(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = describe(run / "last.ckpt")
    assert facts["family"] == "trm.data.Sudoku"
    assert facts["step"] == 9
    assert facts["parameters"] == sum(p.numel() for p in module().parameters())
    assert facts["model"]["hidden_size"] == 16
    assert facts["data"]["size"] == 4
    assert 0 <= facts["metrics"]["val/solved"] <= 1
    assert facts["bytes"]["puzzle embedding"] == 4 * 16
    assert facts["bytes"]["parameters"] == 4 * (facts["parameters"] + 2 * 16)  # the initial states are no parameters
    assert sum(facts["bytes"].values()) < facts["file_bytes"]
    assert main(["info", str(run / "last.ckpt")]) == 0
    printed = capsys.readouterr().out
    assert "step        9\n" in printed
    assert "  hidden_size 16\n" in printed
    assert main(["info", str(run / "last.ckpt"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(facts))
    assert main(["info", str(run / "nothing.ckpt")]) == 2


def changed(run: Path, folder: Path, **values: Any) -> Path:
    """A copy of the run's checkpoint with other hyper-parameters."""
    checkpoint = torch.load(run / "last.ckpt", weights_only=True)
    checkpoint["hyper_parameters"] |= values
    checkpoint["trm_version"] = "0.9"
    torch.save(checkpoint, folder / "changed.ckpt")
    return folder / "changed.ckpt"


def test_a_checkpoint_of_another_version_is_refused(run: Path, tmp_path: Path) -> None:
    path = changed(run, tmp_path, wings=2)
    with pytest.raises(
        InputError, match=r"written by trm 0\.9, does not fit this version, [\d.]+: TRMModule has no argument 'wings'"
    ):
        load_checkpoint(path)
    with pytest.raises(InputError, match=r"num_heads 4, but the configuration has 2"):
        fit(tmp_path, module(), 12, ckpt_path=str(changed(run, tmp_path, num_heads=4)))
    checkpoint = torch.load(run / "last.ckpt", weights_only=True)
    del checkpoint["state_dict"]["core.blocks.0.mlp.down.weight"]
    torch.save(checkpoint, path)
    with pytest.raises(InputError, match=r"does not fit .*core\.blocks\.0\.mlp\.down\.weight"):
        load_checkpoint(path)


def test_code_in_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    class Opens:
        def __reduce__(self) -> tuple[Any, tuple[str, str]]:
            return open, (str(proof), "w")

    proof = tmp_path / "proof"
    torch.save(Opens(), tmp_path / "e.ckpt")
    with pytest.raises(InputError, match="only tensors and plain values are loaded"):
        read_checkpoint(tmp_path / "e.ckpt")
    assert not proof.exists()
