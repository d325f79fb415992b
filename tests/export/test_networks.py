"""Every network can be exported, for batches of any size, and computes what torch computes."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trm.data import Samples
from trm.edge.model import OUTPUTS, open_session
from trm.errors import InputError
from trm.export.graph import to_onnx
from trm.export.parity import Runner, compare_steps
from trm.export.step import DType, export_step, quiet, rounded
from trm.nn import NETWORKS, TRM, build_network

CELLS = 16
SMALL = {
    "vocab_size": 6,
    "seq_len": CELLS,
    "hidden_size": 16,
    "num_layers": 1,
    "num_heads": 2,
    "multiple_of": 8,
    "cycles": 1,
    "latent_steps": 1,
    "num_symbols": 4,
    "grid": (4, 4, 2, 2),
}
MLP = {"mixer": "mlp", "positions": "none", "puzzle_tokens": 0}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("trm", {"num_puzzles": 3, "puzzle_tokens": 2}),
    ("trm", {**MLP, "grid_conv": 3}),
    ("trm", {**MLP, "gating": "normalised", "damping": 0.1, "pass_noise": 0.1}),
    ("trm", {"positions": "learned", "conv": 2}),
    ("single_z", MLP),
    ("multi_scale", {**MLP, "latent_steps": 2}),
    ("two_networks", MLP),
    ("hrm", {"continue_loss": True, "num_puzzles": 3, "puzzle_tokens": 1}),
    ("direct", MLP),
    ("symmetric", MLP),
    ("symmetric", {"positions": "grid", "num_puzzles": 3, "puzzle_tokens": 1}),
]


def built(network: str | type[TRM], options: dict[str, Any]) -> TRM:
    """Return a small network with random heads and puzzle vectors."""
    torch.manual_seed(1)
    core = build_network(network, {}, **{**SMALL, **options}).eval()
    torch.nn.init.normal_(core.halting_head.weight)
    if core.puzzle_embedding is not None:
        core.puzzle_embedding.weights.normal_()
    for name, weight in core.named_parameters():
        if "grid_conv" in name:
            torch.nn.init.normal_(weight, std=0.1)  # they begin at zero
    return core


def questions(count: int) -> Samples:
    """Return random questions with puzzle ids 0 to 2."""
    generator = np.random.default_rng(0)
    tokens = generator.integers(1, 6, (count, CELLS), dtype=np.uint8)
    return Samples(tokens, np.zeros_like(tokens), (np.arange(count) % 3).astype(np.int32))


def runner(session: Any) -> Runner:
    """Return a function that runs a step model in onnxruntime."""
    names = [tensor.name for tensor in session.get_inputs()]
    return lambda *arrays: session.run(list(OUTPUTS), dict(zip(names, arrays, strict=True)))


def test_the_cases_contain_every_network() -> None:
    assert {name for name, _ in CASES} == set(NETWORKS)


@pytest.mark.parametrize(("network", "options"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_network_exports_and_computes_what_torch_does_at_any_batch(network: str, options: dict[str, Any]) -> None:
    core = built(network, options)
    table = core.puzzle_embedding
    program = export_step(core, CELLS)
    assert core.puzzle_embedding is table
    model = to_onnx(program, "float32")
    assert {tensor.type.tensor_type.shape.dim[0].dim_param for tensor in model.graph.input} == {"batch"}
    session = open_session(model.SerializeToString())
    assert ("puzzle_vectors" in {tensor.name for tensor in session.get_inputs()}) == (table is not None)
    assert compare_steps(core, runner(session), questions(7)) < 1e-4  # batches of 1 and 7


def test_a_program_of_torch_is_free_of_the_batch_and_of_local_names() -> None:
    core = built("trm", MLP)
    buffer = io.BytesIO()
    with quiet():
        torch.export.save(export_step(core, CELLS), buffer)
        step = torch.export.load(io.BytesIO(buffer.getvalue())).module()
    assert b"/trm/nn/" not in buffer.getvalue()

    def run(*arrays: Any) -> Any:
        return [output.numpy() for output in step(*map(torch.from_numpy, arrays))]

    assert compare_steps(core, run, questions(7)) < 1e-5


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_weights_are_stored_once_in_a_smaller_type_in_which_they_are_exact(dtype: DType) -> None:
    core = rounded(built("trm", {"conv": 2}), dtype)
    model = to_onnx(export_step(core, CELLS), dtype)
    stored = {tensor.name: len(tensor.raw_data) for tensor in model.graph.initializer if ".stored" in tensor.name}
    size = 2 if dtype == "float16" else 1
    weights = {f"core.{name}.stored": p.numel() * size for name, p in core.named_parameters() if p.ndim > 1}
    assert stored == weights
    assert compare_steps(core, runner(open_session(model.SerializeToString())), questions(7)) < 1e-4


def test_rounding_leaves_the_network_as_it_was() -> None:
    core = built("trm", MLP)
    before = {name: tensor.clone() for name, tensor in core.state_dict().items()}
    rounded(core, "int8")
    assert all(torch.equal(before[name], tensor) for name, tensor in core.state_dict().items())


class OfTheBatch(TRM):
    """A network that loops over the puzzles of its batch."""

    def answer_logits(self, y: Tensor) -> Tensor:
        return torch.stack([self.answer_head(puzzle[self.puzzle_tokens :]) for puzzle in y])


def test_a_network_that_fixes_the_batch_is_refused() -> None:
    with pytest.raises(InputError, match=r"network .*OfTheBatch cannot be exported for batches of any size"):
        export_step(built(OfTheBatch, MLP), CELLS)


def test_a_difference_from_torch_is_refused() -> None:
    core = built("trm", MLP)

    def run(inputs: Any, y: Any, z: Any) -> Any:
        output = core(type(core.start(1))(torch.from_numpy(y), torch.from_numpy(z)), torch.from_numpy(inputs))
        logits, *others = (part.detach().numpy() for part in (*output[1:], *output.state))
        return [output.logits.detach().numpy() + 1.0, logits, *others]

    with pytest.raises(InputError, match=r"differs from torch: logits of 1 puzzle by .*nothing was written"):
        compare_steps(core, run, questions(7))
