"""Several ranks do what one process does with the slots of all of them."""

import csv
import logging
from pathlib import Path

import pytest
import torch
from ranks import Guess, fit, forked, notes, small_module, together
from training import STATE, assert_same, quiet_trainer

from trm.callbacks.writers import PredictionWriter
from trm.errors import InputError

pytestmark = [
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    pytest.mark.filterwarnings("ignore:It is recommended to use .self.log.*sync_dist"),  # the metrics are synced
    pytest.mark.filterwarnings("ignore:Couldn't infer the batch indices"),
]


def test_two_ranks_train_as_one_process(tmp_path: Path) -> None:
    """In float64, where only the order of sums differs; 20 steps end in the middle of a batch of three."""
    one, lone = fit(tmp_path / "one", 1, 8, 20, precision="64-true")
    two, pair = fit(tmp_path / "two", 2, 8, 20, precision="64-true")
    assert one["global_step"] == two["global_step"] == 20
    alone, ranks = notes(tmp_path / "one", 1), notes(tmp_path / "two", 2)
    halted = together(ranks, "halted")
    assert (halted[:, :4].sum(1) != halted[:, 4:].sum(1)).sum() >= 5  # the ranks halt different numbers of slots
    for name in ("inputs", "labels", "puzzle_ids", "halted", "taken"):
        assert torch.equal(together(alone, name), together(ranks, name)), name
    for state in ("state_dict", "current_model_state"):
        for name, expected in one[state].items():
            torch.testing.assert_close(two[state][name], expected, rtol=0, atol=1e-12, msg=name)
    assert one["state_dict"]["core.puzzle_embedding.weights"].all(1).sum() == 7  # every row of the table was trained
    assert pair.callback_metrics.keys() == lone.callback_metrics.keys() >= {"train/solved", "val/solved", "val/valid"}
    for name, expected in lone.callback_metrics.items():
        torch.testing.assert_close(pair.callback_metrics[name], expected, rtol=0, atol=1e-12, msg=name)


def test_two_ranks_train_several_latents_as_one_process(tmp_path: Path) -> None:
    """A rank takes the winners of its own slots; a checkpoint has all latents of all slots, and resumes from them."""
    one, _ = fit(tmp_path / "one", 1, 8, 8, latents=3, precision="64-true")
    two, _ = fit(tmp_path / "two", 2, 8, 5, latents=3, precision="64-true")
    assert [slots["z"].shape[:2] for slots in two["slots"]] == [(4, 3), (4, 3)]
    two, _ = fit(tmp_path / "two", 2, 8, 8, latents=3, precision="64-true", ckpt_path="last")
    for name, expected in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][name], expected, rtol=0, atol=1e-12, msg=name)
    for name, expected in one["slots"][0].items():
        found = torch.cat([slots[name] for slots in two["slots"]])
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12, msg=name)


def test_all_ranks_hold_the_same_weights_average_and_table(tmp_path: Path) -> None:
    fit(tmp_path, 2, 8, 12)
    first, second = notes(tmp_path, 2)
    assert not torch.equal(first["steps"][-1]["puzzle_ids"], second["steps"][-1]["puzzle_ids"])  # of other puzzles
    for state in ("weights", "average"):
        assert_same(first[state], second[state], state)
    assert not torch.equal(first["weights"]["core.tokens.weight"], first["average"]["core.tokens.weight"])


