"""The network compiles without a graph break and gives the same numbers."""

import pytest
import torch

from trm.nn import TRM, supervision_loss


@pytest.mark.parametrize(("mixer", "positions"), [("mlp", "none"), ("attention", "rotary"), ("attention", "learned")])
def test_compiled_training_step_gives_the_eager_numbers(mixer: str, positions: str) -> None:
    torch.manual_seed(0)
    core = TRM(
        6,
        9,
        3,
        16,
        num_heads=2,
        multiple_of=8,
        mixer=mixer,
        positions=positions,
        cycles=2,
        latent_steps=2,
        puzzle_tokens=2,
    )
    inputs, ids = torch.randint(1, 6, (4, 9)), torch.tensor([0, 1, 2, 1])

    def step() -> dict[str, torch.Tensor]:
        core.zero_grad()
        rows = core.puzzles(ids)
        thought = core(core.start(4), inputs, rows)
        losses = supervision_loss(thought.logits, thought.halt, inputs)
        losses.total().backward()
        grads = {name: parameter.grad.clone() for name, parameter in core.named_parameters()}
        return {**grads, "rows": rows.grad, "logits": thought.logits.detach(), "loss": losses.total().detach()}

    eager, keys = step(), core.state_dict().keys()
    core.compile(backend="aot_eager", fullgraph=True)
    for name, value in step().items():
        torch.testing.assert_close(value, eager[name], msg=lambda text, name=name: f"{name}: {text}")
    assert core.state_dict().keys() == keys
