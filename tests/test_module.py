"""``TRMModule`` as a plain module: called, exported, summarised, and what ``predict`` keeps."""

import copy
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.model_summary import ModelSummary
from ranks import Guess, small_module

from trm.inference import think
from trm.module import TRMModule
from trm.nn import NETWORKS

TINY: dict[str, Any] = {"hidden_size": 16, "num_heads": 2, "multiple_of": 8, "cycles": 1, "latent_steps": 1}


def tiny(**options: Any) -> TRMModule:
    return TRMModule(6, 9, **{**TINY, "supervision_steps": 2, **options}).eval()


def questions(count: int) -> torch.Tensor:
    return torch.randint(1, 6, (count, 9), generator=torch.Generator().manual_seed(0))


def test_called_it_returns_the_logits_after_all_steps() -> None:
    module, inputs = tiny(num_puzzles=3, puzzle_tokens=2), questions(4)
    module.core.puzzle_embedding.weights.normal_()
    ids = torch.tensor([0, 1, 2, 2])
    assert torch.equal(module(inputs, ids), think(module.core, inputs, ids, 2).logits)
    assert torch.equal(module(inputs), module(inputs, torch.zeros(4, dtype=torch.long)))
    assert module(inputs).shape == (4, 9, 6)


@pytest.mark.parametrize("mixer", ["attention", "mlp"])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_can_be_exported_for_any_number_of_puzzles(network: str, mixer: str) -> None:
    module = tiny(network=network, mixer=mixer, num_puzzles=3, puzzle_tokens=2, num_symbols=4)
    module.core.puzzle_embedding.weights.normal_()
    shapes = {"inputs": {0: torch.export.Dim("puzzles")}}
    exported = torch.export.export(module, (questions(4),), dynamic_shapes=shapes).module()
    for count in (1, 4, 7):
        torch.testing.assert_close(exported(questions(count)), module(questions(count)))


def test_a_summary_knows_the_sizes_of_every_layer() -> None:
    summary = str(ModelSummary(tiny(), max_depth=4))
    assert "core.blocks.0.attention" in summary
    assert "[1, 9, 16]" in summary
    assert tiny(compile=True).example_input_array is None  # or the network would be compiled for one puzzle


def test_predict_keeps_answers_and_not_logits_unless_asked() -> None:
    for wanted in (False, True):
        module = small_module()
        module.predict_logits = wanted
        trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
        batches = trainer.predict(module, Guess(size=10, slots=4))
        assert {batch.tokens.dtype for batch in batches} == {torch.int32}
        assert {tuple(batch.tokens.shape) for batch in batches} == {(4, 9)}
        assert all(batch.confidence.min() > 0 and batch.steps.min() >= 1 for batch in batches)
        assert all((batch.logits is not None) == wanted for batch in batches)


def test_a_copy_remembers_its_arguments() -> None:
    module = tiny(conv=2)
    again = copy.deepcopy(module)
    assert again.init_args == module.init_args
    assert again.init_args["conv"] == 2