def test_two_ranks_resume_exactly(tmp_path: Path) -> None:
    whole, _ = fit(tmp_path / "whole", 2, 8, 15)
    fit(tmp_path / "parts", 2, 8, 6)
    resumed, _ = fit(tmp_path / "parts", 2, 8, 15, ckpt_path="last")
    assert len(whole["slots"]) == 2
    assert any(0 < steps < 4 for rank in whole["slots"] for steps in rank["steps"].tolist())
    for key in STATE:
        assert_same(whole[key], resumed[key], key)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_another_number_of_ranks_goes_on_as_if_nothing_had_changed(tmp_path: Path, before: int, after: int) -> None:
    whole, _ = fit(tmp_path / "whole", before, 8, 15, precision="64-true")
    fit(tmp_path / "parts", before, 8, 6, precision="64-true")
    resumed, _ = fit(tmp_path / "parts", after, 8, 15, ckpt_path="last", precision="64-true")
    one, rest = notes(tmp_path / "whole", before), notes(tmp_path / "parts", after)
    for name in ("inputs", "labels", "puzzle_ids", "halted", "taken"):
        assert torch.equal(together(one, name)[6:], together(rest, name)), name
    for name, expected in whole["state_dict"].items():
        torch.testing.assert_close(resumed["state_dict"][name], expected, rtol=0, atol=1e-12, msg=name)


def test_other_slots_start_afresh_and_say_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fit(tmp_path, 1, 8, 6)
    log, logger = logging.FileHandler(tmp_path / "log"), logging.getLogger("lightning.pytorch.utilities.rank_zero")
    logger.addHandler(log)  # the forks write there too
    with caplog.at_level(logging.INFO, logger.name):  # whatever another test has set
        fit(tmp_path, 2, 4, 9, ckpt_path="last")
    logger.removeHandler(log)
    log.close()
    message = "contains 8 slots, this run has 4: all slots take fresh puzzles"
    assert (tmp_path / "log").read_text().count(message) == 1
    assert set(together(notes(tmp_path, 2), "taken")[0].tolist()) == {1}


def test_slots_that_ranks_cannot_share_are_refused() -> None:
    with pytest.raises(InputError, match=r"data.slots is 7, the total over all devices.*such as 6 or 8"):
        Guess(slots=7).check_devices(2)


def test_ranks_take_as_few_steps_as_asked(tmp_path: Path) -> None:
    checkpoint, _ = fit(tmp_path, 2, 8, 1)
    assert checkpoint["global_step"] == len(notes(tmp_path, 2)[1]["steps"]) == 1


@pytest.mark.parametrize("batch", [2, 3])
@pytest.mark.parametrize("stage", ["validate", "test"])
def test_two_ranks_evaluate_seven_puzzles_as_one_does(stage: str, batch: int) -> None:
    """Neither 2 x 2 nor 2 x 3 divides 7: the second rank gets padding, with 2 x 3 in a whole batch of it."""
    found = []
    for ranks in (1, 2):
        with forked(ranks) as where:
            evaluate = getattr(quiet_trainer(**where), stage)
            found += evaluate(small_module(), Guess(size=7, eval_batch_size=ranks * batch), verbose=False)
    one, two = found
    split = "val" if stage == "validate" else "test"
    assert 0 < one[f"{split}/cells"] < 1  # means of seven
    assert 0 < one[f"{split}/valid"] < 1
    assert two == pytest.approx(one, rel=1e-14)


@pytest.mark.parametrize("batch", [2, 3])
def test_two_ranks_write_each_of_seven_predictions_once(tmp_path: Path, batch: int) -> None:
    for ranks in (1, 2):
        writer = PredictionWriter(str(tmp_path / f"{ranks}" / "predictions.csv"))
        with forked(ranks) as where:
            trainer = quiet_trainer(callbacks=[writer], **where)
            trainer.predict(small_module(), Guess(size=7, eval_batch_size=ranks * batch), return_predictions=False)
    assert sorted(path.name for path in tmp_path.glob("2/*")) == ["predictions-1.csv", "predictions.csv"]
    one, two = ([row for path in tmp_path.glob(f"{ranks}/*") for row in rows(path)] for ranks in (1, 2))
    assert len(one) == 7
    assert sorted(two) == sorted(one)


def rows(path: Path) -> list[list[str]]:
    with path.open() as file:
        return list(csv.reader(file))[1:]
