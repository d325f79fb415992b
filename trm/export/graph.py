"""The step model as an ONNX file: conversion, weights stored in a smaller type, and metadata.

onnxruntime computes in float32 whatever the weights are stored as: it casts them once, when it loads the file. Its own
quantization of activations to int8 depends on the processor: without VNNI instructions their sums saturate.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from trm.edge.model import INPUTS, KEY, OUTPUTS
from trm.errors import InputError
from trm.export.step import LEVELS, DType, quiet
from trm.nn.layers import NORM_EPS

FOLDED = 16
"""Most elements of a constant that is computed in advance, such as a shape: a weight stays as it is, and single."""
LOSS = 1e-6
"""Relative error up to which storing a weight counts as exact: a scale may differ by its last binary digit."""


def to_onnx(program: ExportedProgram, dtype: DType) -> Any:
    """Return a step model as an ``onnx.ModelProto``, its weights stored in a dtype in which they are exact.

    Raises:
        InputError: if the packages of the extra ``export`` are missing, or the batch of an input or output is fixed.
    """
    needs_extra()
    from onnxscript import optimizer

    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it warns that torchvision is not installed
    names = INPUTS[: len(program.graph_signature.user_inputs)]
    try:
        with torch.no_grad(), quiet():
            found = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                input_names=names,
                output_names=OUTPUTS,
                external_data=False,
                optimize=False,  # below, as its limits are such that it stores transposed copies of small weights
                custom_translation_table={torch.ops.aten.rms_norm.default: _rms_norm},
            )
            assert found is not None
            optimizer.optimize_ir(
                found.model,
                input_size_limit=FOLDED,
                output_size_limit=FOLDED,
                should_fold=lambda node: False if node.op_type == "Transpose" else None,  # of a weight of any size
            )
    finally:
        logger.setLevel(level)
    model = found.model_proto
    for tensor in (*model.graph.input, *model.graph.output):
        size = tensor.type.tensor_type.shape.dim[0]
        if not size.dim_param:
            raise InputError(f"the export fixes the batch of {tensor.name} to {size.dim_value}, but it must be free")
        size.dim_param = "batch"
    _strip(model)
    if dtype != "float32":
        _store(model, dtype)
    return model


def _rms_norm(x: Any, normalized_shape: Sequence[int], weight: None = None, eps: float = NORM_EPS) -> Any:
    """Return ``torch.nn.functional.rms_norm`` over the last axis, as nodes that onnxruntime fuses into one.

    It fuses a division by the root, then a product with a vector, and not what torch writes: a product with the
    reciprocal of the root, cast to the type that it has already.
    """
    from onnxscript import opset18 as op  # that of torch's own translations

    two: Any = op.Constant(value_float=2.0)
    last: Any = op.Constant(value_ints=[-1])
    mean = op.ReduceMean(op.Pow(x, two), last, keepdims=1)
    root = op.Sqrt(op.Add(mean, op.Constant(value_float=eps)))
    return op.Mul(op.Div(x, root), op.Constant(value_floats=[1.0] * normalized_shape[0]))


def needs_extra() -> None:
    """Refuse to export without the packages of the extra ``export``.

    Raises:
        InputError: if one is missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(f"--format onnx needs the package {error.name}: pip install 'trm[export]'") from error


def add_metadata(model: Any, description: dict[str, Any], texts: dict[str, str]) -> None:
    """Add a description, as JSON, and texts such as the card to the metadata of a model."""
    facts = {KEY: json.dumps(description, separators=(",", ":")), **texts}
    for name, value in facts.items():
        model.metadata_props.add(key=name, value=value)


def _strip(model: Any) -> None:
    """Remove what torch notes for debugging: it names local files and is a fifth of the size."""
    graph = model.graph
    del model.metadata_props[:], graph.metadata_props[:], graph.value_info[:]
    model.doc_string = graph.doc_string = ""
    for part in _parts(graph):
        del part.metadata_props[:]
        part.doc_string = ""


def _parts(graph: Any) -> Iterator[Any]:
    """Yield the nodes and tensors of a graph and of the graphs in its nodes."""
    yield from (*graph.input, *graph.output, *graph.initializer, *graph.node)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _parts(attribute.g)


def _store(model: Any, dtype: DType) -> None:
    """Store each weight that is exact in a dtype in it, and compute it by a cast, in int8 also a product."""
    from onnx import TensorProto, helper, numpy_helper

    graph, nodes = model.graph, []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        weight, name = numpy_helper.to_array(tensor), tensor.name
        kept, scale = _in_float16(weight) if dtype == "float16" else _in_int8(weight)
        if kept is None:
            continue
        graph.initializer.remove(tensor)
        graph.initializer.append(numpy_helper.from_array(kept, f"{name}.stored"))
        cast = name if scale is None else f"{name}.cast"
        nodes.append(helper.make_node("Cast", [f"{name}.stored"], [cast], to=TensorProto.FLOAT))
        if scale is not None:
            graph.initializer.append(numpy_helper.from_array(scale, f"{name}.scale"))
            nodes.append(helper.make_node("Mul", [cast, f"{name}.scale"], [name]))
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])


def _in_float16(weight: Any) -> tuple[Any, None]:
    """Return a weight in float16; None if that is not exact."""
    half = weight.astype(np.float16)
    return (half if (half.astype(np.float32) == weight).all() else None), None


def _in_int8(weight: Any) -> tuple[Any, Any]:
    """Return a weight in int8 and the scale of each of its rows; None if that is not exact."""
    rows = tuple(range(1, weight.ndim))
    scale = np.maximum(np.abs(weight).max(rows, keepdims=True), np.finfo(np.float32).tiny) / np.float32(LEVELS)
    levels = np.round(weight / scale)
    if np.abs(levels * scale - weight).max() > LOSS * np.abs(weight).max():
        return None, None
    return levels.astype(np.int8), scale.astype(np.float32)
