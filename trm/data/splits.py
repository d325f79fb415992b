"""Splits of a generator or a table: their sizes, and generated splits, of which no more is made than is needed."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from trm.data.cache import cache_file, cached_arrays
from trm.data.progress import Progress
from trm.errors import InputError, check_range

Counts = Mapping[str, int | None]
"""Samples of "train", "val" and "test"; None for all of a table."""
MOST_GENERATED = 10_000_000
"""Most samples of all generated splits together. They are kept in memory, two bytes per cell."""
MOST_SOLUTIONS = 64
"""Most right answers of a generated puzzle; all of them are kept, and compared with an answer at every step."""
Arrays = dict[str, NDArray[Any]]
Range = tuple[int, int]
"""Least and greatest number, both included."""


class Generate(Protocol):
    """A generator: returns the arrays of splits by name, such as "test" or "test_questions"."""

    def __call__(self, progress: Progress, only: Mapping[str, int] | None) -> Mapping[str, NDArray[Any]]:
        """Generate all splits, or stop when the splits in ``only`` have that many samples."""


def check_sizes(counts: Counts, source: str, answers: int = 1) -> None:
    """Check the arguments ``train_size``, ``val_size`` and ``test_size`` of a family.

    Args:
        counts: the sizes.
        source: where the samples come from.
        answers: right answers of a generated sample, at most.

    Raises:
        InputError: if one is negative, or the generator would have to make too many samples.
    """
    sizes: dict[str, float | None] = {f"{split}_size": count for split, count in counts.items()}
    check_range("data", 0, float("inf"), **sizes)
    total = sum(count or 0 for count in counts.values())
    if source == "generate" and total * answers > MOST_GENERATED:
        names = " + ".join(f"data.{split}_size" for split in counts)
        each = f" with up to {answers} answers each" if answers > 1 else ""
        raise InputError(f"{names} is {total:,}, but must be at most {MOST_GENERATED // answers:,}{each}")


def generated_sizes(counts: Counts, source: str) -> Mapping[str, int]:
    """Return the sizes of splits that are known before they are loaded: those that are generated; of a table none."""
    return {split: count for split, count in counts.items() if count is not None and source == "generate"}


def check_solutions(solutions: Range | None, source: str) -> None:
    """Check the argument ``solutions`` of a family, the fewest and most answers of its generated puzzles.

    Raises:
        InputError: if it is no range of accepted numbers, or the puzzles are not generated.
    """
    if solutions is None:
        return
    least, most = solutions
    if not 1 <= least <= most <= MOST_SOLUTIONS:
        raise InputError(
            f"data.solutions is {list(solutions)}, but must be two numbers in order, from 1 to {MOST_SOLUTIONS}"
        )
    if source != "generate":
        raise InputError(
            f"data.solutions is {list(solutions)}, but data.source is {source!r}: only generated puzzles are given "
            "with all their answers"
        )


def check_wanted(counts: Counts, source: str, split: str) -> None:
    """Check that a split has samples, before it is generated or read.

    Raises:
        InputError: if its size is 0, or is null where a generator has no end.
    """
    endless = [name for name, count in counts.items() if count is None] if source == "generate" else []
    if endless:
        name = split if split in endless else endless[0]
        raise InputError(
            f"data.{name}_size is null, which takes all samples of a table, but data.source is 'generate': pass the "
            f"number of samples to generate, such as --data.{name}_size 1000"
        )
    if counts[split] == 0 and split != "val":  # a run may go without validation
        every = "" if source == "generate" else "; null takes all of the table"
        raise InputError(f"data.{split}_size is 0, but the {split} split needs at least one sample{every}")


def generated_split(
    root: Path, name: str, arguments: Mapping[str, Any], split: str, count: int, generate: Generate
) -> Arrays:
    """Return the arrays of a generated split, from the cache in ``root`` if they are there.

    Training needs all splits, so these are generated together, once. An evaluation without them generates its own split
    alone, up to ``count`` samples; they are the same as those of the whole.

    Args:
        root: folder of the cache.
        name: name of the puzzles, for the file and for messages.
        arguments: everything that the puzzles depend on, in values that JSON can represent.
        split: "train", "val" or "test".
        count: number of samples needed, from the first on.
        generate: the generator. It raises ValueError if it fails.

    Returns:
        Arrays by name, at least ``count`` samples each.

    Raises:
        InputError: if the generator fails, or the cache cannot be written or read.
    """
    if split == "train" or cache_file(root, name, arguments).exists():
        arrays = cached_arrays(root, name, arguments, partial(generate, only=None))
        return _of_split(arrays, split)

    def make(progress: Progress) -> Arrays:
        return _of_split(generate(progress, {split: count}), split)

    return cached_arrays(root, f"{name}-{split}", arguments, make, count)


def _of_split(arrays: Mapping[str, NDArray[Any]], split: str) -> Arrays:
    return {name: array for name, array in arrays.items() if name.partition("_")[0] == split}
