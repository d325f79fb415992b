"""Errors of jsonargparse in one sentence: its own words without the alternatives, and a near match."""

import ast
import difflib
import importlib
import inspect
import itertools
import re
from collections.abc import Iterable
from pathlib import Path

from trm.arguments import RENAMED

NOISE = (
    r"^Does not validate against any of the Union subtypes$",
    r"^(Subtypes|Errors|Given value type): ?.*$",
    r"^Expected a <class 'NoneType'>(\. Got value: .*)?$",
    r"^Expected a path but .* either not accessible or invalid$",
    r"^Problem with given class_path 'lightning\.Callback':$",
)
"""Lines of jsonargparse's messages about other types that a value may have."""
WORDS = (
    (r'Parser key "([^"]*)":', r"\1:"),
    (r"Expected a dot import path string: (.*)", r"there is no class \1"),
    (r"the following arguments are required: fit\.data", "fit needs --config FILE, such as configs/quickstart.yaml"),
)
"""Phrases of jsonargparse, and clearer ones to replace them."""
EXPECTED = re.compile(
    r"([\w.]+): (Expected a .+?(?:; Expected a .+?)*)(?:; Given value: ?|\. Got value: ?)(?!NestedArg)([^;]*)"
)
"""A setting, the types that it may have, and the value that was given."""
NO_CLASS = re.compile(r"Not a valid subclass of (\w+)\. Got value: (.*?); Subclass types expect one of:.*")
"""A value in the place of a class."""
REQUIRED = re.compile(
    r"Problem with given class_path '(?:[\w.]*\.)?(\w+)': the following arguments are required: ([\w, ]+)"
)
"""An argument without a default that is not given, or null."""
TYPES = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "a text", "dict": "a mapping"}
TYPES |= {"tuple": "a list", "list": "a list", "Iterable": "a list", "NoneType": "null"}
"""Types in words; others by the names of their classes."""
UNKNOWN = re.compile(r"(?:Option '|does not accept option '|unrecognized arguments: -*)([\w.]+)")


def sentence(message: str, known: Iterable[str], given: list[str]) -> str:
    """Return an error message of jsonargparse, which has many lines, as one sentence.

    Args:
        message: the message.
        known: options of the command.
        given: the command line; its configurations are searched for the option in the message.
    """
    lines = [line.strip().removeprefix("- ") for line in message.splitlines()]
    lines = [line for line in lines if line and not any(re.match(noise, line) for noise in NOISE)]
    for pattern, words in WORDS:
        lines = [re.sub(pattern, words, line) for line in lines]
    lines = list(dict.fromkeys(lines))
    value = lines[-1].removeprefix("Given value: ")
    named = any(
        line.lower().endswith(f"got value: {value.lower()}") if line.startswith("Expected a ") else value in line
        for line in lines[:-1]
    )
    if value != lines[-1] and (value.startswith(("NestedArg", "Namespace", "{")) or named):
        lines.pop()  # the value is a whole class, or has been named
    text = EXPECTED.sub(_refused_value, "; ".join(lines).replace(":; ", ": "))
    text = REQUIRED.sub(r"\1 needs \2, but it is missing or null", text)
    text = NO_CLASS.sub(r"\2, but must be a \1, or a mapping with class_path and init_args", text)
    if "there is no class" in text and text.startswith("data:"):
        text += f"; there are {', '.join(_families())}, and your own as module.Class"
    if text.startswith("Problems parsing config:"):
        text = f"{' or '.join(config_files(given))} is not valid YAML: {text.partition(': ')[2]}"
    if text.startswith("Unexpected config:"):
        content = text.partition(":")[2].strip() or "nothing"
        files = " or ".join(config_files(given)) or "the configuration"
        text = f"{files} contains {content}, but a configuration is a mapping with trainer, data and model"
    if unknown := UNKNOWN.search(text):
        name = unknown[1]
        kinds = re.findall(r"Problem with given class_path '([\w.]+)'", text)
        names = _arguments(kinds[-1]) if kinds else list(known)
        near = difflib.get_close_matches(name, names, n=1)
        now = RENAMED.get(name.rpartition(".")[2], "")
        end = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(names))}" if kinds else ""
        end = f"; it is now called {now}" if now in names else end
        text = f"{text}{_place(name, given)}{end}"
    return text


def not_utf8(given: list[str], error: UnicodeDecodeError) -> str:
    """Return what is wrong with a configuration of a command line that cannot be decoded."""
    for file in config_files(given):
        for number, line in enumerate(Path(file).read_bytes().splitlines(), 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return f"{file}, line {number}: {line!r} is not UTF-8, the encoding of configurations"
    return f"a configuration is not in UTF-8: {error}"


def _refused_value(found: re.Match[str]) -> str:
    """Return a clause about a value of a wrong type: its setting, the value and what is accepted."""
    name, expected, value = found.groups()
    accepted: list[str] = []
    for kind in expected.split("; "):
        choices = re.search(r"Literal(\[.*\])", kind)
        if choices:
            accepted += map(str, ast.literal_eval(choices[1]))
        elif length := re.search(r"with (\d+) elements", kind):
            accepted.append(f"a list of {length[1]}")
        else:
            last = re.split(r"[.' ]", kind.rstrip("'>"))[-1]
            accepted.append(TYPES.get(last, last))
    last = {"None": "null", "True": "true", "False": "false", "": "empty"}.get(value, value)
    several = "one of " if len(set(accepted)) > 2 else ""
    return f"{name} is {last}, but must be {several}{(', ' if several else ' or ').join(dict.fromkeys(accepted))}"


def _families() -> list[str]:
    """Return the names of the families that come with the package."""
    from trm.data import PuzzleData

    return sorted(kind.__name__ for kind in PuzzleData.__subclasses__() if kind.__module__.startswith("trm."))


def _arguments(class_path: str) -> list[str]:
    """Return the names of the arguments of a class and its bases."""
    module, _, name = class_path.rpartition(".")
    bases = getattr(importlib.import_module(module), name).__mro__
    found = [inspect.signature(base.__init__).parameters.values() for base in bases if base is not object]
    named = [parameter for parameters in found for parameter in parameters if parameter.kind in (1, 3)]
    return list(dict.fromkeys(parameter.name for parameter in named if parameter.name != "self"))


def _place(name: str, given: list[str]) -> str:
    """Return " in FILE" for the configuration that contains a name; "" if the command line does."""
    if any(name.rpartition(".")[2] in argument for argument in given if argument.startswith("--")):
        return ""
    last = re.compile(rf"^\s*{re.escape(name.rpartition('.')[2])}\s*:", flags=re.MULTILINE)
    found = [
        file for file in config_files(given) if last.search(Path(file).read_text(encoding="utf-8", errors="replace"))
    ]
    return f" in {found[0]}" if found else ""


def config_files(given: Iterable[str]) -> list[str]:
    """Return the configuration files of a command line, without pipes, which can be read only once."""
    return [file for file in values_of(given, "--config", "-c") if Path(file).is_file()]


def values_of(given: Iterable[str], *options: str) -> list[str]:
    """Return the values of options of a command line, as in "--config FILE" and "--config=FILE"."""
    words = (word for argument in given for word in str(argument).split("=", 1))
    return [after for before, after in itertools.pairwise(words) if before in options]
