"""Exported files of a trained model, complete and checked: what ``trm export`` writes for onnx and pt2."""

import io
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram

from trm.checkpoints.files import read_checkpoint
from trm.checkpoints.load import load_checkpoint
from trm.data import PuzzleData, Samples
from trm.edge.description import head_threshold
from trm.edge.model import KEY, OUTPUTS, open_session
from trm.edge.rules import fault
from trm.edge.solver import EdgeSolver
from trm.export.description import describe, start_values
from trm.export.graph import add_metadata, needs_extra, to_onnx
from trm.export.loop import looped
from trm.export.parity import Runner, compare_answers, compare_steps, sample_puzzles
from trm.export.step import DType, export_step, quiet, rounded
from trm.module import TRMModule
from trm.nn import TRM
from trm.zoo import LICENCE, card, names


class Exported(NamedTuple):
    """An exported file and the result of its check."""

    content: bytes
    """Content of the file."""
    description: dict[str, Any]
    """The description in the file; see ``trm.export.description``."""
    checks: list[str]
    """What was compared with torch, in words."""
    puzzle: str = ""
    """A question as text; "" if the family has none of a character per cell."""


def export_onnx(
    checkpoint: str, dtype: DType = "float32", whole: bool = False, family: str = "", module: str = ""
) -> Exported:
    """Return a model as an ONNX file that has been compared with torch.

    Args:
        checkpoint: a file written by ``trm fit``, a hub folder, or the name of a model.
        dtype: type in which the weights are stored; the computation is in float32.
        whole: the loop over all supervision steps in place of a single step.
        family: dotted path of your own family; see ``load_checkpoint``.
        module: dotted paths of your own classes; see ``load_checkpoint``.

    Raises:
        InputError: if the checkpoint cannot be loaded or exported, the extra ``export`` is missing, or the export
            differs from torch.
    """
    needs_extra()
    model, data, description, texts = _loaded(checkpoint, family, module)
    core = rounded(model.core, dtype)
    step = to_onnx(export_step(core, data.seq_len), dtype)
    description["dtype"] = dtype
    add_metadata(step, description, texts)
    content = step.SerializeToString()
    samples, what = sample_puzzles(data)
    worst = compare_steps(core, _onnx_runner(content), samples)
    threshold = head_threshold(description)
    solver = EdgeSolver(content, halt="head", halt_threshold=threshold)

    def answer(samples: Samples) -> NDArray[Any]:
        vectors = None if core.puzzle_embedding is None else _vectors(core, samples)
        return solver.answers(samples.inputs.astype(np.int64), vectors)

    if whole:
        loop = looped(step, start_values(core), description, math.log(threshold / (1 - threshold)))
        description = {**description, "kind": "whole"}
        add_metadata(loop, description, texts)
        content = loop.SerializeToString()
        answer = _whole_runner(content, core)
    answered = compare_answers(model, data, answer, samples, threshold)
    checks = [
        f"steps of {what} differ from torch by at most {worst:.1e} of their greatest value",
        f"answers: {answered.equal} equal; torch solves {answered.torch}, the file {answered.file}, "
        f"{answered.lost} of torch's are lost",
        *_on_choice(model, description),
    ]
    question = samples.inputs[0].astype(np.int64)
    readable = description["symbols"] is not None and not fault(description["rules"], question)
    return Exported(content, description, checks, solver.write(question) if readable else "")


def export_pt2(checkpoint: str, family: str = "", module: str = "") -> Exported:
    """Return a model as a program of ``torch.export``, compared with torch; arguments as of ``export_onnx``."""
    model, data, description, texts = _loaded(checkpoint, family, module)
    core = rounded(model.core, "float32")
    program = export_step(core, data.seq_len)
    description["dtype"] = "float32"
    buffer = io.BytesIO()
    with quiet():
        torch.export.save(program, buffer, extra_files={KEY: json.dumps(description), **texts})
    samples, what = sample_puzzles(data)
    with quiet():
        worst = compare_steps(core, _program_runner(torch.export.load(io.BytesIO(buffer.getvalue()))), samples)
    checks = [f"steps of {what} differ from torch by at most {worst:.1e} of their greatest value"]
    checks += _on_choice(model, description)
    return Exported(buffer.getvalue(), description, checks)


def _loaded(checkpoint: str, family: str, module: str) -> tuple[TRMModule, PuzzleData, dict[str, Any], dict[str, str]]:
    """Return the module, its family, the description and the texts of a checkpoint."""
    model, data = load_checkpoint(checkpoint, family, module)
    is_zoo = checkpoint in names() and not Path(checkpoint).exists()
    texts = {"card": card(checkpoint), "licence": LICENCE} if is_zoo else {}
    return model, data, describe(read_checkpoint(checkpoint), model, data, Path(checkpoint).name), texts


def _on_choice(model: TRMModule, description: dict[str, Any]) -> list[str]:
    """Return what becomes of the choice of ``trm tune``, in a sentence if there is one."""
    if model.inference_choice is None:
        return []
    if description["inference"] is None:
        return [f"left out: {model.inference_choice}; the file lacks the rules or the views for it"]
    if description["kind"] == "whole":
        return [
            f"exits by the halting head above {head_threshold(description):g}, in one view; the loop has no more of "
            f"the choice of trm tune: {model.inference_choice}"
        ]
    return [f"by default {model.inference_choice}"]


def _vectors(core: TRM, samples: Samples) -> NDArray[np.float32]:
    """Return the puzzle vectors of samples, (N, E)."""
    assert core.puzzle_embedding is not None
    vectors: NDArray[np.float32] = core.puzzle_embedding(torch.from_numpy(samples.puzzle_ids)).numpy()
    return vectors


def _onnx_runner(content: bytes) -> Runner:
    session = open_session(content)
    inputs = [tensor.name for tensor in session.get_inputs()]
    return lambda *arrays: session.run(list(OUTPUTS), dict(zip(inputs, arrays, strict=True)))


def _program_runner(program: ExportedProgram) -> Runner:
    step = program.module()
    return lambda *arrays: [output.numpy() for output in step(*map(torch.from_numpy, arrays))]


def _whole_runner(content: bytes, core: TRM) -> Any:
    """Return a function from samples to the answers of a whole loop, (N, L)."""
    session = open_session(content)

    def answer(samples: Samples) -> NDArray[Any]:
        feed = {"inputs": samples.inputs.astype(np.int32)}
        if core.puzzle_embedding is not None:
            feed["puzzle_vectors"] = _vectors(core, samples)  # type: ignore[assignment]
        answers: NDArray[Any] = session.run(["tokens"], feed)[0]
        return answers

    return answer
