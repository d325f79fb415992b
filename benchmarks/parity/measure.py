"""Measure how far this project's numbers are from those of the official code: ``make bench-parity``, in a minute.

The tests pair what this project computes with what the official code gave (``tests/golden``) and assert that the two
are close. The same pairs are measured here, and ``data.json`` holds the largest difference of every quantity.
"""

import argparse
import json
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
    str(Path(__file__).parents[2] / "tests" / folder) for folder in ("", "helpers", "nn", "training", "data/arc")
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
from trm.provenance import environment

HERE = Path(__file__).parent
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


def tables() -> dict[str, str]:
    """Return the table of the committed results."""
    return {"parity": table(COLUMNS, json.loads((HERE / "data.json").read_text())["rows"])}


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


def main(argv: list[str] | None = None) -> int:
    """Measure everything and write ``data.json``; return 1 if anything is beyond its tolerance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=HERE, help="folder of the results (default: this one)")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # Lightning has advice about workers and loggers
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    rows = measure()
    machine = {"torch": torch.__version__, "instructions": torch.backends.cpu.get_cpu_capability(), **environment()}
    facts = {"numbers": sum(row.count for row in rows), "machine": machine, "rows": [row.cells for row in rows]}
    (given.into / "data.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(f"{facts['numbers']:,} numbers compared")
    if beyond := [f"{row.quantity} of {row.what}" for row in rows if row.beyond]:
        print(f"beyond the tolerance: {', '.join(beyond)}", file=sys.stderr)
    return 1 if beyond else 0


if __name__ == "__main__":
    sys.exit(main())
