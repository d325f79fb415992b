"""SplitMix64 (doi:10.1145/2660193.2660195): scrambles 64-bit numbers, for random words of a counter and for hashes."""

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

GAMMA = np.uint64(0x9E3779B97F4A7C15)
"""Increment of the counter of SplitMix64: 2**64 over the golden ratio, made odd."""


def mix(words: Words) -> Words:
    """Scramble words, of any shape, by the output function of SplitMix64, which maps the 64-bit numbers one to one."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
