"""Classes by their dotted path, and the arguments that an object was built with."""

import importlib
import inspect
from inspect import Parameter
from typing import Any, Self, TypeVar

from trm.errors import InputError

Base = TypeVar("Base")


class RecordsArguments:
    """Mixin for Lightning classes whose objects a checkpoint builds again: it records the arguments they were given.

    Lightning's ``save_hyperparameters()`` merges the arguments of all constructors of a class. What a subclass passes
    to its base, such as ``super().__init__(size=4)``, then counts as an argument of the subclass, which does not
    accept it. ``init_args`` holds the arguments of the very class: positional ones, keywords and defaults.
    """

    init_args: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Create the object and record its arguments; copying and unpickling come here without any."""
        created = super().__new__(cls)
        signature = inspect.signature(cls.__init__)
        try:
            bound = signature.bind_partial(created, *args, **kwargs)
        except TypeError:
            return created  # the constructor, which is called next, refuses the same arguments in Python's words
        bound.apply_defaults()
        recorded = dict(list(bound.arguments.items())[1:])  # without self
        for name, parameter in signature.parameters.items():
            if parameter.kind is Parameter.VAR_KEYWORD:
                recorded |= recorded.pop(name)
        paths = {name: class_path(value) for name, value in recorded.items() if isinstance(value, type)}
        object.__setattr__(created, "init_args", recorded | paths)  # nn.Module is not ready for a plain assignment
        return created


def class_path(kind: type) -> str:
    """Return the dotted path that a checkpoint stores for a class: the public one for a family of this package."""
    public = "trm.data" if kind.__module__.startswith("trm.data.") else kind.__module__
    return f"{public}.{kind.__qualname__}"


def find_class(path: str, base: type[Base], told: str) -> type[Base]:
    """Import a class by its dotted path.

    Args:
        path: Python module and name of the class, such as ``my_puzzles.Futoshiki``.
        base: what it must be a subclass of.
        told: how a refusal begins: who gave the path.

    Raises:
        InputError: if there is no such class, or it is no subclass.
    """
    module_name, _, class_name = path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:  # the last for a path without a module
        raise InputError(f"{told} {path}, which does not exist here: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise InputError(f"{told} {path}, which is not a {base.__name__}")
    return kind


def parameters_of(kind: type) -> dict[str, Parameter]:
    """Return the arguments of a class by name, with those of the bases that its ``**kwargs`` go to."""
    found: dict[str, Parameter] = {}
    for base in kind.__mro__:
        if "__init__" not in vars(base) or base is object:
            continue
        parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        named = (p for p in parameters if p.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD))
        found = {p.name: p for p in named} | found
        if not any(p.kind is Parameter.VAR_KEYWORD for p in parameters):
            break
    return found


def defaults_of(kind: type) -> dict[str, Any]:
    """Return the arguments of a class that have a default, with it."""
    return {name: p.default for name, p in parameters_of(kind).items() if p.default is not Parameter.empty}
