"""The symmetric network: renaming the symbols of a question renames its answer, and nothing else."""

from typing import Any

import pytest
import torch
from torch import Tensor

from trm import Maze, Sudoku, TRMModule
from trm.data.base import PuzzleData
from trm.errors import InputError
from trm.nn import TRM, StepOutput
from trm.nn.symmetric import Symmetric

SIZES = {"vocab_size": 8, "seq_len": 36, "num_symbols": 6, "grid": (6, 6, 2, 3)}
SMALL = {"hidden_size": 24, "num_heads": 2, "multiple_of": 8, "cycles": 2, "latent_steps": 2}
MIXERS = pytest.mark.parametrize("mixer", [{"mixer": "mlp", "positions": "none"}, {"positions": "grid"}])


def network(**arguments: Any) -> Symmetric:
    """Return a network in float64 whose halting head is not zero."""
    torch.manual_seed(0)
    core = Symmetric(**{**SIZES, **SMALL, **arguments}).double()
    torch.nn.init.normal_(core.halting_head.weight)
    return core


def steps(core: TRM, inputs: Tensor, vectors: Tensor | None = None, count: int = 3) -> list[StepOutput]:
    """Return the outputs of supervision steps in turn."""
    state, outputs = core.start(len(inputs)), []
    for _ in range(count):
        outputs.append(core(state, inputs, vectors))
        state = outputs[-1].state
    return outputs


@MIXERS
def test_renaming_the_symbols_of_a_question_renames_its_answer(mixer: dict[str, Any]) -> None:
    core = network(num_puzzles=3, puzzle_tokens=2, **mixer)
    inputs, vectors = torch.randint(0, 8, (5, 36)), torch.randn(5, 24, dtype=torch.float64)
    names = torch.cat((torch.arange(2), 2 + torch.randperm(6)))  # padding and blank are no symbols
    for ours, renamed in zip(steps(core, inputs, vectors), steps(core, names[inputs], vectors), strict=True):
        torch.testing.assert_close(renamed.logits[..., names], ours.logits, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(renamed.halt, ours.halt, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(ours.logits[..., 2], ours.logits[..., 3])  # the symbols do differ


@MIXERS
def test_every_parameter_has_a_gradient(mixer: dict[str, Any]) -> None:
    core = network(**mixer)
    output = steps(core, torch.randint(1, 8, (2, 36)))[-1]
    (output.logits.square().mean() + output.halt.mean()).backward()
    unused = [name for name, parameter in core.named_parameters() if parameter.grad is None]
    assert unused == []
    assert core.tokens.weight.grad is not None and core.tokens.weight.grad[1:].abs().sum(1).gt(0).all()


@pytest.mark.parametrize("size", [4, 9])
def test_with_attention_the_parameters_fit_every_size(size: int) -> None:
    data, core = Sudoku(size=size), network(positions="grid")
    other = Symmetric(data.vocab_size, data.seq_len, num_symbols=size, grid=data.grid, positions="grid", **SMALL)
    other.load_state_dict(core.state_dict())
    assert steps(other, torch.ones(1, data.seq_len, dtype=torch.long))[0].logits.shape == (1, size**2, size + 2)


def test_positions_on_a_grid_depend_on_row_column_and_box_alone() -> None:
    """Two cells of the same row in one box, and two in another box, are the same to attention; rows differ."""
    rotary = network(positions="grid").blocks[0].attention.rotary
    angle = torch.atan2(rotary.sin, rotary.cos).view(6, 6, -1)
    turned = lambda a, b: (angle[b] - angle[a]).cos()  # noqa: E731  # what the product of query and key depends on
    torch.testing.assert_close(turned((0, 0), (0, 1)), turned((2, 3), (2, 4)))
    assert not torch.allclose(turned((0, 0), (0, 1)), turned((0, 0), (1, 0)))
    assert not torch.allclose(turned((0, 0), (0, 1)), turned((0, 2), (0, 3)))  # across the edge of a box


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_symbols": 0}, "needs puzzles with at least 2 interchangeable symbols, but these have 0"),
        ({"num_symbols": 9}, "num_symbols is 9, but the vocabulary, of which the symbols are the last tokens, has 8"),
        ({"conv": 2}, "conv is 2, but the network symmetric has no convolution"),
        ({"grid_conv": 3}, "grid_conv is 3, but the network symmetric has no convolution"),
        ({"grid_conv": 2}, "grid_conv is 2, but must be an odd number"),
        (
            {"positions": "grid", "grid": (6, 7)},
            r"grid is \[6, 7\], but positions grid needs rows x columns = 36 cells",
        ),
        ({"positions": "grid", "grid": (6, 6, 2)}, r"grid is \[6, 6, 2\]"),
        ({"positions": "grid", "hidden_size": 8}, "a head has 4 channels"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        network(**arguments)


def test_a_family_without_symbols_is_refused() -> None:
    data: PuzzleData = Maze(size=5)
    with pytest.raises(InputError, match="the network trm takes all puzzles"):
        TRMModule(data.vocab_size, data.seq_len, network="symmetric")
