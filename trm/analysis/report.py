"""What the commands share that measure a checkpoint on its test puzzles: the files they report to, puzzles, device."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from trm.batch import IGNORE, Batch
from trm.checkpoints.files import refuse_overwriting
from trm.checkpoints.load import load_checkpoint
from trm.data import PuzzleData
from trm.data.atomic import atomic_write, check_writable
from trm.data.samples import to_batch
from trm.errors import InputError
from trm.module import TRMModule


def reserve(output: str, force: bool, beside: Sequence[str] = (".svg",)) -> Path:
    """Return the JSON file to write, before anything is measured for it.

    Args:
        output: its name.
        force: overwrite what exists.
        beside: endings of the files that go with it.

    Raises:
        InputError: if the name is that of one of those, or one of the files exists or cannot be written.
    """
    path = Path(output)
    if not path.name or path.is_dir() or path.suffix in beside:
        raise InputError(
            f"--output {output!r} is a folder, or ends in {' or '.join(beside)} as what goes beside it does; "
            "accepted is a file with another ending, such as .json"
        )
    for suffix in (path.suffix, *beside):
        refuse_overwriting(path.with_suffix(suffix), force)
    check_writable(path)
    return path


def publish(path: Path, facts: dict[str, Any], picture: str) -> None:
    """Write the JSON file and its picture."""
    with atomic_write(path, "w") as file:
        json.dump(facts, file, indent=1)
        file.write("\n")
    with atomic_write(path.with_suffix(".svg"), "w") as file:
        file.write(picture)
    print(f"written: {path}, {path.with_suffix('.svg')}")


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
