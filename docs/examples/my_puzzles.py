"""Lights Out on 3x3: which buttons turn all lights off? Each toggles its own light and those beside it."""

import numpy as np

from trm.data import PuzzleData, Samples, Verdict
from trm.errors import InputError

NEAR = np.abs(np.indices((3, 3)).reshape(2, 9, 1) - np.indices((3, 3)).reshape(2, 1, 9)).sum(0) <= 1


class LightsOut(PuzzleData):
    """Token 1 is off or not pressed, token 2 on or pressed; all 512 boards have one solution.

    Args:
        held_out: boards for validation and for testing, each.
        kwargs: arguments of PuzzleData.
    """

    vocab_size, seq_len, num_puzzles = 3, 9, 0

    def __init__(self, held_out: int = 50, slots: int = 16, steps_per_batch: int = 4, workers: int = 0) -> None:
        super().__init__(slots=slots, steps_per_batch=steps_per_batch, workers=workers)
        self.held_out = held_out

    def load(self, split):
        presses = np.random.default_rng(self.seed).permutation(512)[:, None] >> np.arange(9) & 1
        first = {"val": 0, "test": self.held_out, "train": 2 * self.held_out}[split]
        presses = presses[first : None if split == "train" else first + self.held_out]
        lights = presses @ NEAR % 2
        return Samples(*((board + 1).astype(np.uint8) for board in (lights, presses)), np.zeros(len(presses), np.int32))

    def parse(self, text):
        if len(text) != 9 or set(text) - set("01"):
            raise InputError(f"the board {text!r} is not nine lights, each 0 or 1")
        return np.array([int(light) + 1 for light in text], dtype=np.uint8)

    def write(self, tokens):
        return "".join("?01"[token] for token in tokens)

    def verify(self, question, answer):
        dark = not ((question - 1) + (answer - 1) @ NEAR & 1).any()
        return Verdict(dark, "" if dark else "some lights stay on")
