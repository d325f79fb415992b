"""A model as a hub folder: parameters in safetensors, configuration in JSON, and a card with metadata in YAML."""

import re
from pathlib import Path
from typing import Any

from trm.checkpoints.files import read_checkpoint
from trm.checkpoints.hub import folder_files
from trm.checkpoints.load import load_checkpoint
from trm.checkpoints.sharing import shareable
from trm.data import PuzzleData
from trm.data.hub import CARD, CONFIG, WEIGHTS, needs_hub
from trm.inference.choice import InferenceChoice
from trm.inference.halting import TRAINING_THRESHOLD
from trm.training import checkpoint_keys as keys
from trm.zoo import LICENCE, card, names

FILES = (WEIGHTS, CARD, CONFIG)
"""The files of a hub folder in the order in which they are written; without the last, it is none."""
METRICS = {
    "solved": ("exact_match", "puzzles solved"),
    "cells": ("accuracy", "cells right"),
    "pass@1": ("pass@1", "tasks solved in one attempt"),
    "pass@2": ("pass@2", "tasks solved in two attempts"),
}
"""Type and name that the hub shows of a logged metric."""
OWN = """# {name}

A Tiny Recursive Model for {family}: {parameters:,} parameters, trained for {steps} steps.

    pip install 'trm[hub]'
    trm solve hf:OWNER/NAME PUZZLE

|  |  |
|---|---|
| written by | trm {version} |
| training puzzles | {puzzles} |
| parameters | {kind} |
| inference | {inference} |

## Measured on the validation split

{metrics}

## Licence

None is stated here yet.
"""


def export_hub(checkpoint: str, family: str = "", module: str = "") -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return the files of a hub folder by name, and the shared checkpoint that they contain.

    Args:
        checkpoint: a file written by ``trm fit``, a hub folder, or the name of a model.
        family: dotted path of your own family; see ``load_checkpoint``.
        module: dotted paths of your own classes; see ``load_checkpoint``.

    Raises:
        InputError: if the checkpoint cannot be loaded or written as JSON, or the extra ``hub`` is missing.
    """
    needs_hub("--format hub")
    built, data = load_checkpoint(checkpoint, family, module)
    model = shareable(read_checkpoint(checkpoint), data)
    name = Path(checkpoint).name.partition("@")[0].removesuffix(".ckpt")
    is_zoo = checkpoint in names() and not Path(checkpoint).exists()
    text = card(checkpoint) if is_zoo else _own_card(name, model, data, sum(p.numel() for p in built.core.parameters()))
    found = folder_files(model, checkpoint)
    found[CARD] = f"---\n{_metadata(name, model, data, text, is_zoo)}\n---\n\n{text}".encode()
    return {file: found[file] for file in FILES}, model


def _metadata(name: str, model: dict[str, Any], data: PuzzleData, text: str, is_zoo: bool) -> str:
    """Return the metadata of a card, in YAML: library, licence, tags, and a model index with the measured results."""
    from huggingface_hub import EvalResult, ModelCardData

    family = type(data).__name__
    results = [("validation", metric, value) for metric, value in _measured(model).items()]
    if is_zoo and (solved := re.search(r"solves ([\d.]+) %", text.splitlines()[2])):  # the sentence about the model
        results.insert(0, ("test", "pass@2" if family == "ARC" else "solved", float(solved[1]) / 100))
    evaluated = [
        EvalResult(
            task_type="other",
            task_name=family,
            dataset_type=family.lower(),
            dataset_name=f"{family}, {split} split",
            dataset_split=split,
            metric_type=METRICS[metric][0],
            metric_name=METRICS[metric][1],
            metric_value=round(value, 6),
        )
        for split, metric, value in results
    ]
    facts = ModelCardData(
        library_name="trm",
        license=LICENCE.lower() if is_zoo else None,
        tags=["trm", "tiny-recursive-model", family.lower()],
        model_name=name,
        eval_results=evaluated or None,
    )
    return str(facts.to_yaml())


def _measured(model: dict[str, Any]) -> dict[str, float]:
    """Return what the run last measured on its validation split, by the names of ``METRICS``."""
    logged = {metric.removeprefix("val/"): value for metric, value in model.get(keys.METRICS, {}).items()}
    return {metric: float(logged[metric]) for metric in METRICS if 0 <= logged.get(metric, -1) <= 1}


def _own_card(name: str, model: dict[str, Any], data: PuzzleData, parameters: int) -> str:
    """Return the card of a model that has none, from what its checkpoint contains."""
    rows = [f"- {METRICS[metric][1]}: {100 * value:.1f} %" for metric, value in _measured(model).items()]
    return OWN.format(
        name=name,
        family=type(data).__name__,
        parameters=parameters,
        steps=f"{model[keys.STEP]:,}" if keys.STEP in model else "an unknown number of",
        version=model[keys.VERSION],
        puzzles=f"{model[keys.TRAINING_PUZZLES]:,}" if keys.TRAINING_PUZZLES in model else "not counted",
        inference=InferenceChoice.stored(model.get(keys.INFERENCE))
        or f"early exit head above {TRAINING_THRESHOLD:g}, 1 view",
        kind="averaged over training" if model[keys.AVERAGED] else "of the last step",
        metrics="\n".join(rows) or "Nothing was recorded.",
    )
