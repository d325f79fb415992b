"""The commands ``trm analyze halting | scaling | calibration | robustness``: a model measured on test puzzles."""

import importlib
import json as json_format
import sys
from typing import TYPE_CHECKING, Any

from trm.arguments import EarlyExit
from trm.errors import check_range

if TYPE_CHECKING:
    from trm.analysis.scaling import Point


def halting(
    checkpoint: str,
    *,
    output: str = "",
    json: bool = False,
    puzzles: int | None = None,
    batch_size: int = 256,
    force: bool = False,
    family: str = "",
    module: str = "",
) -> int:
    """Measure early exit: the supervision steps that each rule and threshold saves, and the accuracy it loses.

    Each test puzzle takes all supervision steps once; the step at which each rule would exit is recorded.

    Args:
        checkpoint: a file written by ``trm fit``, or the name of a model; see ``trm zoo --help``.
        output: a JSON file to write the numbers to, -o for short; the picture beside it ends in .svg.
        json: print the JSON instead of a table.
        puzzles: only this many of the test split, from its beginning; null for all.
        batch_size: puzzles in a forward pass.
        force: overwrite files that exist.
        family: the class the checkpoint was trained on if it is your own, such as my_puzzles.Futoshiki; of a mixture
            the name of the family, such as maze.
        module: your own classes of the module and its network, separated by commas, such as my_nets.Gated.
    """
    options = {"puzzles": puzzles, "batch_size": batch_size}
    return _run("halting", checkpoint, output, json, force, family, module, **options)


def scaling(
    checkpoint: str,
    *,
    output: str = "",
    json: bool = False,
    depths: list[int] | None = None,
    breadths: list[int] | None = None,
    noises: list[float] | None = None,
    views: int = 8,
    halt: EarlyExit = "never",
    puzzles: int | None = 200,
    batch_size: int = 256,
    seed: int = 0,
    force: bool = False,
    family: str = "",
    module: str = "",
) -> int:
    """Measure test-time scaling: accuracy by supervision steps, noisy rollouts, symmetry views and selection.

    Every depth is run with one rollout; the depth of training also with noisy rollouts and with views, at every breadth
    and with every selection. Each run is reported on standard error when it ends.

    Args:
        checkpoint: a file written by ``trm fit``, or the name of a model; see ``trm zoo --help``.
        output: a JSON file to write the numbers to, -o for short; the picture beside it ends in .svg.
        json: print the JSON instead of a table.
        depths: most supervision steps of a rollout; null for powers of two up to four times those of training.
        breadths: rollouts of a puzzle; null for 1, 2, 4, 8 and 16.
        noises: standard deviations of the noise on the latent; null for 0.1, 0.3 and 1.
        views: most symmetric forms of a puzzle, without noise, where the family has some; 1 for none.
        halt: early-exit rule of a rollout: never, head, stable or rules; auto is head.
        puzzles: only this many of the test split, from its beginning; null for all.
        batch_size: rollouts in a forward pass.
        seed: seed of views and noise.
        force: overwrite files that exist.
        family: the class the checkpoint was trained on if it is your own, such as my_puzzles.Futoshiki; of a mixture
            the name of the family, such as maze.
        module: your own classes of the module and its network, separated by commas, such as my_nets.Gated.
    """
    check_range("analyze", 1, views=views)
    for name, values in (("depths", depths), ("breadths", breadths)):
        for value in values or []:
            check_range("analyze", 1, **{name: value})
    for noise in noises or []:
        check_range("analyze", 0, noises=noise)

    def watch(points: "list[Point]") -> None:
        shares = "  ".join(f"{point.select} {point.solved:.1%}" for point in points)
        depth, breadth, noise = points[0][:3]
        print(f"depth {depth}, breadth {breadth}, noise {noise:g}: {shares}", file=sys.stderr, flush=True)

    own = {"depths": depths, "breadths": breadths, "noises": noises, "views": views, "halt": halt, "watch": watch}
    options = {"puzzles": puzzles, "batch_size": batch_size, "seed": seed, **own}
    return _run("scaling", checkpoint, output, json, force, family, module, **options)


