"""What is written of predictions."""

import csv
from pathlib import Path
from types import SimpleNamespace

import torch

from trm.batch import IGNORE, Batch
from trm.callbacks import PredictionWriter
from trm.data import Sudoku
from trm.inference import Answers


def test_puzzles_without_a_label_are_written_and_padding_is_not(tmp_path: Path) -> None:
    data = Sudoku(size=4)
    question = torch.tensor(data.parse(".3...2.1...4....").astype("int32"))
    answer = torch.tensor(data.parse("1342423131242413").astype("int32"))
    inputs = torch.stack([question, question, torch.zeros_like(question)])
    labels = torch.stack([answer, *[torch.full_like(answer, IGNORE)] * 2])
    logits = torch.nn.functional.one_hot(torch.stack([answer] * 3).long(), 6).float()
    prediction = Answers(logits, torch.zeros(3), torch.tensor([1, 2, 3]))
    writer = PredictionWriter()
    trainer = SimpleNamespace(global_rank=0, datamodule=data, log_dir=str(tmp_path / "new"))
    writer.on_predict_start(trainer, None)
    writer.write_on_batch_end(trainer, None, prediction, None, Batch(inputs, labels, torch.zeros(3)), 0, 0)
    writer.on_predict_end(trainer, None)
    with (tmp_path / "new" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["steps"], row["valid"], row["correct"]) for row in rows] == [("1", "True", "True"), ("2", "True", "")]
    assert rows[0]["confidence"] == "0.5000"
