"""ARC from end to end: a tiny model is trained, its votes are scored, and a submission is written."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from training import quiet_trainer

from trm.callbacks.writers import SubmissionWriter
from trm.data import Sudoku
from trm.data.arc import ARC, check_submission
from trm.errors import InputError
from trm.module import TRMModule


def tiny(data: ARC) -> TRMModule:
    return TRMModule(
        vocab_size=data.vocab_size,
        seq_len=data.seq_len,
        num_puzzles=data.num_puzzles,
        hidden_size=8,
        num_heads=1,
        num_layers=1,
        multiple_of=8,
        cycles=1,
        latent_steps=1,
        puzzle_tokens=1,
        supervision_steps=2,
        warmup_steps=0,
    )


def test_fit_validates_by_votes_and_test_writes_a_submission(small: Callable[..., ARC], tmp_path: Path) -> None:
    data = small(val_size=5, eval_batch_size=4)
    module = tiny(data)
    fit = quiet_trainer(max_steps=4, limit_train_batches=2)
    fit.fit(module, datamodule=data)
    assert fit.global_step == 4
    assert module.core.puzzle_embedding is not None
    learned = module.core.puzzle_embedding.weights.abs().sum(dim=1) > 0
    assert learned.any()
    assert not learned[0]  # the blank puzzle
    assert {"val/solved", "val/pass@1", "val/unanimous"} <= set(fit.callback_metrics)

    path = tmp_path / "submission.json"
    test = quiet_trainer(callbacks=[SubmissionWriter(str(path))])
    scores = test.test(module, datamodule=data, verbose=False)[0]
    assert {"test/solved", "test/pass@2", "test/tasks_solved"} <= set(scores)
    submission = json.loads(path.read_text())
    check_submission(submission, data.puzzles)
    assert len(submission["four"]) == 2
    assert not module.scorer.ballots  # nothing is left for another evaluation


def test_other_families_have_no_submission(small: Callable[..., ARC]) -> None:
    data = Sudoku(size=4, train_size=1, val_size=1, test_size=1)
    with pytest.raises(InputError, match="SubmissionWriter needs the ARC family"):
        SubmissionWriter().on_test_start(type("Trainer", (), {"datamodule": data}), None)
