"""The command ``trm info``: describes a checkpoint from its content alone."""

import json as json_format
from typing import Any

from trm.errors import counted, printable

LONGEST = 200
"""Characters of a value that are shown; the tasks that a model was adapted to take thousands."""


def info(checkpoint: str, json: bool = False) -> int:
    """Describe a checkpoint: family, step, metrics, configuration and sizes.

    Args:
        checkpoint: a file written by ``trm fit``, or the name of a model; see ``trm zoo --help``.
        json: print one JSON object.
    """
    from trm.checkpoints.summary import describe

    facts = describe(checkpoint)
    print(json_format.dumps(facts, default=str) if json else _for_people(facts))
    return 0


def _for_people(facts: dict[str, Any]) -> str:
    from trm.inference.choice import InferenceChoice

    kind = "averaged" if facts["averaged"] else "not averaged"
    if facts["imported_from"]:
        kind = f"imported from {facts['imported_from']}"
    lines = [
        f"{facts['file']}, {facts['file_bytes']:,} bytes, written by {facts['written_by']}",
        f"family      {facts['family']}",
        f"step        {facts['step']}",
        f"parameters  {facts['parameters']:,} ({kind})",
    ]
    if start := facts["started_from"]:
        step, puzzles = (start[name] or "unknown" for name in ("step", "training_puzzles"))
        lines.append(f"started     from {start['checkpoint']}, step {step}, puzzles {puzzles}")
    if choice := InferenceChoice.stored(facts["inference"]):
        lines.append(f"inference   {choice}")
    for title in ("metrics", "model", "data"):
        lines += ["", title, *(f"  {name} {_short(value)}" for name, value in facts[title].items())]
    lines += ["", "bytes", *(f"  {name} {size:,}" for name, size in facts["bytes"].items())]
    return "\n".join(map(printable, lines))  # names and values are those of a file


def _short(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ... ({counted(len(text), 'character')}; --json has all)"
