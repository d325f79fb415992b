"""Questions from a program: what the network cannot read is refused by name, and not answered."""

import pytest
import torch
from ranks import CELLS, Guess, small_module

from trm.errors import InputError


@pytest.mark.parametrize("arguments", [{}, {"mixer": "mlp", "positions": "none", "puzzle_tokens": 0}])
def test_questions_of_another_shape_are_refused(arguments: dict[str, object]) -> None:
    module = small_module(**arguments).eval()
    for shape in ((2, CELLS - 1), (2, CELLS + 1), (2, 1), (CELLS,), (2, 3, CELLS)):  # one cell would broadcast
        with pytest.raises(InputError, match=r"the questions have shape .*, but the network takes \(questions, 9\)"):
            module.solve(torch.ones(shape, dtype=torch.int32), torch.zeros(2, dtype=torch.int32))


@pytest.mark.parametrize("token", [Guess.vocab_size, 255, -1])
def test_tokens_outside_the_vocabulary_are_refused(token: int) -> None:
    inputs = torch.ones(3, CELLS, dtype=torch.int32)
    inputs[1, 4] = inputs[2, 0] = token
    with pytest.raises(InputError, match=f"question 1 has token {token} in cell 4, .* knows tokens 0 to 5"):
        small_module().eval().solve(inputs, torch.zeros(3, dtype=torch.int32))


def test_every_token_of_the_vocabulary_is_answered() -> None:
    inputs = torch.arange(Guess.vocab_size).repeat(3)[None, :CELLS].int()
    answers = small_module().eval().solve(inputs, torch.zeros(1, dtype=torch.int32))
    assert answers.logits.shape == (1, CELLS, Guess.vocab_size)
