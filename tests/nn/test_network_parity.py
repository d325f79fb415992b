"""The network gives the numbers of the official code."""

from collections.abc import Iterator

import official
import pytest
import torch
from official import BFLOAT16, GRADIENTS, LOGITS, SCALARS, Pair
from safetensors.torch import load_file

from trm.nn import supervision_loss


def evaluation_steps(name: str) -> Iterator[Pair]:
    core, batch = official.model(name, continue_loss=True).eval(), official.batch(name, 1)  # so that proceed is told
    stored = load_file(official.GOLDEN / name / "eval.safetensors")
    rows = None if core.puzzle_embedding is None else core.puzzle_embedding(batch.puzzle_ids)
    state = core.start(len(batch.inputs))
    for k in (1, 2, 3):
        step = {key.removeprefix(f"step{k}."): value for key, value in stored.items() if key.startswith(f"step{k}.")}
        with torch.no_grad():
            output = core(state, batch.inputs, rows)
        state = output.state
        losses = supervision_loss(output.logits, output.halt, batch.labels)
        yield Pair("answer logits", output.logits, step["logits"], **LOGITS)
        yield Pair("predicted tokens", output.logits.argmax(-1).int(), step["preds"])
        yield Pair("answer y", state.y, step["z_H"], **LOGITS)
        yield Pair("latent z", state.z, step["z_L"], **LOGITS)
        yield Pair("halting logits", output.halt, step["q_halt_logits"], **SCALARS)
        yield Pair("logits of going on", output.proceed, step["q_continue_logits"], **SCALARS)
        yield Pair("losses", losses.total() * len(batch.inputs), step["loss_total"], **SCALARS)
        yield Pair("losses", losses.answer.sum(), step["metric.lm_loss"], **SCALARS)
        yield Pair("losses", losses.halting.sum(), step["metric.q_halt_loss"], **SCALARS)


def gradients(name: str) -> Iterator[Pair]:
    core, batch = official.model(name), official.batch(name, 1)
    rows = None if core.puzzle_embedding is None else core.puzzle_embedding(batch.puzzle_ids)
    output = core(core.start(len(batch.inputs)), batch.inputs, rows)
    supervision_loss(output.logits, output.halt, batch.labels).total().backward()
    ours = {key: p.grad for key, p in core.named_parameters() if p.grad is not None}
    if rows is not None:
        ours["puzzles.local_weights"] = rows.grad
    stored = load_file(official.GOLDEN / name / "train_grads.safetensors")
    yield from official.stored_pairs("gradients", stored, "grad.", ours, **GRADIENTS)


def bfloat16_step(how: str, name: str = "attn_rope_bf16") -> Iterator[Pair]:
    core, batch = official.model(name).eval(), official.batch(name, 1)
    if how == "weights":
        core.bfloat16()  # loses nothing: the fixture's weights are bfloat16
    step1 = load_file(official.GOLDEN / name / "eval.safetensors")
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=how == "autocast"):
        output = core(core.start(len(batch.inputs)), batch.inputs, core.puzzle_embedding(batch.puzzle_ids))
    assert output.state.y.dtype == output.state.z.dtype == torch.bfloat16
    yield Pair("answer logits", output.logits.float(), step1["step1.logits"].float(), **BFLOAT16)
    yield Pair("halting logits", output.halt, step1["step1.q_halt_logits"], **BFLOAT16)


@pytest.mark.parametrize("name", official.MODELS)
def test_evaluation_steps_match_official(name: str) -> None:
    official.assert_match(evaluation_steps(name))


@pytest.mark.parametrize("name", official.MODELS)
def test_gradients_match_official(name: str) -> None:
    official.assert_match(gradients(name))


@pytest.mark.parametrize("how", ["autocast", "weights"])
def test_bfloat16_matches_official_forward_dtype(how: str) -> None:
    official.assert_match(bfloat16_step(how))


def test_bfloat16_weights_leave_positions_states_and_puzzles_as_they_are() -> None:
    core = official.model("attn_rope")
    before = {name: buffer.clone() for name, buffer in core.named_buffers()}
    assert len(before) == 5  # cosines, sines, two initial states, the puzzle embedding
    core.to(torch.bfloat16)
    assert {parameter.dtype for parameter in core.parameters()} == {torch.bfloat16}
    for name, buffer in core.named_buffers():
        assert torch.equal(buffer, before[name]), name
    assert {buffer.dtype for buffer in core.double().buffers()} == {torch.float64}
