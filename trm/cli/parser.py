"""Turns a typed function into a command: its parameters are the arguments, its docstring is the help.

This file imports neither torch nor Lightning, so the help of a command is printed at once.
"""

import inspect
import re
import sys
import textwrap
from argparse import HelpFormatter
from collections.abc import Callable, Collection, Sequence
from typing import Any, NoReturn

import yaml
from docstring_parser import parse as parse_docstring
from jsonargparse import ArgumentParser, DefaultHelpFormatter, get_loader, set_loader
from jsonargparse._typehints import ActionTypeHint, NestedArg  # type: ignore[attr-defined]
from jsonargparse._util import config_load_stack

from trm.cli.arrange import in_short
from trm.cli.messages import not_utf8, sentence
from trm.errors import InputError, printable
from trm.text import refuse_repeated_keys

ENV_PREFIX = "TRM"
"""Settings are also read from variables such as TRM_FIT__DATA__SLOTS and TRM_SOLVE__DEPTH."""

UNIQUE_KEYS = "yaml-with-unique-keys"
"""Name of our loader of YAML."""

Parameter = inspect.Parameter


def load(text: str) -> Any:
    """Return the value of a setting or a configuration, as jsonargparse reads YAML.

    Raises:
        InputError: if a mapping has a key twice.
    """
    value = get_loader("yaml")(text)
    if isinstance(value, dict | list):
        files = config_load_stack.get()
        refuse_repeated_keys(text, files[-1][1] if files else f"the setting {text}")
    return value


set_loader(UNIQUE_KEYS, load, (yaml.YAMLError,))


class Help(DefaultHelpFormatter):
    """Formats the help: filled paragraphs, and options without environment variable and subclasses."""

    def _format_action_invocation(self, action: Any) -> str:
        return HelpFormatter._format_action_invocation(self, action)

    def _get_help_string(self, action: Any) -> str:
        text = re.sub(r", known subclasses: [^)]*", "", super()._get_help_string(action))
        return text.replace(action.help, in_short(action.dest, action.help)) if action.help else text

    def _expand_help(self, action: Any) -> str:
        text = re.sub(r"type: Literal\[[^]]*\], ", "", super()._expand_help(action))  # the choices stand before it
        text = re.sub(r"Union\[(\w+), Literal\['(\w+)'\]\]", r"\1 | \2", text)
        return text.replace(", default: )", ")")  # no default

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        parts = [part if part.startswith("  ") else textwrap.fill(part, width) for part in text.split("\n\n")]
        return textwrap.indent("\n\n".join(parts), indent)


class Argument(ActionTypeHint):
    """An argument with a type; a list that is given again replaces the earlier one whole.

    jsonargparse itself merges two lists of classes by position if they have as many elements, so a class of the new
    list would keep arguments of the one that stood in its place.
    """

    def _check_type(self, value: Any, append: bool = False, cfg: Any = None, mode: Any = None) -> Any:
        changes = append or isinstance(value, NestedArg)  # as --trainer.callbacks+=Speed, or --trainer.callbacks.decay
        if cfg is not None and isinstance(cfg.get(self.dest), list) and not changes:
            cfg = None
        return super()._check_type(value, append, cfg, mode)  # type: ignore[no-untyped-call]


