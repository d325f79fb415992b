"""Names and shapes of the official state dict, and what they stand for here."""

from typing import Any

import official
import pytest
import torch
from torch import Tensor

from trm.checkpoints.official import architecture, from_official, official_name, our_name, refuse_misfits, to_official
from trm.errors import InputError
from trm.module import TRMModule

UNSEEN = {"num_heads", "cycles", "latent_steps", "num_puzzles", "vocab_size", "seq_len"}


@pytest.mark.parametrize("name", official.MODELS)
def test_every_official_name_has_one_of_ours_and_the_other_way_round(name: str) -> None:
    names = [key.removeprefix("model.inner.") for key in official.state_dict(name)]
    assert {our_name(key) for key in names} == set(official.model(name).state_dict())
    assert [official_name(str(our_name(key))) for key in names] == names


def test_other_names_have_none() -> None:
    for key in ("H_level.layers.0.mlp.down_proj.weight", "L_level.layers.x.mlp.down_proj.weight", "L1_init", ""):
        assert our_name(key) is None
    assert official_name("answer_blocks.0.mlp.down.weight") is None


@pytest.mark.parametrize("name", official.MODELS)
def test_shapes_tell_the_network(name: str) -> None:
    true = official.hyper_parameters(official.config(name)["model"])
    found = architecture("trm", official.weights(name), true["seq_len"], name)
    if true["puzzle_size"] == true["hidden_size"]:
        true["puzzle_size"] = 0
    assert found.items() <= {**true, "multiple_of": 256}.items()
    missing = true.keys() - found.keys() - UNSEEN
    if not true["puzzle_size"]:
        missing -= {"puzzle_size"}
    attends_by_rotation = true["mixer"] == "attention" and true["positions"] == "rotary"
    expected = {"positions"} if attends_by_rotation else set()
    if attends_by_rotation and true["num_puzzles"]:
        expected |= {"puzzle_tokens"}
    assert missing == expected


@pytest.mark.parametrize(("expansion", "multiple_of"), [(4.0, 256), (4.0, 8), (2.0, 256), (1.5, 8), (3.0, 1)])
@pytest.mark.parametrize("mixer", ["mlp", "attention"])
def test_widths_are_explained(mixer: str, expansion: float, multiple_of: int) -> None:
    sizes = {"mixer": mixer, "hidden_size": 48, "num_heads": 2, "num_layers": 3, "puzzle_tokens": 0}
    core = TRMModule(6, 20, expansion=expansion, multiple_of=multiple_of, **sizes).core
    found = architecture("trm", core.state_dict(), 20, "file")
    again = TRMModule(6, 20, **{**sizes, **found}).core
    refuse_misfits("trm", core.state_dict(), again.state_dict(), "file")


@pytest.mark.parametrize("name", official.MODELS)
def test_there_and_back_is_exact(name: str) -> None:
    given = official.state_dict(name)
    network, state = from_official(given, name)
    assert network == "trm"
    back = to_official(state, network, "model.inner.", name)
    assert back.keys() == given.keys()
    for key, tensor in given.items():
        assert back[key].dtype == (torch.bfloat16 if key.endswith("_init") else torch.float32)
        assert torch.equal(back[key].float(), tensor.float())


def test_initial_states_that_bfloat16_cannot_hold_stay_in_float32() -> None:
    state = {"y_init": torch.tensor([1 + 2**-20]), "z_init": torch.tensor([1.5]), "tokens.weight": torch.ones(1, 1)}
    back = to_official(state, "trm", "", "file")
    assert [back[key].dtype for key in ("H_init", "L_init")] == [torch.float32, torch.bfloat16]
    assert torch.equal(back["H_init"], state["y_init"])


def test_a_halting_head_of_one_row_gets_an_untrained_second() -> None:
    given = official.state_dict("mlp_t_none")
    for key in ("model.inner.q_head.weight", "model.inner.q_head.bias"):
        given[key] = given[key][:1]
    (_, state), whole = from_official(given, "file"), official.weights("mlp_t_none")
    assert torch.equal(state["halting_head.weight"][0], whole["halting_head.weight"][0])
    assert torch.equal(state["halting_head.bias"], torch.stack((whole["halting_head.bias"][0], torch.tensor(-5.0))))
    assert not state["halting_head.weight"][1].any()


def changed(**changes: Tensor | None) -> dict[str, Tensor]:
    """The official state dict of one model, with tensors changed, added or taken away."""
    bare = {key.removeprefix("model.inner."): value for key, value in official.state_dict("mlp_t_none").items()}
    names = {key.replace("__", "."): value for key, value in changes.items()}
    return {key: value for key, value in {**bare, **names}.items() if value is not None}


def test_latents_of_several_scales_are_put_together_by_their_numbers() -> None:
    numbers = [10, 2, 1, *range(3, 10)]
    network, state = from_official(
        changed(L_init=None, **{f"L{number}_init": torch.full((32,), float(number)) for number in numbers}), "file"
    )
    assert network == "multi_scale"
    assert state["z_init"].view(-1, 32).mean(1).tolist() == list(range(1, 11))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embed_tokens__embedding_weight": None}, "0 of its keys end in embed_tokens.embedding_weight"),
        ({"other__embed_tokens__embedding_weight": torch.ones(1)}, "2 of its keys end in embed_tokens"),
        (
            {"H_level__layers__0__mlp__down_proj__weight": torch.ones(1)},
            "network hrm .* it lacks H_level",
        ),
        (
            {f"L{number}_init": torch.ones(1) for number in range(1, 7)},
            "contains L_init, which the network multi_scale",
        ),
        ({"L_level__extra": torch.ones(1)}, "contains L_level.extra, which the network trm does not have"),
        ({"L_init": None}, "it lacks L_init"),
        ({"puzzle_emb__weights": None}, "it lacks puzzle_emb.weights"),
        ({"L_level__layers__0__mlp__gate_up_proj__weight": None}, "it lacks L_level.layers.0.mlp.gate_up_proj.weight"),
        ({"embed_pos__embedding_weight": torch.ones(3, 32)}, "at most 3 cells, but these puzzles have 16"),
        ({"L_level__layers__0__self_attn__o_proj__weight": torch.ones(32, 32)}, "has no use for L_level.layers.0.self"),
        ({"lm_head__weight": torch.ones(12, 32)}, r"has lm_head.weight of shape \(12, 32\) in place of \(11, 32\)"),
        ({"q_head__weight": torch.ones(3, 32)}, r"has q_head.weight of shape \(3, 32\)"),
        ({"L_level__layers__999999999__mlp__down_proj__weight": torch.ones(1)}, "has no use for L_level.layers.9999"),
        ({"q_head__bias": torch.tensor(1.0)}, r"has q_head.bias of shape \(\)"),
        ({"q_head__bias": torch.tensor([1.0, float("nan")])}, "q_head.bias contains numbers that are not finite"),
        ({"q_head__bias": torch.tensor([1, 2])}, "q_head.bias contains torch.int64 numbers"),
        ({"L_level__layers__0__mlp__down_proj__weight": torch.ones(32, 257)}, "SwiGLUs of width 257 for 32"),
    ],
)
def test_what_is_not_one_network_is_refused_by_its_keys(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        network, state = from_official(changed(**changes), "file")
        found = architecture(network, state, 16, "file")
        with torch.device("meta"):
            core = TRMModule(11, 16, 5, **found).core
        refuse_misfits(network, state, core.state_dict(), "file")
