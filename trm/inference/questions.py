"""Conversion of questions from text, arrays or lists to checked tokens.

Shapes: N questions, L grid cells, h x w grid.
"""

from typing import Any

import numpy as np
from torch import Tensor

from trm.data import PuzzleData
from trm.data.samples import Tokens
from trm.errors import InputError, counted


def read_questions(questions: Any, data: PuzzleData) -> tuple[Tokens | list[Tokens], bool]:
    """Return the tokens of one question or several.

    Args:
        questions: a string, a list of strings, or integers (numpy, torch, nested lists) of shape (L,), (h, w), (N, L)
            or (N, h, w), with h * w = L.
        data: the family of the questions.

    Returns:
        The tokens, (N, L), and whether ``questions`` was a single question. Several texts may be of other sizes than
        ``data``; of these there is a list of tokens, N of (L,), and of an empty list an empty one.

    Raises:
        InputError: if the type, shape or a token is not accepted.
    """
    if isinstance(questions, str):
        return data.fitting(questions).parse(questions)[None], True
    if isinstance(questions, list | tuple) and all(isinstance(text, str) for text in questions):
        boards = [data.fitting(text).parse(text) for text in questions]
        return np.stack(boards) if len(set(map(len, boards))) == 1 else boards, False
    array = _integers(questions)
    cells = data.seq_len
    flat = array.ndim in (1, 2) and array.shape[-1] == cells
    grid = array.ndim in (2, 3) and array.shape[-2] * array.shape[-1] == cells
    if not (flat or grid) or not array.size:
        raise InputError(
            f"the questions have shape {array.shape}, but a question of {type(data).__name__} has "
            f"{counted(cells, 'cell')}: ({cells},) or a grid of them for one, (N, {cells}) for several"
        )
    single = array.ndim == (1 if flat else 2)
    array = array.reshape(-1, cells)
    unknown = np.argwhere((array < 0) | (array >= data.vocab_size))
    if len(unknown):
        row, cell = unknown[0].tolist()
        found = (
            f"token {array[row, cell]} in cell {cell}, counted from 0, but the tokens are 0 to {data.vocab_size - 1}"
        )
        raise _digits(row, found, data)
    for row, question in enumerate(array):
        if found := data.misread(question.astype(np.uint8)):
            raise _digits(row, found, data)
    return array.astype(np.uint8), single


def _integers(questions: Any) -> np.ndarray[Any, np.dtype[Any]]:
    """Return integers as an array.

    Raises:
        InputError: if they are not integers, or are lists of different lengths.
    """
    if isinstance(questions, Tensor):
        questions = questions.detach().cpu().numpy()
    accepted = "strings, or integers as a numpy array, a torch tensor or lists of equal length"
    try:
        array = np.asarray(questions)
    except ValueError as error:  # lists of different lengths
        raise InputError(f"the questions are lists of different lengths, but must be {accepted}") from error
    if array.dtype.kind not in "iu":
        kind = type(questions).__name__ if array.dtype.kind == "O" else array.dtype
        raise InputError(f"the questions are of type {kind}, but must be {accepted}")
    return array


def _digits(row: int, found: str, data: PuzzleData) -> InputError:
    return InputError(
        f"question {row} has {found}; integers are tokens of {type(data).__name__}, not digits or colours: pass a "
        "puzzle written in those as a string"
    )