class OneSentence(ArgumentParser):
    """A parser that reports an error in one sentence with exit status 2, and accepts no abbreviated options."""

    def __init__(self, *args: Any, **options: Any) -> None:
        defaults = {
            "formatter_class": Help,
            "default_env": True,
            "env_prefix": ENV_PREFIX,
            "allow_abbrev": False,
            "parser_mode": UNIQUE_KEYS,
        }
        super().__init__(*args, **{**defaults, **options})

    def parse_args(self, args: Any = None, *others: Any, **options: Any) -> Any:
        """Parse the command line, and keep it, so that an error can name the source of a setting.

        Raises:
            InputError: if a configuration is not UTF-8 text, or is nested too deeply.
        """
        self._given = list(sys.argv[1:] if args is None else args)
        self._replace_lists()
        try:
            return super().parse_args(args, *others, **options)
        except UnicodeDecodeError as error:
            raise InputError(not_utf8(self._given, error)) from error
        except RecursionError:
            raise InputError("a setting, or a configuration, is nested too deeply") from None

    def parse_object(self, *args: Any, **options: Any) -> Any:
        """Parse the arguments of a class that a configuration names."""
        self._replace_lists()
        return super().parse_object(*args, **options)

    def _replace_lists(self) -> None:
        """Let a list given later replace an earlier one."""
        for action in self._actions:
            if type(action) is ActionTypeHint:
                action.__class__ = Argument

    def print_help(self, file: Any = None) -> None:
        """Print the help; unlike argparse, raise an error if the output is closed."""
        print(self.format_help(), end="", file=file)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print an error as one sentence, and exit."""
        if not self.exit_on_error:
            super().error(message, ex)
        parser = getattr(ex, "subcommand_parser", None) or self
        known = [option.lstrip("-") for action in parser._actions for option in action.option_strings]
        text = sentence(message, known, getattr(self, "_given", []))
        self.exit(2, f"{self.prog.split()[0]}: error: {printable(text)}\n")


def call(function: Callable[..., int], name: str, argv: Sequence[str]) -> int:
    """Call a command's function with the arguments of a command line, and return its exit status.

    A parameter without a default is a positional argument, unless it is keyword-only; a ``list[str]`` without one
    stands for one or more. A positional-only parameter with a default is an optional positional argument; ``*options``
    receives all options that are not parameters. All others are options. A ``bool`` needs no value, a ``list[str]`` may
    be given several times, and the parameters ``output`` and ``config`` have the short names -o and -c.

    Args:
        function: the command.
        name: its name, such as "data check".
        argv: the arguments after the name.
    """
    signature = inspect.signature(function, eval_str=True).parameters.values()
    optional = [p for p in signature if p.kind is Parameter.POSITIONAL_ONLY and p.default is not Parameter.empty]
    rest = next((p.name for p in signature if p.kind is Parameter.VAR_POSITIONAL), "")
    parser = _parser(function, name, optional, rest)
    mine = spelled_out(argv, signature)
    others: list[str] = []
    if rest:
        mine, others = _divided(mine, {option for action in parser._actions for option in action.option_strings})
    arguments = parser.instantiate(parser.parse_args(mine))
    positional = [getattr(arguments, parameter.name) for parameter in optional]
    names = [p.name for p in signature if p not in optional and p.name != rest]
    return function(*positional, *others, **{name: getattr(arguments, name) for name in names})


def _parser(function: Callable[..., int], name: str, optional: Sequence[Parameter], rest: str) -> OneSentence:
    """Build the parser of a command."""
    documented = {param.arg_name.lstrip("*"): param.description for param in parse_docstring(function.__doc__).params}
    description = re.split(r"\n\n(?:Args|Returns|Raises):", inspect.getdoc(function) or "")[0]
    parser = OneSentence(prog=f"trm {name}", description=description, env_prefix=_prefix(name))
    if rest:
        parser.epilog = f"other options: {documented[rest]}"
    if not (optional or rest):
        parser.add_argument("--config", action="config", help="file with these settings, YAML")
    for parameter in optional:
        text, default = documented[parameter.name], parameter.default
        parser.add_argument(parameter.name, nargs="?", type=parameter.annotation, default=default, help=text)
    skip: set[str | int] = {rest, *(parameter.name for parameter in optional)}
    several = [p for p in inspect.signature(function, eval_str=True).parameters.values() if _is_several(p)]
    skip |= {parameter.name for parameter in several}
    parser.add_function_arguments(function, as_group=False, as_positional=True, skip=skip, sub_configs=True)
    for parameter in several:  # jsonargparse reads a positional list from one argument
        parser.add_argument(parameter.name, nargs="+", type=str, help=documented[parameter.name])
    for action in parser._actions:
        if action.metavar == "{true,false}":
            action.metavar = "[{true,false}]"  # a switch needs no value
    return parser


def _is_several(parameter: Parameter) -> bool:
    """Return whether a parameter stands for one or more positional arguments."""
    return parameter.annotation == list[str] and parameter.default is Parameter.empty


def _prefix(name: str) -> str:
    return f"{ENV_PREFIX}_{name.replace(' ', '_')}_".upper()


def spelled_out(argv: Sequence[str], parameters: Collection[Parameter]) -> list[str]:
    """Return a command line for jsonargparse: switches with values, long names of -o and -c, lists appended to.

    An option such as --adapt_seconds may also be spelled with hyphens, --adapt-seconds.
    """
    longer = {f"--{p.name.replace('_', '-')}": f"--{p.name}" for p in parameters}
    longer |= {f"-{p.name[0]}": f"--{p.name}" for p in parameters if p.name in ("output", "config")}
    switches = {f"--{p.name}" for p in parameters if p.annotation is bool}
    repeated = {f"--{p.name}" for p in parameters if p.annotation == list[str]}
    found = []
    for argument in argv:
        option, equals, value = argument.partition("=")
        option = longer.get(option, option)
        if option in switches and not equals:
            equals, value = "=", "true"
        found.append(f"{option}{'+' * (option in repeated)}{equals}{value}")
    return found


def _divided(argv: Sequence[str], known: Collection[str]) -> tuple[list[str], list[str]]:
    """Split a command line into known options, with their values and what precedes all options, and the others."""
    mine: list[str] = []
    others: list[str] = []
    target = mine
    for argument in argv:
        option = argument.startswith("-") and not re.match(r"-\.?\d", argument)  # a negative number is a value
        if option:
            target = mine if argument.partition("=")[0] in known else others
        target.append(argument)
        if option and "=" in argument:
            target = mine  # an option that has its value takes no further argument
    return mine, others
