"""The writers: answers in a file, and pictures in TensorBoard."""

import csv
import io
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from ranks import Guess, small_module
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training import assert_same, quiet_trainer

from trm.batch import IGNORE, Batch
from trm.callbacks.ema import StepEMA
from trm.callbacks.writers import Pictures, PredictionWriter
from trm.data import Sudoku
from trm.inference import Prediction
from trm.module import TRMModule
from trm.trace.picture import picture
from trm.trace.record import Recording, record


def test_puzzles_without_a_label_are_written_and_padding_is_not(tmp_path: Path) -> None:
    data = Sudoku(size=4)
    question = torch.tensor(data.parse(".3...2.1...4....").astype("int32"))
    answer = torch.tensor(data.parse("1342423131242413").astype("int32"))
    inputs = torch.stack([question, question, torch.zeros_like(question)])
    labels = torch.stack([answer, *[torch.full_like(answer, IGNORE)] * 2])
    prediction = Prediction(torch.stack([answer] * 3), torch.zeros(3), torch.tensor([1, 2, 3]))
    writer = PredictionWriter()
    strategy = SimpleNamespace(reduce=lambda rows, reduce_op: rows, barrier=lambda: None)
    trainer = SimpleNamespace(
        global_rank=0,
        world_size=1,
        is_global_zero=True,
        datamodule=data,
        log_dir=str(tmp_path / "new"),
        strategy=strategy,
    )
    writer.on_predict_start(trainer, None)
    writer.write_on_batch_end(trainer, None, prediction, None, Batch(inputs, labels, torch.zeros(3)), 0, 0)
    writer.on_predict_end(trainer, SimpleNamespace(device="cpu"))
    with (tmp_path / "new" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["steps"], row["valid"], row["correct"]) for row in rows] == [("1", "True", "True"), ("2", "True", "")]
    assert rows[0]["confidence"] == "0.5000"


class Fails(TRMModule):
    """Ends the second batch of a prediction with an error."""

    error: BaseException | None = None

    def predict_step(self, batch: Batch, batch_idx: int) -> Prediction:
        if batch_idx and self.error:
            raise self.error
        return super().predict_step(batch, batch_idx)


def predict(folder: Path, error: BaseException | None = None) -> None:
    module = Fails(**small_module().hparams)
    module.error = error
    trainer = quiet_trainer(callbacks=[PredictionWriter(str(folder / "predictions.csv"))])
    trainer.predict(module, Guess(size=7, eval_batch_size=2), return_predictions=False)


@pytest.mark.filterwarnings("ignore:Couldn't infer the batch indices")
@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError(), OSError(28, "No space left on device")])
def test_a_prediction_that_is_cut_short_leaves_the_files_of_the_earlier_one(
    tmp_path: Path, error: BaseException
) -> None:
    for name in ("predictions.csv", "predictions-1.csv"):  # of two ranks
        (tmp_path / name).write_text("earlier")
    with pytest.raises(SystemExit if isinstance(error, KeyboardInterrupt) else type(error)):
        predict(tmp_path, error)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "predictions.csv": "earlier",
        "predictions-1.csv": "earlier",
    }


@pytest.mark.filterwarnings("ignore:Couldn't infer the batch indices")
def test_a_prediction_replaces_the_files_of_more_ranks_and_reports_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("predictions.csv", "predictions-1.csv", "predictions-12.csv", "predictions-mine.csv"):
        (tmp_path / name).write_text("earlier")
    with caplog.at_level("INFO"):
        predict(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["predictions-mine.csv", "predictions.csv"]
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 1 + 7
    assert f"Wrote {tmp_path / 'predictions.csv'}: 7 answers." in caplog.text


def test_pictures_show_the_answers_of_steps_1_2_and_4_after_each_validation_and_change_nothing(tmp_path: Path) -> None:
    weights = []
    for callbacks in ([], [Pictures(puzzle=99)]):
        logger = TensorBoardLogger(tmp_path, name=None, version=str(len(callbacks)))
        trainer = quiet_trainer(
            max_steps=6, val_check_interval=1, num_sanity_val_steps=1, logger=logger, callbacks=callbacks
        )
        module = small_module()
        trainer.fit(module, datamodule=Guess(size=10, slots=4))
        weights.append(module.state_dict())
    assert_same(*weights)
    events = EventAccumulator(str(tmp_path / "1"), size_guidance={"images": 0})
    events.Reload()
    pictures = events.Images("thinking")
    assert [picture.step for picture in pictures] == [3, 6]
    shape = Image.open(io.BytesIO(pictures[0].encoded_image_string)).size
    board = picture(Guess(), Guess().samples("val").inputs[0], Guess().samples("val").labels[0])
    assert shape[0] == 5 * board.width + 6 * 12  # question, steps 1, 2 and 4, answer, and the gaps


@pytest.mark.parametrize("first", [True, False])
def test_pictures_are_of_the_averaged_weights_whatever_the_order(
    first: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []

    def look_on(module: TRMModule, *args: object) -> Recording:
        drawn.append([weights.detach().clone() for weights in module.parameters()])
        return record(module, *args)  # type: ignore[arg-type]

    monkeypatch.setattr("trm.callbacks.writers.record", look_on)
    average, pictures = StepEMA(0.75), Pictures()
    trainer = quiet_trainer(
        max_steps=3,
        val_check_interval=1,
        num_sanity_val_steps=0,
        logger=TensorBoardLogger(tmp_path),
        callbacks=[pictures, average] if first else [average, pictures],
    )
    module = small_module()
    trainer.fit(module, datamodule=Guess(size=10, slots=4))  # ends with the average in the model
    assert_same(drawn[-1], [weights.detach() for weights in module.parameters()])
