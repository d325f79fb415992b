"""Shared by the analyses: loading a model, labelled test puzzles, text tables, and the files of a report."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from trm.checkpoints.load import load_checkpoint
from trm.data import PuzzleData, Samples
from trm.data.atomic import atomic_write, check_ending, refuse_overwriting
from trm.data.progress import Progress, unwatched
from trm.errors import InputError, counted
from trm.module import TRMModule
from trm.zoo import local

Facts = dict[str, Any]
"""Result of an analysis in plain values, as it is written to JSON. Tables and pictures are made from it alone."""


def load(checkpoint: str, family: str = "", module: str = "") -> tuple[TRMModule, PuzzleData]:
    """Load a checkpoint as ``load_checkpoint`` does, onto a GPU if there is one."""
    model, data = load_checkpoint(checkpoint, family, module)
    return model.to("cuda" if torch.cuda.is_available() else "cpu"), data


def labelled(
    data: PuzzleData, puzzles: int | None, batch_size: int, split: str = "test", watch: Progress = unwatched
) -> Iterator[Samples]:
    """Yield the samples with a label among the first ``puzzles`` of a split (None for all), in batches.

    ``watch`` is called when the next batch is asked for, with the numbers of samples done and wanted.

    Raises:
        InputError: if none has a label.
    """
    size = min(puzzles or data.eval_size(split), data.eval_size(split))
    found = False
    for first in range(0, size, batch_size):
        samples = data.eval_samples(split, first, min(batch_size, size - first))
        answered = samples.labelled
        if answered.any():
            found = True
            yield samples.take(answered)
        watch(min(first + batch_size, size), size)
    if not found:
        raise InputError(f"none of the {counted(size, 'puzzle')} of the {split} split has a label to compare with")


def table(head: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table, each line of which ends in a newline."""
    first, *others = [f"| {' | '.join(cells)} |\n" for cells in (head, *rows)]
    return "".join([first, "|---" * len(head) + "|\n", *others])


def columns(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table for a terminal: the first column aligned to the left, the others to the right."""
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = (
        [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        for line in lines
    )
    return "\n".join("  ".join(cells).rstrip() for cells in aligned)


def reserve(output: str, force: bool, checkpoint: str = "") -> Path:
    """Return the path of the JSON file of a report, and check it before anything is measured.

    Args:
        output: name of the file.
        force: overwrite the file and its picture.
        checkpoint: the file that is analysed, which is never overwritten.

    Raises:
        InputError: if the name is that of a folder or of another format, or a file exists or cannot be written.
    """
    path = Path(output)
    if not path.name or path.is_dir() or path.suffix == ".svg":
        raise InputError(
            f"--output {output!r} is a folder, or ends in .svg as the picture beside it does; "
            "accepted is a file with another ending, such as .json"
        )
    for file in (path, path.with_suffix(".svg")):
        refuse_overwriting(file, force, local(checkpoint))
    check_ending(path, "JSON", ".json")
    return path


def publish(path: Path, facts: Facts, picture: str) -> None:
    """Write the JSON file and, beside it with the ending .svg, its picture."""
    with atomic_write(path, "w") as file:
        json.dump(facts, file, indent=1)
        file.write("\n")
    with atomic_write(path.with_suffix(".svg"), "w") as file:
        file.write(picture)
