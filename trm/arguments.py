"""Arguments: choices that several rooms share, classes by their dotted path, and what an object was built with.

This file is importable without torch, as the help of the commands needs it.
"""

import importlib
import inspect
import re
import signal
import sys
import traceback
from collections.abc import Iterable, Sequence
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from inspect import Parameter
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Literal, Self, TypeVar, get_args, get_type_hints

from trm.errors import InputError, Stopped

EarlyExit = Literal["auto", "never", "head", "stable", "rules"]
"""Names of early-exit rules: ``never`` (official evaluation), ``head`` (halting probability above a threshold),
``stable`` (answer unchanged by a step), ``rules`` (answer is valid); ``auto`` is the default of the caller."""

SelectionName = Literal["halting", "first", "top1", "vote", "confident", "residual", "verifier"]
"""Names of selections, which rank the answers of several rollouts; see ``trm.inference.selection``."""

RENAMED = {"noise": "step_noise"}
"""Arguments of ``TRMModule`` that had another name in earlier versions, with the present one."""

OURS = {"trm", "torch", "lightning"}
"""Packages that are no code of the user's, although configurations name classes of them."""

Base = TypeVar("Base")


class WorkingDirectory:
    """Imports modules of the working directory that the user names, and what these import; it is a finder of Python's.

    With the folder on ``sys.path``, its files would also answer the optional imports of other packages: an mpi4py.py in
    it would be run by ``trm fit``.
    """

    def __init__(self) -> None:
        self.found: set[str] = set()
        """Names of modules that were found here."""
        self._named: set[str] = set()
        self._folder = ""

    def allow(self, texts: Iterable[str]) -> None:
        """Allow the modules of all dotted names in texts, such as my_puzzles in --data=my_puzzles.Futoshiki."""
        for word in (word for text in texts for word in re.split(r"[^\w./\\-]+", text)):
            if re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", word) and not Path(word).exists():
                self._named |= {word.partition(".")[0]} - OURS
        self._folder = str(Path.cwd())  # jsonargparse works in the folder of a configuration while it reads it
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is: where another finder of Python has found it, else in the working directory."""
        named = name.partition(".")[0] in self._named
        if not named and (path is not None or _importer() not in self.found):
            return None
        others = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, others), None)
        if spec is None and path is None and (spec := PathFinder.find_spec(name, [self._folder])) is not None:
            self.found.add(name)
        if named and spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader.exec_module = partial(_execute, spec.loader)  # type: ignore[method-assign]
        return spec


WORKING_DIRECTORY = WorkingDirectory()


def _importer() -> str:
    """Return the first part of the name of the module whose code is importing another."""
    frame, name = inspect.currentframe(), __name__
    while frame is not None and (name == __name__ or name.partition(".")[0] == "importlib"):
        name = str(frame.f_globals.get("__name__", ""))
        frame = frame.f_back
    return name.partition(".")[0]


def _execute(loader: SourceFileLoader, module: ModuleType) -> None:
    """Run the code of a module that the user names.

    Raises:
        InputError: if it raises an exception, or exits: a command must not end as if it had done its work.
    """
    try:
        SourceFileLoader.exec_module(loader, module)
    except (ImportError, InputError, Stopped):  # a missing package, a sentence of its own, a signal
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            raise  # of the user, where no command handles signals
        text = f"{type(error).__name__}: {error}".removesuffix(": ")
        lines = [f"line {at.lineno}" for at in traceback.extract_tb(error.__traceback__) if at.filename == loader.path]
        place = ", ".join([Path(loader.path).name, *lines[-1:]])  # a SyntaxError names the line itself
        raise InputError(f"cannot import {module.__name__}: it raises {text} ({place})") from error


class RecordsArguments:
    """Mixin for Lightning classes that a checkpoint builds again: it records the arguments of the constructor.

    Lightning's ``save_hyperparameters()`` merges the arguments of all constructors of a class. An argument that a
    subclass passes to its base, such as ``super().__init__(size=4)``, is then recorded for the subclass, which does not
    accept it. ``init_args`` contains only the arguments of the class itself: positional, keyword and default ones.
    """

    init_args: dict[str, Any]
    prefix: ClassVar[str]
    """What precedes the name of an argument on the command line, for messages."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Create the object and record its arguments; copying and unpickling pass none.

        Raises:
            InputError: if one is None, which its type does not include; the parser of a configuration lets null pass.
        """
        created = super().__new__(cls)
        signature = inspect.signature(cls.__init__)
        try:
            bound = signature.bind_partial(created, *args, **kwargs)
        except TypeError:
            return created  # the constructor, which is called next, raises the same error
        for name, value in bound.arguments.items():
            if value is None and not _accepts_none(cls, signature.parameters[name]):
                accepted = inspect.formatannotation(signature.parameters[name].annotation)
                accepted = re.sub(r"\b(?:\w+\.)+(?=\w)", "", accepted)  # without modules
                raise InputError(f"{cls.prefix}.{name} is null; accepted is {accepted}")
        bound.apply_defaults()
        recorded = dict(list(bound.arguments.items())[1:])  # without self
        for name, parameter in signature.parameters.items():
            if parameter.kind is Parameter.VAR_KEYWORD:
                recorded |= recorded.pop(name)
        paths = {name: class_path(value) for name, value in recorded.items() if isinstance(value, type)}
        object.__setattr__(
            created, "init_args", recorded | paths
        )  # nn.Module does not accept assignments before its constructor has run
        return created

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Return how to pickle the object; another process imports its class from the working directory as this one."""
        kind = type(self)
        if kind.__module__.partition(".")[0] in WORKING_DIRECTORY.found:
            return _created, (class_path(kind),), self.__getstate__()
        return super().__reduce_ex__(protocol)

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, **options: Any) -> Self:
        """Load an object as Lightning does, after the checkpoint has been checked.

        Args:
            checkpoint_path: a file, a hub folder, or the name of a model.
            *args: as Lightning's.
            **options: as Lightning's.

        Raises:
            InputError: if the file is missing, corrupt, or not a checkpoint.
        """
        if isinstance(checkpoint_path, (str, Path)) and "://" not in str(checkpoint_path):
            from trm.checkpoints.files import read_checkpoint  # above this file, which needs no torch
            from trm.zoo import find

            content = read_checkpoint(checkpoint_path)
            checkpoint_path = find(checkpoint_path)
            if checkpoint_path.is_dir():  # Lightning reads what torch.save has written, and nothing else
                import torch

                torch.save(content, checkpoint_path := BytesIO())
                checkpoint_path.seek(0)
        loaded: Self = super().load_from_checkpoint(checkpoint_path, *args, **options)  # type: ignore[misc]
        return loaded


