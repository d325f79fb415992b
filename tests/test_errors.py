"""Arguments out of their range are refused before torch sees them."""

import pytest

from trm.errors import InputError, check_range
from trm.module import TRMModule


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden_size": 0},
        {"num_layers": 0},
        {"num_heads": 0},
        {"multiple_of": 0},
        {"cycles": 0},
        {"latent_steps": -1},
        {"puzzle_tokens": -1},
        {"supervision_steps": 0},
        {"explore": 1.5},
        {"min_lr_ratio": -0.1},
        {"lr": float("nan")},
        {"warmup_steps": -1},
        {"expansion": -1.0},
    ],
)
def test_model_arguments_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(InputError, match=rf"model\.{name} is "):
        TRMModule(**{"vocab_size": 6, "seq_len": 4, "num_puzzles": 1, "hidden_size": 16, "num_heads": 2, **wrong})


def test_sizes_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(InputError, match="hidden_size 20 must be a multiple of twice num_heads 8"):
        TRMModule(6, 4, 0, hidden_size=20)
    with pytest.raises(InputError, match="puzzle_size 64 does not fit"):
        TRMModule(6, 4, 1, hidden_size=16, num_heads=2, puzzle_tokens=2, puzzle_size=64)


def test_the_sentence_names_value_and_range() -> None:
    with pytest.raises(InputError, match=r"data\.x is -1, but must be at least 0"):
        check_range("data", 0, x=-1)
    with pytest.raises(InputError, match=r"model\.y is 2, but must be from 0 to 1"):
        check_range("model", 0, 1, y=2)
