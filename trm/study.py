"""What the commands share that measure a checkpoint on its test puzzles: their files, tables, puzzles and device."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from trm.batch import IGNORE, Batch
from trm.checkpoint import load_checkpoint, refuse_overwriting
from trm.data import PuzzleData
from trm.data.base import to_batch
from trm.data.files import whole_file
from trm.errors import InputError
from trm.module import TRMModule


def claim(output: str, force: bool, what: str = "plot") -> Path:
    """Return the JSON file to write, before anything is measured; a picture goes beside it, as SVG.

    Raises:
        InputError: if the name is that of the picture, or one of the two files exists.
    """
    path = Path(output)
    if path.suffix == ".svg":
        raise InputError(
            f"--output {output} is the name of the {what}; the JSON file needs another ending, such as .json"
        )
    for written in (path, path.with_suffix(".svg")):
        refuse_overwriting(written, force)
    return path


def publish(path: Path, facts: dict[str, Any], picture: str) -> None:
    """Write the JSON file and its picture."""
    with whole_file(path, "w") as file:
        json.dump(facts, file, indent=1)
        file.write("\n")
    with whole_file(path.with_suffix(".svg"), "w") as file:
        file.write(picture)


def table(head: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table, each line of which ends in a newline."""
    first, *others = [f"| {' | '.join(cells)} |\n" for cells in (head, *rows)]
    return "".join([first, "|---" * len(head) + "|\n", *others])


def load(checkpoint: str, family: str) -> tuple[TRMModule, PuzzleData]:
    """Load a checkpoint as ``load_checkpoint`` does, onto a GPU if there is one."""
    module, data = load_checkpoint(checkpoint, family)
    return module.to("cuda" if torch.cuda.is_available() else "cpu"), data


def labelled(data: PuzzleData, puzzles: int, batch_size: int, device: torch.device) -> Iterator[Batch]:
    """Yield the test puzzles that have an answer, from the first ``puzzles`` of the split; 0 for all.

    Raises:
        InputError: if none has.
    """
    size = min(puzzles or data.eval_size("test"), data.eval_size("test"))
    found = False
    for first in range(0, size, batch_size):
        batch = to_batch(data.eval_rows("test", first, min(batch_size, size - first)))
        given = (batch.labels != IGNORE).any(-1)
        if given.any():
            found = True
            yield Batch(*(field[given].to(device) for field in batch))
    if not found:
        raise InputError(f"none of the {size} puzzles of the test split has an answer to compare with")
