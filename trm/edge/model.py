"""An exported network: its description, its initial state, and one supervision step in onnxruntime.

Shapes: B puzzles, L grid cells, S sequence, D channels of a state, E size of a puzzle vector, V vocabulary.
"""

import base64
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm.edge.description import check_kinds, check_parts
from trm.errors import InputError, counted

FORMAT = 1
"""Version of the description; a file with a later one is refused."""
KEY = "trm"
"""Name of the description, JSON, among the metadata of the file."""
INPUTS = ("inputs", "y", "z", "puzzle_vectors")
"""Inputs of the step model: tokens (B, L) int32; answer and latent, (B, S, D); with a puzzle embedding, (B, E)."""
OUTPUTS = ("logits", "halt", "proceed", "next_y", "next_z")
"""Outputs of the step model, those of ``trm.nn.StepOutput``."""

Floats = NDArray[np.float32]
Integers = NDArray[np.integer]


class Step(NamedTuple):
    """Output of a supervision step."""

    logits: Floats
    """Answer logits, (B, L, V)."""
    halt: Floats
    """Halting logits, (B,)."""
    proceed: Floats
    """Continue logits, (B,); zero without a continue loss."""
    y: Floats
    """Answer, (B, S, D)."""
    z: Floats
    """Latent, (B, S, D)."""


class EdgeModel:
    """A step model in onnxruntime.

    Args:
        file: a file written by ``trm export --format onnx``, or its content.
        threads: threads of a step.

    Raises:
        InputError: if the file cannot be read, is no such file, or onnxruntime is missing.
    """

    def __init__(self, file: str | Path | bytes, threads: int = 1) -> None:
        name = "the model" if isinstance(file, bytes) else str(file)
        self.session = open_session(file, threads)
        text = self.session.get_modelmeta().custom_metadata_map.get(KEY, "null")
        try:
            self.about: dict[str, Any] = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{name} has a damaged description of trm: {error}") from error
        if not (isinstance(self.about, dict) and "format" in self.about):
            raise InputError(f"{name} is an ONNX file, but trm export did not write it: it has no description of trm")
        try:
            self._refuse_others(name)
            self.cells, self.tokens = int(self.about["cells"]), int(self.about["tokens"])
            self.start_y, self.start_z = (unpacked(self.about["start"][part]) for part in ("y", "z"))  # (1 or S, D)
            vector = self.about["puzzle_vector"]
            self.puzzle_vector = None if vector is None else unpacked(vector)  # (E,)
            self._try(name)
            check_parts(self.about)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            what = f"it lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
            raise InputError(f"{name} has a damaged description of trm: {what}") from error

    def _refuse_others(self, name: str) -> None:
        """Refuse a description of a later format, one with values of other kinds, and that of a whole loop."""
        if isinstance(self.about["format"], int) and self.about["format"] > FORMAT:
            raise InputError(
                f"{name} has a description of format {self.about['format']}, written by {self.about['written_by']}; "
                f"this version reads formats up to {FORMAT}"
            )
        check_kinds(self.about)
        if self.about["kind"] != "step":
            raise InputError(
                f"{name} contains the {self.about['kind']} loop, for runtimes without a host language; accepted is a "
                "file exported without --whole"
            )

    def _try(self, name: str) -> None:
        """Take a step with one empty puzzle, to see whether the network is the one that is described."""
        declared = {tensor.name: tensor.shape[1:] for tensor in self.session.get_inputs()}
        for part, start in (("y", self.start_y), ("z", self.start_z)):
            if declared.get(part) != [self.about["length"], start.shape[-1]]:  # before memory for it is asked for
                raise InputError(
                    f"{name} does not contain the network that it describes: its {part} has shape {declared.get(part)}"
                    f" for a puzzle, not {[self.about['length'], start.shape[-1]]}"
                )
        vectors = None if self.puzzle_vector is None else self.puzzle_vector[None]
        try:
            logits = self.step(np.zeros((1, self.cells), dtype=np.int32), *self.start(1), vectors).logits
        except Exception as error:  # the classes of onnxruntime have no base of their own
            raise InputError(
                f"{name} does not contain the network that it describes: {' '.join(str(error).split())}"
            ) from error
        if logits.shape != (1, self.cells, self.tokens):
            raise InputError(
                f"{name} describes {counted(self.cells, 'cell')} of {counted(self.tokens, 'token')}, but its "
                f"network has logits of shape {logits.shape}"
            )
        if not np.isfinite(logits).all():
            raise InputError(f"{name} contains numbers that are not finite: its network answers with them")

    def start(self, batch: int) -> tuple[Floats, Floats]:
        """Return the initial answer and latent of every puzzle, 2 x (B, S, D)."""
        y, z = (
            np.ascontiguousarray(np.broadcast_to(part, (batch, self.about["length"], part.shape[-1])))
            for part in (self.start_y, self.start_z)
        )
        return y, z

    def step(self, inputs: Integers, y: Floats, z: Floats, vectors: Floats | None = None) -> Step:
        """Take one supervision step.

        Args:
            inputs: tokens of the questions, (B, L).
            y: answer, (B, S, D).
            z: latent, (B, S, D).
            vectors: puzzle vectors, (B, E), of a network with a puzzle embedding.
        """
        feed = {"inputs": inputs.astype(np.int32), "y": y, "z": z}
        if vectors is not None:
            feed["puzzle_vectors"] = vectors
        return Step(*self.session.run(list(OUTPUTS), feed))


def open_session(file: str | Path | bytes, threads: int = 1) -> Any:
    """Return an onnxruntime session of an ONNX file or of its content, on the CPU.

    Raises:
        InputError: if onnxruntime is missing or cannot load the file.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise InputError("an exported model needs the package onnxruntime: pip install onnxruntime") from error
    if not isinstance(file, bytes) and not Path(file).is_file():
        raise InputError(f"there is no model at {file}; accepted is a file written by trm export --format onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors only; they are raised as well
    try:
        content = file if isinstance(file, bytes) else Path(file).read_bytes()
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except OSError as error:
        raise InputError(f"cannot read {file!s}: {error.strerror}") from error
    except Exception as error:  # the classes of onnxruntime have no base of their own
        name, reason = "the model" if isinstance(file, bytes) else file, " ".join(str(error).split())
        raise InputError(f"{name} is not an ONNX file, or was cut short: {reason}") from error


def packed(array: Floats) -> dict[str, Any]:
    """Return an array as plain values: its shape, and its float32 values, little-endian, in base64."""
    values = np.ascontiguousarray(array, dtype="<f4")
    return {"shape": list(values.shape), "float32": base64.b64encode(values.tobytes()).decode()}


def unpacked(plain: dict[str, Any]) -> Floats:
    """Return the array of ``packed``.

    Raises:
        KeyError, TypeError, ValueError: if the values are damaged or not finite.
    """
    values = np.frombuffer(base64.b64decode(plain["float32"]), dtype="<f4").astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("its initial state or puzzle vector has numbers that are not finite")
    return values.reshape(plain["shape"])
