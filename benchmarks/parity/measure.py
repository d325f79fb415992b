"""Tell how far this project's numbers are from those of the official code: ``make equality``.

The tests pair what this project computes with what the official code gave (``tests/golden``) and assert that the two
are close. Here the same pairs are measured, and ``equality.md`` tells the largest difference of every quantity.
"""

import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path
from typing import NamedTuple

import torch

sys.path.extend(
    str(Path(__file__).parents[1] / "tests" / folder) for folder in ("", "helpers", "nn", "training", "data/arc")
)

import test_grids
import test_losses
import test_module_parity
import test_network_parity
import test_numbering
import test_optim
import test_variants
import test_votes
from official import MODELS, Pair, config

from trm.analysis.report import table

PAGE = Path(__file__).with_suffix(".md")
COLUMNS = [
    "quantity",
    "what is compared",
    "numbers",
    "largest number",
    "largest difference",
    "tolerance of the tests",
    "noise of the official code",
]
MEASURED = slice(3, 5)  # the columns that may depend on the machine
INTRODUCTION = """# The same numbers as the official code

What this project computes, against what the official TRM code (commit e7b6871) gave for the same weights and inputs: on
one thread of a CPU, in float32 where nothing else is said. Written by `make equality` with torch {torch} ({cpu}).

The tests make the same comparisons and fail beyond the tolerance, in which x is the official number. Where they allow
no difference, the tolerance is "exact" and the largest difference is how many numbers differ. The largest number is the
official one of the greatest magnitude. Noise is how far the official float32 is from the same maths in float64, where
the fixtures tell it.

* Six configurations: attention with learned positions; with rotary ones; the same without a puzzle embedding, and with
  a puzzle vector that has to be padded; the MLP mixer with and without a puzzle embedding.
* Seven networks, with weights and inputs by a formula: TRM with attention, MLP mixer and learned positions, single z,
  multi-scale z, HRM, direct prediction. Of gradients and features the fixtures hold sums, of logits two cells.

"""


class Part(NamedTuple):
    """Comparisons of one kind; ``noise`` names the entry of the fixtures that tells the noise of a quantity."""

    what: str
    pairs: Iterable[Pair]
    noise: Mapping[str, str] = {}


@dataclass
class Row:
    """One quantity of one part, measured over all its pairs."""

    quantity: str
    what: str
    count: int
    largest: float
    difference: float
    beyond: int
    atol: float
    rtol: float
    noise: float | None

    @classmethod
    def of(cls, part: Part, quantity: str, pairs: list[Pair]) -> "Row":
        """Measure pairs of one tolerance; what is not a number is beyond it."""
        ((atol, rtol),) = {(pair.atol, pair.rtol) for pair in pairs}
        ours, official = (
            torch.cat([side.flatten().double() for side in sides])
            for sides in zip(*((pair.ours, pair.official) for pair in pairs), strict=True)
        )
        apart, size = (ours - official).abs(), official.abs()
        beyond = int((~(apart <= atol + rtol * size)).sum())
        entry = part.noise.get(quantity)
        noise = max(config(name)["noise_float32_vs_float64"][entry] for name in MODELS) if entry else None
        return cls(quantity, part.what, len(apart), size.max().item(), apart.max().item(), beyond, atol, rtol, noise)

    @property
    def cells(self) -> list[str]:
        """The row as text, in the order of ``COLUMNS``."""
        terms = (f"{self.atol:.0e}" if self.atol else "", f"{self.rtol:.0e} x" if self.rtol else "")
        tolerance = " + ".join(filter(None, terms))
        return [
            self.quantity,
            self.what,
            f"{self.count:,}",
            f"{self.largest:.3g}",
            f"{self.difference:.1e}" if tolerance and self.difference else str(self.beyond),
            tolerance or "exact",
            "" if self.noise is None else f"{self.noise:.1e}",
        ]


def parts(folder: Path) -> list[Part]:
    """List all comparisons; each is made when its pairs are drawn.

    Args:
        folder: an empty one, for the tasks whose puzzles are numbered.
    """

    def each(source: Callable[[str], Iterable[Pair]], names: Iterable[str]) -> Iterable[Pair]:
        return chain.from_iterable(map(source, names))

    network, module, variants = test_network_parity, test_module_parity, test_variants
    training = (module.training_steps(*run) for run in product(MODELS, (1, 3)))
    arc = [*(compare() for compare in test_grids.PARTS), test_votes.election_result(), test_numbering.numbering(folder)]
    return [
        Part(
            "three evaluation steps of six configurations",
            each(network.evaluation_steps, MODELS),
            {"answer logits": "logits", "answer y": "z", "latent z": "z", "halting logits": "q"},
        ),
        Part("first training step of six configurations", each(network.gradients, MODELS), {"gradients": "grad"}),
        Part(
            "three training steps of six configurations through Lightning, one and three per batch",
            chain.from_iterable(training),
            {"losses": "train_loss", "weights after step 3": "params_max"},
        ),
        Part("two training steps of seven networks", each(variants.every_network, variants.FORMULA)),
        Part("one evaluation step of rotary attention in bfloat16", network.bfloat16_step("autocast")),
        Part(
            "two training steps of seven networks in bfloat16",
            each(variants.every_network_in_bfloat16, variants.FORMULA),
        ),
        Part("six steps of one tensor", test_optim.adam_atan2_steps()),
        Part("two steps of one table", test_optim.sign_steps()),
        Part("three steps of one tensor", module.moving_average()),
        Part("single steps of several schedules", test_optim.learning_rates()),
        Part("logits up to 1e4 in magnitude", each(test_losses.cross_entropy, test_losses.CELL_LOSSES)),
        Part("ARC: grids, predictions and tasks", chain.from_iterable(arc)),
    ]


def measure() -> list[Row]:
    """Make all comparisons."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for part in parts(Path(folder)):
            quantities: dict[str, list[Pair]] = {}
            for pair in part.pairs:
                quantities.setdefault(pair.quantity, []).append(pair)
            rows += [Row.of(part, quantity, pairs) for quantity, pairs in quantities.items()]
    return rows


def page(rows: list[Row]) -> str:
    """Write the page."""
    versions = {"torch": torch.__version__, "cpu": torch.backends.cpu.get_cpu_capability()}
    return INTRODUCTION.format(**versions) + table(COLUMNS, (row.cells for row in rows))


def main() -> None:
    """Measure everything and write ``equality.md``; end with 1 if anything is beyond its tolerance."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # Lightning has advice about workers and loggers
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    rows = measure()
    PAGE.write_text(page(rows))
    print(f"{sum(row.count for row in rows):,} numbers compared, see {PAGE}")
    if beyond := [f"{row.quantity} of {row.what}" for row in rows if row.beyond]:
        sys.exit(f"beyond the tolerance: {', '.join(beyond)}")


if __name__ == "__main__":
    main()
