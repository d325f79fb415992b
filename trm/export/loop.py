"""The whole loop as an ONNX file: all supervision steps with early exit, for runtimes without a host language.

Its inputs are those of the step model without the state. Its outputs are the tokens of the answers, (B, L) int32, the
halting probabilities, (B,), and the supervision steps taken, (B,) int32. Puzzles that have halted keep their answers,
but are computed until all have halted.
"""

from typing import Any

import numpy as np

LOOP = """
<ir_version: {ir}, opset_import: ["" : {opset}]>
think (int32[batch, {cells}] inputs) => (
    int32[batch, {cells}] tokens, float[batch] confidence, int32[batch] supervision_steps
) {{
    batch_size = Shape <start = 0, end = 1> (inputs)
    inner_y = Constant <value_ints = [{length}, {width_y}]> ()
    shape_y = Concat <axis = 0> (batch_size, inner_y)
    first_y = Expand (start_y, shape_y)
    inner_z = Constant <value_ints = [{length}, {width_z}]> ()
    shape_z = Concat <axis = 0> (batch_size, inner_z)
    first_z = Expand (start_z, shape_z)
    inner_logits = Constant <value_ints = [{cells}, {vocabulary}]> ()
    shape_logits = Concat <axis = 0> (batch_size, inner_logits)
    zero = Constant <value_float = 0.0> ()
    first_logits = Expand (zero, shape_logits)
    first_halt = Expand (zero, batch_size)
    first_steps = Cast <to = 6> (first_halt)
    first_done = Cast <to = 9> (first_halt)
    depth = Constant <value_int = {depth}> ()
    true = Constant <value = bool {{1}}> ()
    last_y, last_z, last_done, last_logits, last_halt, last_steps = Loop (
        depth, true, first_y, first_z, first_done, first_logits, first_halt, first_steps
    ) <body = supervision_step (
        int64 number, bool going, float[] y, float[] z, bool[] done, float[] kept_logits, float[] kept_halt,
        int32[] steps
    ) => (
        bool go_on, float[] next_y, float[] next_z, bool[] next_done, float[] next_logits, float[] next_halt,
        int32[] next_steps
    ) {{
        cell_axes = Constant <value_ints = [1, 2]> ()
        done_cells = Unsqueeze (done, cell_axes)
        next_logits = Where (done_cells, kept_logits, logits)
        next_halt = Where (done, kept_halt, halt)
        active = Not (done)
        one_more = Cast <to = 6> (active)
        next_steps = Add (steps, one_more)
        threshold = Constant <value_float = {logit}> ()
        margin = Sub (halt, proceed)
        exits = Greater (margin, threshold)
        next_done = Or (done, exits)
        open = Not (next_done)
        open_number = Cast <to = 6> (open)
        any_open = ReduceMax <keepdims = 0> (open_number)
        go_on = Cast <to = 9> (any_open)
    }}>
    best = ArgMax <axis = -1, keepdims = 0> (last_logits)
    tokens = Cast <to = 6> (best)
    confidence = Sigmoid (last_halt)
    supervision_steps = Identity (last_steps)
}}
"""
"""The loop in ONNX's own notation, without the nodes of the step; 6 is int32, 9 is bool."""


def looped(step: Any, start: dict[str, Any], about: dict[str, Any], logit: float) -> Any:
    """Return a model that repeats a step model, both ``onnx.ModelProto``.

    Args:
        step: the step model.
        start: initial answer ``y`` and latent ``z``, each (1, D) or (S, D).
        about: its description.
        logit: the difference of halting and continue logit above which a puzzle halts.
    """
    from onnx import checker, numpy_helper, parser

    text = LOOP.format(
        ir=step.ir_version,
        opset=next(opset.version for opset in step.opset_import if not opset.domain),
        cells=about["cells"],
        vocabulary=about["tokens"],
        length=about["length"],
        width_y=start["y"].shape[-1],
        width_z=start["z"].shape[-1],
        depth=about["supervision_steps"],
        logit=f"{logit:.9f}",
    )
    model = parser.parse_model(text)
    (loop,) = (node for node in model.graph.node if node.op_type == "Loop")
    (body,) = (attribute.g for attribute in loop.attribute if attribute.name == "body")
    after = list(body.node)
    del body.node[:]
    body.node.extend([*step.graph.node, *after])
    constants = [numpy_helper.from_array(np.asarray(start[part], np.float32), f"start_{part}") for part in ("y", "z")]
    model.graph.initializer.extend([*step.graph.initializer, *constants])
    model.graph.input.extend(tensor for tensor in step.graph.input if tensor.name == "puzzle_vectors")
    checker.check_model(model)
    return model
