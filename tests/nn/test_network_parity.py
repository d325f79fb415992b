"""The network gives the numbers of the official code."""

import official
import pytest
import torch
from safetensors.torch import load_file

from trm.nn import supervision_loss

CLOSE = {"atol": 2e-4, "rtol": 1e-3}


@pytest.mark.parametrize("name", official.MODELS)
def test_evaluation_steps_match_official(name: str) -> None:
    core, batch = official.model(name, continue_loss=True).eval(), official.batch(name, 1)  # so that proceed is told
    stored = load_file(official.GOLDEN / name / "eval.safetensors")
    rows = None if core.puzzles is None else core.puzzles(batch.puzzles)
    state = core.start(len(batch.inputs))
    with torch.no_grad():
        for k in (1, 2, 3):
            thought = core(state, batch.inputs, rows)
            state = thought.state
            step = {
                key.removeprefix(f"step{k}."): value for key, value in stored.items() if key.startswith(f"step{k}.")
            }
            torch.testing.assert_close(thought.logits, step["logits"], **CLOSE)
            torch.testing.assert_close(state.y, step["z_H"], **CLOSE)
            torch.testing.assert_close(state.z, step["z_L"], **CLOSE)
            torch.testing.assert_close(thought.halt, step["q_halt_logits"], atol=5e-5, rtol=1e-4)
            torch.testing.assert_close(thought.proceed, step["q_continue_logits"], atol=5e-5, rtol=1e-4)
            assert torch.equal(thought.logits.argmax(-1).int(), step["preds"])
            losses = supervision_loss(thought.logits, thought.halt, batch.labels)
            torch.testing.assert_close(losses.total() * len(batch.inputs), step["loss_total"], atol=5e-5, rtol=1e-5)
            torch.testing.assert_close(losses.answer.sum(), step["metric.lm_loss"], atol=5e-5, rtol=1e-5)
            torch.testing.assert_close(losses.halting.sum(), step["metric.q_halt_loss"], atol=5e-5, rtol=1e-5)


@pytest.mark.parametrize("name", official.MODELS)
def test_gradients_match_official(name: str) -> None:
    core, batch = official.model(name), official.batch(name, 1)
    rows = None if core.puzzles is None else core.puzzles(batch.puzzles)
    thought = core(core.start(len(batch.inputs)), batch.inputs, rows)
    supervision_loss(thought.logits, thought.halt, batch.labels).total().backward()
    ours = {key: p.grad for key, p in core.named_parameters() if p.grad is not None}
    if rows is not None:
        ours["puzzles.local_weights"] = rows.grad
    stored = load_file(official.GOLDEN / name / "train_grads.safetensors")
    official.assert_tensors_match(stored, "grad.", ours, atol=2e-6, rtol=2e-4)


@pytest.mark.parametrize("how", ["autocast", "weights"])
def test_bfloat16_matches_official_forward_dtype(how: str) -> None:
    name = "attn_rope_bf16"
    core, batch = official.model(name).eval(), official.batch(name, 1)
    if how == "weights":
        core.bfloat16()  # loses nothing: the fixture's weights are bfloat16
    step1 = load_file(official.GOLDEN / name / "eval.safetensors")
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=how == "autocast"):
        thought = core(core.start(len(batch.inputs)), batch.inputs, core.puzzles(batch.puzzles))
    assert thought.state.y.dtype == thought.state.z.dtype == torch.bfloat16
    torch.testing.assert_close(thought.logits.float(), step1["step1.logits"].float(), atol=0.1, rtol=0)
    torch.testing.assert_close(thought.halt, step1["step1.q_halt_logits"], atol=0.1, rtol=0)


def test_bfloat16_weights_leave_positions_states_and_puzzles_as_they_are() -> None:
    core = official.model("attn_rope")
    before = {name: buffer.clone() for name, buffer in core.named_buffers()}
    assert len(before) == 5  # cosines, sines, two initial states, the puzzle table
    core.to(torch.bfloat16)
    assert {parameter.dtype for parameter in core.parameters()} == {torch.bfloat16}
    for name, buffer in core.named_buffers():
        assert torch.equal(buffer, before[name]), name
    assert {buffer.dtype for buffer in core.double().buffers()} == {torch.float64}
