"""The step model: one supervision step as a program of ``torch.export``, with any number of puzzles in a batch.

Shapes: B puzzles, L grid cells, S sequence, D hidden size, E size of a puzzle vector.
"""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from trm.errors import InputError
from trm.nn import TRM, State, network_name

DType = Literal["float32", "float16", "int8"]
LEVELS = 127
"""Greatest magnitude of a parameter stored in int8."""
EXAMPLE = 2
"""Puzzles of the batch that is traced; torch takes a batch of 0 or 1 for a constant."""


class Step(nn.Module):
    """One supervision step, with tensors as arguments and results."""

    def __init__(self, core: TRM) -> None:
        super().__init__()
        self.core = core

    def forward(
        self, inputs: Tensor, y: Tensor, z: Tensor, puzzle_vectors: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return logits, halting logit, continue logit, and the new answer and latent; see ``StepOutput``."""
        output = self.core(State(y, z), inputs, puzzle_vectors)
        return output.logits, output.halt, output.proceed, *output.state


def example(core: TRM, batch: int, seq_len: int) -> tuple[Tensor, ...]:
    """Return arguments of ``Step`` for a batch: tokens, (B, L) int32, initial state and puzzle vectors, if any."""
    y, z = (part.contiguous() for part in core.start(batch))
    inputs = torch.ones(batch, seq_len, dtype=torch.int32)
    if core.puzzle_embedding is None:
        return inputs, y, z
    return inputs, y, z, core.puzzle_embedding(torch.zeros(batch, dtype=torch.int32))


def export_step(core: TRM, seq_len: int) -> ExportedProgram:
    """Return one supervision step of a network as a program for any batch, without the names of local files.

    Args:
        core: the network, on the CPU in evaluation mode.
        seq_len: number of cells L.

    Raises:
        InputError: if the network cannot be exported, or only for one size of batch.
    """
    network = network_name(type(core))
    arguments = example(core, EXAMPLE, seq_len)
    batch = Dim("batch", min=1)
    table, core.puzzle_embedding = core.puzzle_embedding, None  # the vectors are an input, so leave out the table
    try:
        with torch.no_grad(), quiet():
            program = torch.export.export(
                Step(core), arguments, dynamic_shapes=tuple({0: batch} for _ in arguments), strict=False
            )
    except Exception as error:  # of torch.export, which documents no class, or of a network of the user's own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"the network {network} cannot be exported for batches of any size: {reason}") from error
    finally:
        core.puzzle_embedding = table
    for node in program.graph.nodes:
        for trace in ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn"):
            node.meta.pop(trace, None)  # they name local files
    return program


def rounded(core: TRM, dtype: DType) -> TRM:
    """Return a copy of a network whose weights are exact in a dtype; the puzzle embedding and biases stay in float32.

    In int8 each row of a weight has a scale of its own: its greatest magnitude over 127.
    """
    core = copy.deepcopy(core).float()
    for weight in core.parameters():
        if weight.ndim > 1 and dtype == "float16":
            weight.data = weight.data.half().float()
        elif weight.ndim > 1 and dtype == "int8":
            scale = weight.data.flatten(1).abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / LEVELS
            scale = scale.view(-1, *[1] * (weight.ndim - 1))
            weight.data = (weight.data / scale).round() * scale
    return core


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out the deprecation warnings that torch's exporters cause themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
