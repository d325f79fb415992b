"""Refusals of jsonargparse in one sentence: its words, without what else might have stood there, and a near match."""

import difflib
import importlib
import inspect
import itertools
import re
from collections.abc import Iterable
from pathlib import Path

NOISE = (
    r"^Does not validate against any of the Union subtypes$",
    r"^(Subtypes|Errors|Given value type): ?.*$",
    r"^Expected a <class 'NoneType'>$",
    r"^Expected a path but .* either not accessible or invalid$",
    r"^Problem with given class_path 'lightning\.Callback':$",
)
"""Lines of jsonargparse's messages about what else might have stood there."""
WORDS = (
    (r'Parser key "([^"]*)":', r"\1:"),
    (r"Expected a dot import path string: (.*)", r"there is no class \1"),
    (r"the following arguments are required: fit\.data", "fit needs --config FILE, such as configs/quickstart.yaml"),
)
"""What jsonargparse says as only its authors understand, and what is said here."""
UNKNOWN = re.compile(r"(?:Option '|does not accept option '|unrecognized arguments: -*)([\w.]+)")


def sentence(message: str, known: Iterable[str], given: list[str]) -> str:
    """Return in one sentence what jsonargparse says in many lines.

    Args:
        message: its words.
        known: options of the command.
        given: the command line, whose configurations are looked through for an option that is refused.
    """
    lines = [line.strip().removeprefix("- ") for line in message.splitlines()]
    lines = [line for line in lines if line and not any(re.match(noise, line) for noise in NOISE)]
    for pattern, words in WORDS:
        lines = [re.sub(pattern, words, line) for line in lines]
    lines = list(dict.fromkeys(lines))
    value = lines[-1].removeprefix("Given value: ")
    if value != lines[-1] and (value.startswith(("NestedArg", "{")) or any(value in line for line in lines[:-1])):
        lines.pop()  # it is a whole class, or has been named
    text = "; ".join(lines).replace(":; ", ": ")
    if "there is no class" in text and text.startswith("data:"):
        text += f"; there are {', '.join(_families())}, and your own as module.Class"
    if text.startswith("Problems parsing config:"):
        text = f"{' or '.join(_configs(given))} is no YAML: {text.partition(': ')[2]}"
    if unknown := UNKNOWN.search(text):
        name = unknown[1]
        kind = re.search(r"Problem with given class_path '([\w.]+)'", text)
        names = _arguments(kind[1]) if kind else list(known)
        near = difflib.get_close_matches(name, names, n=1)
        end = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(names))}" if kind else ""
        text = f"{text}{_place(name, given)}{end}"
    return text


def _families() -> list[str]:
    """Return the names of the families that come with the package."""
    from trm.data import PuzzleData

    return sorted(kind.__name__ for kind in PuzzleData.__subclasses__() if kind.__module__.startswith("trm."))


def _arguments(class_path: str) -> list[str]:
    """Return the arguments of a class, those of its bases included."""
    module, _, name = class_path.rpartition(".")
    bases = getattr(importlib.import_module(module), name).__mro__
    found = [inspect.signature(base.__init__).parameters.values() for base in bases if base is not object]
    named = [parameter for parameters in found for parameter in parameters if parameter.kind in (1, 3)]
    return list(dict.fromkeys(parameter.name for parameter in named if parameter.name != "self"))


def _place(name: str, given: list[str]) -> str:
    """Return which of the configurations that are given a name stands in, unless it is on the command line."""
    if any(name.rpartition(".")[2] in argument for argument in given if argument.startswith("--")):
        return ""
    last = re.compile(rf"^\s*{re.escape(name.rpartition('.')[2])}\s*:", flags=re.MULTILINE)
    found = [file for file in _configs(given) if last.search(Path(file).read_text(encoding="utf-8"))]
    return f" in {found[0]}" if found else ""


def _configs(given: list[str]) -> list[str]:
    """Return the configurations of a command line."""
    files = [after for before, after in itertools.pairwise(given) if before in ("--config", "-c")]
    files += [argument.partition("=")[2] for argument in given if argument.startswith("--config=")]
    return [file for file in files if Path(file).is_file()]
