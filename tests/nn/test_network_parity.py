"""The network gives the numbers of the official code."""

import json

import official
import pytest
import torch
from safetensors.torch import load_file

from trm.nn import TRM, supervision_loss

CLOSE = {"atol": 2e-4, "rtol": 1e-3}


@pytest.mark.parametrize("name", official.MODELS)
def test_evaluation_steps_match_official(name: str) -> None:
    core, batch = official.model(name).eval(), official.batch(name, 1)
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


FORMULA = {"trm_att": "attention", "trm_mlp": "mlp", "trm_learned": "attention"}


@pytest.mark.parametrize("name", FORMULA)
def test_formula_models_match_official(name: str) -> None:
    """Weights and inputs by the formula of the fixture: no file of weights could have been fitted to."""
    golden = json.loads((official.GOLDEN / "formula" / "model_golden.json").read_text())[name]
    positions = {"trm_att": "rotary", "trm_mlp": "none", "trm_learned": "learned"}[name]
    core = TRM(
        11, 9, 5, hidden_size=64, num_heads=2, mixer=FORMULA[name], positions=positions, latent_steps=2, puzzle_tokens=4
    )
    names = {official.our_name(key): k for k, (key, _) in enumerate(golden["state_dict_sorted"])}
    state = core.state_dict()
    assert names.keys() == state.keys()
    for key, tensor in state.items():
        size = 1.0 if key.endswith("_init") else 0.25
        values = size * torch.sin(0.37 * torch.arange(tensor.numel(), dtype=torch.float64) + 1.3 * names[key])
        tensor.copy_(values.view_as(tensor))
    assert sum(p.numel() for p in core.parameters()) == golden["num_params"]
    b, j = torch.meshgrid(torch.arange(3), torch.arange(9), indexing="ij")
    inputs, labels = (7 * b + 3 * j) % 10 + 1, (5 * b + 2 * j + 1) % 10 + 1
    labels[0, 0] = labels[0, 4] = -100
    labels[2, :3] = -100
    halted = torch.ones(3, dtype=torch.bool)
    state = core.start(3)
    for step in golden["float32"]:
        core.zero_grad()
        rows = core.puzzles(torch.tensor([1, 2, 2]))
        start = core.start(3)
        state = type(state)(*(torch.where(halted[:, None, None], s, c) for s, c in zip(start, state, strict=True)))
        thought = core(state, inputs, rows)
        losses = supervision_loss(thought.logits, thought.halt, labels)
        losses.total().backward()
        assert losses.total().item() * 3 == pytest.approx(step["loss"], abs=5e-5)
        assert thought.halt.tolist() == pytest.approx(step["q_halt"], abs=5e-5)
        assert thought.logits[0, 0].tolist() == pytest.approx(step["logits_0_0"], abs=2e-4)
        assert thought.logits.argmax(-1).tolist() == step["preds"]
        sums = {official.our_name(key): value for key, value in step["grad_abs_sum"].items()}
        for key, parameter in core.named_parameters():
            assert parameter.grad.abs().sum().item() == pytest.approx(sums[key], rel=1e-3, abs=1e-4), key
        assert rows.grad.abs().sum(-1).tolist() == pytest.approx(step["puzzle_local_grad_abs_sum"], rel=1e-3, abs=1e-5)
        halted = thought.halt > 0
        state = type(state)(thought.state.y.detach(), thought.state.z.detach())
