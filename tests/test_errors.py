"""Arguments out of their range are refused before torch sees them."""

import pytest

from trm.errors import InputError, check_range
from trm.module import TRMModule

SMALL = {"vocab_size": 6, "seq_len": 4, "num_puzzles": 1, "hidden_size": 16, "num_heads": 2}


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
        TRMModule(**{**SMALL, **wrong})


@pytest.mark.parametrize(
    ("wrong", "accepted"), [({"network": "gru"}, "trm, single_z"), ({"loss": "hinge"}, "stablemax, softmax")]
)
def test_unknown_choices_are_refused(wrong: dict[str, str], accepted: str) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(InputError, match=rf"model\.{name} is '{value}', but must be one of {accepted}"):
        TRMModule(**{**SMALL, **wrong})


def test_sizes_that_do_not_fit_together_are_refused() -> None:
    for heads, channels in ((4, 5), (32, 0)):
        with pytest.raises(InputError, match=f"20 over num_heads {heads} gives heads of {channels} channels"):
            TRMModule(6, 4, 0, hidden_size=20, num_heads=heads)
    with pytest.raises(InputError, match="direct has no recursion: cycles 3 and latent_steps 1 must be 1"):
        TRMModule(6, 4, 0, network="direct", cycles=3, latent_steps=1)
    with pytest.raises(InputError, match="puzzle_size 64 does not fit"):
        TRMModule(6, 4, 1, hidden_size=16, num_heads=2, puzzle_tokens=2, puzzle_size=64)


def test_the_sentence_names_value_and_range() -> None:
    with pytest.raises(InputError, match=r"data\.x is -1, but must be at least 0"):
        check_range("data", 0, x=-1)
    with pytest.raises(InputError, match=r"model\.y is 2, but must be from 0 to 1"):
        check_range("model", 0, 1, y=2)


@pytest.mark.parametrize(
    "sizes", [{"hidden_size": 20_000}, {"num_layers": 1000, "hidden_size": 1000}, {"expansion": 1e30}]
)
def test_networks_without_measure_are_refused_before_memory_is_allocated(sizes: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"parameters or more; accepted are at most 1,073,741,824"):
        TRMModule(11, 81, **sizes)
