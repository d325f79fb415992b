"""Two devices with the arguments that Lightning defaults to: every sample once, and the numbers of one device."""

import csv
import json
import sys
from pathlib import Path

import pytest
from processes import run

SCRIPT = """
import json, sys, warnings
from lightning.pytorch import Trainer, seed_everything
from trm.callbacks.ema import StepEMA
from trm.callbacks.writers import PredictionWriter
from trm.data import Sudoku
from trm.module import TRMModule

warnings.filterwarnings("ignore")
devices = int(sys.argv[1])
seed_everything(0, verbose=False)
data = Sudoku(size=4, train_size=40, val_size=13, test_size=13, clues=(8, 8), slots=6, steps_per_batch=2, root="data")
module = TRMModule(
    vocab_size=data.vocab_size, seq_len=data.seq_len, hidden_size=16, num_heads=2, multiple_of=8, cycles=1,
    latent_steps=1, puzzle_tokens=0, supervision_steps=2, min_lr_ratio=0.1, warmup_steps=3,
)
found = {}
trainer = Trainer(accelerator="cpu", devices=devices, max_epochs=2, callbacks=[StepEMA(), PredictionWriter()])
trainer.fit(module, data)
found |= {"steps": trainer.global_step, "epoch": trainer.current_epoch, "batches": trainer.num_training_batches}
found["validate"] = trainer.validate(module, data)[0]
found["test"] = trainer.test(module, data)[0]
trainer.predict(module, data)
found["folder"] = trainer.log_dir
if trainer.is_global_zero:
    open(f"found-{devices}.json", "w").write(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, dict[str, object]]]:
    """What the script finds on one device and on two."""
    folder = tmp_path_factory.mktemp("devices")
    (folder / "script.py").write_text(SCRIPT)
    for devices in (1, 2):
        ((status, printed),) = run(folder, [sys.executable, "script.py", str(devices)])
        assert status == 0, printed
    return folder, {devices: json.loads((folder / f"found-{devices}.json").read_text()) for devices in (1, 2)}


@pytest.mark.slow
def test_an_epoch_is_one_pass_on_any_number_of_devices(found: tuple[Path, dict[int, dict[str, object]]]) -> None:
    for devices in (1, 2):
        facts = found[1][devices]
        assert (facts["batches"], facts["epoch"], facts["steps"]) == (4, 2, 16)  # 40 samples, 12 a batch; 2 steps each


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["validate", "test"])
def test_two_devices_measure_what_one_does(stage: str, found: tuple[Path, dict[int, dict[str, float]]]) -> None:
    one, two = found[1][1][stage], found[1][2][stage]
    assert one.keys() == two.keys()
    for loss in ("answer_loss", "halting_loss"):  # after training in float32, in another order of sums
        name = f"{stage.removesuffix('idate')}/{loss}"
        assert two[name] == pytest.approx(one[name], rel=1e-4)


@pytest.mark.slow
def test_two_devices_predict_each_of_thirteen_puzzles_once(found: tuple[Path, dict[int, dict[str, str]]]) -> None:
    folder, facts = found
    questions = {}
    for devices in (1, 2):
        files = (folder / facts[devices]["folder"]).glob("predictions*.csv")
        rows = [row for file in files for row in csv.DictReader(file.read_text().splitlines())]
        questions[devices] = sorted(row["question"] for row in rows)
    assert len(questions[1]) == 13
    assert questions[1] == questions[2]