def calibration(
    checkpoint: str,
    *,
    output: str = "",
    json: bool = False,
    puzzles: int | None = None,
    batch_size: int = 256,
    force: bool = False,
    family: str = "",
    module: str = "",
) -> int:
    """Measure calibration and selective prediction: whether the halting probability separates right from wrong answers.

    Each test puzzle takes all supervision steps. The picture shows a reliability diagram and a risk-coverage curve.

    Args:
        checkpoint: a file written by ``trm fit``, or the name of a model; see ``trm zoo --help``.
        output: a JSON file to write the numbers to, -o for short; the picture beside it ends in .svg.
        json: print the JSON instead of a table.
        puzzles: only this many of the test split, from its beginning; null for all.
        batch_size: puzzles in a forward pass.
        force: overwrite files that exist.
        family: the class the checkpoint was trained on if it is your own, such as my_puzzles.Futoshiki; of a mixture
            the name of the family, such as maze.
        module: your own classes of the module and its network, separated by commas, such as my_nets.Gated.
    """
    options = {"puzzles": puzzles, "batch_size": batch_size}
    return _run("calibration", checkpoint, output, json, force, family, module, **options)


def robustness(
    checkpoint: str,
    *,
    output: str = "",
    json: bool = False,
    puzzles: int | None = 256,
    batch_size: int = 256,
    seed: int = 0,
    force: bool = False,
    family: str = "",
    module: str = "",
) -> int:
    """Measure robustness to corrupted inputs: accuracy, validity, and whether the confidence drops.

    Test puzzles are corrupted in 1, 2, 4, 8 and 16 cells: givens that are wrong, missing, taken from the answer or
    against the rules, and tokens that no question has. A corruption is measured if at least half of the puzzles have
    room for it. Early exit is by the halting head at 0.5.

    Args:
        checkpoint: a file written by ``trm fit``, or the name of a model; see ``trm zoo --help``.
        output: a JSON file to write the numbers to, -o for short; the picture beside it ends in .svg.
        json: print the JSON instead of a table.
        puzzles: only this many of the test split, from its beginning; null for all.
        batch_size: puzzles in a forward pass.
        seed: seed of the corruptions.
        force: overwrite files that exist.
        family: the class the checkpoint was trained on if it is your own, such as my_puzzles.Futoshiki; of a mixture
            the name of the family, such as maze.
        module: your own classes of the module and its network, separated by commas, such as my_nets.Gated.
    """
    options = {"puzzles": puzzles, "batch_size": batch_size, "seed": seed}
    return _run("robustness", checkpoint, output, json, force, family, module, **options)


def _run(
    name: str, checkpoint: str, output: str, json: bool, force: bool, family: str, module: str, **options: Any
) -> int:
    """Measure a checkpoint, print the numbers, and then write them and their picture, if a file is named.

    ``name`` is a file of ``trm/analysis`` with ``measure``, which takes ``options``, ``tabulate`` and ``draw``. All
    other parameters are those of the commands.
    """
    check_range("analyze", 1, puzzles=options["puzzles"], batch_size=options["batch_size"])
    check_range("analyze", 0, 2**32 - 1, seed=options.get("seed", 0))
    from trm.analysis.plots import svg
    from trm.analysis.report import load, publish, reserve
    from trm.data.progress import show_progress

    analysis = importlib.import_module(f"trm.analysis.{name}")
    path = reserve(output, force, checkpoint) if output else None
    model, data = load(checkpoint, family, module)
    with show_progress(name, "corruption" if name == "robustness" else "puzzle") as watch:
        measured = analysis.measure(model, data, **{"watch": watch, **options})  # scaling has a watch of its own
    facts = {"checkpoint": checkpoint, "family": data.family["class_path"], **measured}
    # printed first: a full disk loses no number
    print(json_format.dumps(facts, indent=1) if json else analysis.tabulate(facts), flush=True)
    if path:
        publish(path, facts, svg(analysis.draw(facts)))
        print(f"written: {path}, {path.with_suffix('.svg')}", file=sys.stderr)
    return 0
