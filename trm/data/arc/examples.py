"""Examples of ARC tasks as arrays, and the rows they become."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm.data.arc.augment import Augmentations
from trm.data.arc.grids import Grid, Grids, Integers, encode
from trm.data.samples import Samples

Spread = Callable[[Integers], Integers]
NOTHING = np.zeros((0, 0), dtype=np.uint8)
"""An output that is not known; it has no tokens but padding, which no loss or metric counts."""


class Examples(NamedTuple):
    """Inputs and outputs as published, (E,) each."""

    inputs: Grids
    outputs: Grids
    tasks: NDArray[np.int64]
    """Index of the task, rising, (E,)."""

    @classmethod
    def collect(cls, tasks: Iterable[Iterable[tuple[Grid, Grid | None]]]) -> "Examples":
        """Put together the examples of tasks."""
        numbered = [(index, *pair) for index, pairs in enumerate(tasks) for pair in pairs]
        return cls(
            Grids.stack([question for _, question, _ in numbered]),
            Grids.stack([NOTHING if answer is None else answer for _, _, answer in numbered]),
            np.array([index for index, _, _ in numbered], dtype=np.int64),
        )

    def rows(
        self, index: Integers, ids: Integers, symmetries: Augmentations, side: int, spread: Spread | None = None
    ) -> Samples:
        """Return the examples ``index`` as the puzzles ``ids`` show them, (N,) each.

        Args:
            index: which examples.
            ids: puzzle ids of their tasks.
            symmetries: the symmetries of the ids.
            side: rows and columns of the canvas.
            spread: given the most cells that each may move down or right, returns how many it does; called for down,
                then for right. Both grids of an example move together. None leaves all in the corner.
        """
        inputs, outputs = (symmetries.apply(grids.take(index), ids) for grids in (self.inputs, self.outputs))
        down: Integers | int = 0
        right: Integers | int = 0
        if spread is not None:
            down = spread(side - np.maximum(inputs.heights, outputs.heights))
            right = spread(side - np.maximum(inputs.widths, outputs.widths))
        return Samples(encode(inputs, down, right, side), encode(outputs, down, right, side), ids.astype(np.int32))
