"""Votes are complete on several ranks: two processes started by Lightning submit what one does."""

import sys
from pathlib import Path

import pytest
import yaml
from processes import run

from trm.checkpoints.load import load_checkpoint
from trm.data.arc import ARC

FROM_DATA = ("vocab_size", "seq_len", "num_puzzles")


@pytest.mark.slow
def test_two_ranks_submit_what_one_does(checkpoint: Path, tmp_path: Path) -> None:
    module, data = load_checkpoint(checkpoint)
    assert isinstance(data, ARC)
    config = {
        "trainer": {
            "accelerator": "cpu",
            "logger": False,
            "enable_progress_bar": False,
            "callbacks": [{"class_path": "SubmissionWriter"}],
        },
        "data": {"class_path": "ARC", "init_args": {**data.family["init_args"], "subsets": list(data.subsets)}},
        "model": {name: value for name, value in module.hparams.items() if name not in FROM_DATA},
        "ckpt_path": str(checkpoint),
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    submissions, tables = [], []
    for devices in (1, 2):
        options = [f"--trainer.devices={devices}", "--trainer.strategy=ddp"] if devices > 1 else ["--trainer.devices=1"]
        ((status, printed),) = run(tmp_path, [sys.executable, "-m", "trm", "test", "--config=config.yaml", *options])
        assert status == 0, printed
        submissions.append((tmp_path / "submission.json").read_bytes())
        (tmp_path / "submission.json").unlink()
        tables.append([line for line in printed.splitlines() if "pass@" in line or "unanimous" in line])
    assert submissions[0] == submissions[1]
    assert tables[0] == tables[1]
    assert len(tables[0]) == 7
