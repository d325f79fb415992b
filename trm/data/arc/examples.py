"""Examples of ARC tasks as arrays, and the samples made of them.

Shapes: E examples, N samples.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm.data.arc.augment import Augmentations
from trm.data.arc.grids import Grid, Grids, Integers, encode
from trm.data.samples import Samples

Shift = Callable[[Integers], Integers]
UNKNOWN = np.zeros((0, 0), dtype=np.uint8)
"""An unknown output; its tokens are all padding, which no loss or metric counts."""


class Examples(NamedTuple):
    """Inputs and outputs as published, (E,) each."""

    inputs: Grids
    outputs: Grids
    tasks: NDArray[np.int64]
    """Index of the task, in ascending order, (E,)."""

    @classmethod
    def collect(cls, tasks: Iterable[Iterable[tuple[Grid, Grid | None]]]) -> "Examples":
        """Return the examples of all tasks."""
        numbered = [(index, *pair) for index, pairs in enumerate(tasks) for pair in pairs]
        return cls(
            Grids.stack([question for _, question, _ in numbered]),
            Grids.stack([UNKNOWN if answer is None else answer for _, _, answer in numbered]),
            np.array([index for index, _, _ in numbered], dtype=np.int64),
        )

    def samples(
        self, index: Integers, ids: Integers, symmetries: Augmentations, side: int, shift: Shift | None = None
    ) -> Samples:
        """Return the samples of examples under the symmetries of puzzle ids.

        Args:
            index: index of each example, (N,).
            ids: puzzle ids of their tasks, (N,).
            symmetries: the symmetries of the ids.
            side: rows and columns of the canvas.
            shift: given the greatest shift of each example, (N,), returns its shift, (N,); called for down, then for
                right. Both grids of an example are shifted equally. None leaves all in the top left corner.
        """
        inputs, outputs = (symmetries.apply(grids.take(index), ids) for grids in (self.inputs, self.outputs))
        down: Integers | int = 0
        right: Integers | int = 0
        if shift is not None:
            down = shift(side - np.maximum(inputs.heights, outputs.heights))
            right = shift(side - np.maximum(inputs.widths, outputs.widths))
        return Samples(encode(inputs, down, right, side), encode(outputs, down, right, side), ids.astype(np.int32))