def _accepts_none(kind: type, parameter: Parameter) -> bool:
    """Return whether an argument of a constructor may be None; one without a type may be anything."""
    if parameter.default is None or parameter.annotation is Parameter.empty:
        return True
    try:
        hint = get_type_hints(kind.__init__)[parameter.name]  # type: ignore[misc]
    except NameError:  # of a name that is imported for type checkers only
        return True
    return hint is Any or hint is object or type(None) in get_args(hint)


def _created(path: str) -> RecordsArguments:
    """Return an object of a class in the working directory, without arguments."""
    WORKING_DIRECTORY.allow([path])
    kind = find_class(path, RecordsArguments, "the class is")
    return kind.__new__(kind)


def class_path(kind: type) -> str:
    """Return the dotted path that a checkpoint stores for a class; for a family of this package, the public path."""
    public = "trm.data" if kind.__module__.startswith("trm.data.") else kind.__module__
    return f"{public}.{kind.__qualname__}"


def find_class(path: str, base: type[Base], prefix: str) -> type[Base]:
    """Return a class from its dotted path, whose module is imported.

    Args:
        path: Python module and name of the class, such as ``my_puzzles.Futoshiki``.
        base: class that it must be a subclass of.
        prefix: start of the error message: the source of the path, such as "model.network is".

    Raises:
        InputError: if there is no such class or it is not a subclass of ``base``.
    """
    module_name, _, class_name = path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module_name), class_name)
    except InputError:
        raise
    except (ImportError, AttributeError, ValueError) as error:  # ValueError if the path has no module
        raise InputError(f"{prefix} {path}, which does not exist here: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise InputError(f"{prefix} {path}, which is not a {base.__name__}")
    return kind


def parameters_of(kind: type) -> dict[str, Parameter]:
    """Return the arguments of a class by name, including those of the bases that receive its ``**kwargs``."""
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
    """Return the defaults of the arguments of a class that have one, by name."""
    return {name: p.default for name, p in parameters_of(kind).items() if p.default is not Parameter.empty}


def listed(value: Any) -> Any:
    """Return nested values with lists in place of tuples, as a configuration has them."""
    if isinstance(value, dict):
        return {name: listed(part) for name, part in value.items()}
    return [listed(part) for part in value] if isinstance(value, list | tuple) else value
